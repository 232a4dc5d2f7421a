"""A session for programs without asyncio: `open_session` returns a `SyncSession`, whose calls block.

The session runs on an event loop in its own thread. So it polls and downloads while your program does something else,
and it works in a notebook, where an event loop is already running. Nothing is implemented twice here.
"""

import asyncio
import contextlib
import functools
import queue
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, ParamSpec, Self

from cometflux.jobs import Job
from cometflux.outcomes import Outcome
from cometflux.session import open as opening
from cometflux.session.batch import Batch
from cometflux.session.loop_thread import STEP, LoopThread
from cometflux.session.session import Session

P = ParamSpec("P")
_END = object()
_Drawn = tuple[object, Exception | None]
"""An item of the caller's iterable, or its error."""
_Wishes = queue.SimpleQueue["asyncio.Future[_Drawn] | None"]
"""Requests for the next item, from thread to thread; None when an outcome is there."""


class SyncSession:
    """A session whose calls block. Enter it with ``with``. Any thread may call it.

    ``on_event`` and your other callbacks are called in the session's own thread, and cannot call the session.

    Ctrl-C raises KeyboardInterrupt, as in any program. Leaving the ``with`` block then submits nothing more, and waits
    up to 30 seconds for images that are paid for and not saved yet. A second Ctrl-C waits only for submissions in
    flight; the next run with the journal resumes the rest.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._thread = LoopThread(session)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.close(is_interrupted=isinstance(error, KeyboardInterrupt))

    def close(self) -> None:
        """Close the session as `Session.aclose` does, and end its thread."""
        self._thread.close()

    def run(self, job: Job | object, **options: Any) -> Any:
        """Submit one job, and wait for its prediction, or with *save_to* for its outcome; see `Session.run`."""
        return self._thread.wait(self._thread.submit(self._session.run(job, **options)))

    def generate(
        self, jobs: Iterable[Job | object] | AsyncIterable[Job | object], **options: Any
    ) -> Generator[Outcome, None, None]:
        """Run many jobs, and yield their outcomes as they end; see `Session.generate`, which has the same options.

        An iterable without a length, such as a generator, runs in the thread that takes the outcomes, while it waits
        for the next one. So it may block, and may use objects that belong to that thread.
        """
        own: Iterator[object] = iter(())
        wishes = _Wishes()
        is_lazy = isinstance(jobs, Iterable) and not isinstance(jobs, Sized | AsyncIterable)
        if is_lazy and not hasattr(jobs, "__arrow_c_stream__"):
            own, jobs = iter(jobs), _draw(wishes)  # type: ignore[arg-type]
        return self._take(self._thread.wait(self._thread.submit(self._begin(jobs, options))), own, wishes)

    async def _begin(self, jobs: Any, options: dict[str, Any]) -> Batch:
        return self._session.generate(jobs, **options)

    def _take(self, batch: Batch, jobs: Iterator[object], wishes: _Wishes) -> Generator[Outcome, None, None]:
        try:
            while True:
                taking = self._thread.submit(_next(batch))
                taking.add_done_callback(lambda _: wishes.put(None))
                while self._thread.is_alive:
                    with contextlib.suppress(queue.Empty):
                        if (wish := wishes.get(timeout=STEP)) is None:
                            break
                        self._thread.tell(_settle, wish, _next_item(jobs))
                if (outcome := self._thread.wait(taking)) is None:
                    return
                yield outcome
        finally:
            self._thread.tell(batch.leave)


async def _next(batch: Batch) -> Outcome | None:
    return await anext(batch, None)


# ── drawing from the caller's iterable, in the caller's thread ───────────────────────────────────────────────────────


async def _draw(wishes: _Wishes) -> AsyncIterator[object]:
    while True:
        wish: asyncio.Future[_Drawn] = asyncio.get_running_loop().create_future()
        wishes.put(wish)
        item, error = await wish
        if error is not None:
            raise error
        if item is _END:
            return
        yield item


def _next_item(jobs: Iterator[object]) -> _Drawn:
    try:
        return next(jobs, _END), None
    except Exception as error:  # noqa: BLE001 - as in any session, raised to the caller after the last outcome
        return _END, error


def _settle(wish: "asyncio.Future[_Drawn]", drawn: _Drawn) -> None:
    if not wish.done():
        wish.set_result(drawn)


def _as_calls(function: Callable[P, Session]) -> Callable[P, SyncSession]:
    @functools.wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> SyncSession:
        return SyncSession(function(*args, **kwargs))

    make.__doc__ = "Make a session whose calls block; the arguments are those of `cometflux.open_session`."
    return make


open_session = _as_calls(opening.open_session)
