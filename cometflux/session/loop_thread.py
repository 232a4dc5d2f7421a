"""Holds a session open on an event loop in a thread of its own, for callers that block."""

import asyncio
import concurrent.futures.thread
import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cometflux.basics.plain_text import log as _log
from cometflux.errors import ConfigError, SessionClosedError
from cometflux.session.session import Session

T = TypeVar("T")
Call = concurrent.futures.Future
STEP = 0.5
"""Seconds of one wait. On Windows, Ctrl-C does not break off a wait without an end."""


class LoopThread:
    """The thread of one session, from `start` to `close`. Any other thread may call it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._thread = threading.Thread(target=self._live, name="cometflux", daemon=True)
        self._process = os.getpid()
        self._has_begun = threading.Event()
        self._has_ended = threading.Event()
        self._error: BaseException | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs. In a process that was forked from this one, it does not."""
        # Thread.is_alive and Thread.join are wrong after a Ctrl-C that came in join: before Python 3.13, it takes the
        # thread for one that has ended.
        return self._has_begun.is_set() and not self._has_ended.is_set() and os.getpid() == self._process

    def start(self) -> None:
        """Enter the session, and return when it is open.

        Raises:
            CometfluxError: as entering the session does.
        """
        if self._thread.ident is not None:
            raise SessionClosedError("a session is entered once")
        _open.add(self)
        self._thread.start()
        try:
            while not self._has_begun.wait(STEP):
                pass
        except KeyboardInterrupt:
            self._has_begun.wait()
            self.close(is_interrupted=True)
            raise
        if self._error is not None:
            self.close()

    def close(self, *, is_interrupted: bool = False) -> None:
        """Close the session as `Session.aclose` does, and end the thread.

        A second Ctrl-C ends the wait for images, a third one that for submissions in flight, and a fourth one breaks
        this off. *is_interrupted* says that there was one already.
        """
        if self._thread is threading.current_thread():
            raise ConfigError("a function that the session calls cannot close it")
        self.tell(lambda: self._leaving.set())
        presses, has_told = int(is_interrupted), False
        interrupt: KeyboardInterrupt | None = None
        while self.is_alive:
            try:
                if presses and not has_told:
                    has_told = True
                    _log.warning(
                        "stopping: waiting up to 30 s for what is paid for; "
                        "Ctrl-C again waits only for submissions in flight"
                    )
                self._has_ended.wait(STEP)
            except KeyboardInterrupt as pressed:
                interrupt, presses = pressed, presses + 1
                if presses > 3:
                    raise
                if presses > 1:
                    self.tell(self._session.hurry if presses == 2 else self._session.end_grace)
        if self._has_ended.is_set():
            self._thread.join()
        error, self._error = self._error or interrupt, None
        if error is not None:
            raise error

    def submit(self, work: Coroutine[Any, Any, T]) -> "Call[T]":
        """Run *work* on the loop.

        Raises:
            ConfigError: this is the session's own thread.
            SessionClosedError: the session is not open.
        """
        try:
            if self._thread is threading.current_thread():
                raise ConfigError("a function that the session calls cannot call it, and wait for itself")
            if not self.is_alive:
                raise SessionClosedError("the session is not open in this process: enter it with 'with'")
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except BaseException:
            work.close()
            raise

    def wait(self, call: "Call[T]") -> T:
        """Wait for a call, and return its result or raise its error; give it up if this wait is broken off."""
        try:
            while not call.done() and self.is_alive:
                concurrent.futures.wait([call], STEP)
        finally:
            call.cancel()
        if call.cancelled():
            error = SessionClosedError("the session was closed meanwhile")
            # The call may have sent something.
            error.tells_money = False
            raise error
        return call.result()

    def tell(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call *function* on the loop soon, if there still is one."""
        if self.is_alive:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function, *arguments)

    def _live(self) -> None:
        try:
            asyncio.run(self._hold())
        except BaseException as error:  # noqa: BLE001 - raised to the caller, who enters or closes the session
            self._error = error
        finally:
            self._has_begun.set()
            self._has_ended.set()

    async def _hold(self) -> None:
        self._loop, self._leaving = asyncio.get_running_loop(), asyncio.Event()
        async with self._session:
            self._has_begun.set()
            await self._leaving.wait()


_open: "weakref.WeakSet[LoopThread]" = weakref.WeakSet()


def _close_all() -> None:
    with contextlib.ExitStack() as stack:
        for each in tuple(_open):
            stack.callback(each.close)


# A program may end with a session open. When the handlers of atexit run it is too late: no pool of threads works then.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]
