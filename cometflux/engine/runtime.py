"""The event loop of a session: its clock, its timers and its tasks. Nothing else starts a task or reads that clock."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any, TypeAlias

from cometflux.basics.plain_text import log as _log
from cometflux.transport.deadlines import postpone
from cometflux.transport.event_loop import running_loop

_LATE = 1.0
"""A timer that is called so many seconds too late shows that the loop stood still."""


class Standstill:
    """Adds up the seconds in which the loop did not run, because the process was stopped or computed."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """The time lost so far, in seconds."""
        self._until = 0.0

    def note(self, due: float, now: float) -> bool:
        """Note that a timer due at *due* was called at *now*; return whether that was late.

        Two timers that were late for the same reason count once.
        """
        if now - due <= _LATE:
            return False
        self.seconds += max(now - max(due, self._until), 0.0)
        self._until = now
        return True


OnEnd: TypeAlias = Callable[[asyncio.Task[None]], object]
"""Called with a task at its end."""


class Runtime:
    """The loop that a session was entered on. It owns every task that the session starts."""

    def __init__(self) -> None:
        self.on_exit: Callable[[BaseException], None] | None = None
        """Ends the session in order, because a callback asked to exit; None before the session is made."""
        self.on_defect: Callable[[BaseException], None] | None = None
        """Closes the session, because a task of it broke; None if there is none to close."""
        self.standstill = Standstill()
        """How long the process stood still, as far as the timers of the session show."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop; None before `enter`."""
        self.now: Callable[[], float] = _no_time
        """Returns the loop's time, in seconds."""
        self._tasks: dict[asyncio.Task[None], OnEnd | None] = {}

    def enter(self) -> None:
        """Belong to the running loop from now on."""
        self.loop = loop = running_loop()
        self.now = loop.time

    def time_run(self) -> float:
        """Return the loop's time without the seconds in which the process stood still."""
        return self.now() - self.standstill.seconds

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call *callback* at a time of the loop's clock."""
        assert self.loop is not None
        return self.loop.call_at(when, self._call, when, callback)

    def _call(self, when: float, callback: Callable[[], None]) -> None:
        self.standstill.note(when, self.now())
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - no task would notice that it broke
            self.note_defect(error)

    def call_in_time(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call *callback* at a time of the loop's clock; if the process stood still then, what came is read first."""

        def call() -> None:
            later = postpone(when, self.now())
            if later is None:
                callback()
            else:
                self.call_at(later, callback)

        return self.call_at(when, call)

    def spawn(self, work: Coroutine[Any, Any, None], on_end: OnEnd | None = None) -> asyncio.Task[None]:
        """Run *work* as a task that only the session cancels. An exception that leaves it closes the session.

        *on_end* is called with the task at its end, even if the task was cancelled before its first step.
        """
        task = self.spawn_listed(work)
        # A program that ends cancels every task that asyncio lists, and a submission in flight must not be cut off.
        asyncio._unregister_task(task)
        self._tasks[task] = on_end
        task.add_done_callback(self._forget)
        return task

    def spawn_listed(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run *work* as a task that asyncio lists, so that it is cancelled when the program ends."""
        assert self.loop is not None
        return self.loop.create_task(work)

    def _forget(self, task: asyncio.Task[None]) -> None:
        on_end = self._tasks.pop(task, None)
        try:
            if on_end is not None:
                on_end(task)
        finally:
            error = None if task.cancelled() else task.exception()
            # The loop itself raises these two.
            if not (error is None or isinstance(error, SystemExit | KeyboardInterrupt)):
                self.note_defect(error)

    def note_defect(self, error: BaseException) -> None:
        """Log an error that nobody foresaw, and close the session, since some of its jobs might never end."""
        _log.error("a task of the session failed", exc_info=error)
        if self.on_defect is not None:
            self.on_defect(error)

    def owns_current(self) -> asyncio.Task[None] | None:
        """Return the current task if the session started it; None if it is the caller's."""
        task = asyncio.current_task()
        return task if task in self._tasks else None

    def exit(self, error: BaseException) -> None:
        """End the session in order, and raise *error* then: a callback raised SystemExit or KeyboardInterrupt."""
        assert self.on_exit is not None
        self.on_exit(error)

    def outlive(self, error: BaseException) -> None:
        """Go on in spite of what a callable of the caller's raised; at an exit, end the session in order.

        Raises:
            CancelledError: it was not raised by the callable: the session cancels the current task.
        """
        task = asyncio.current_task()
        if isinstance(error, SystemExit | KeyboardInterrupt):
            self.exit(error)
        elif isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
            raise error

    async def end_tasks(self, spared: Collection[asyncio.Task[None]], patience: float) -> None:
        """Cancel every task but the current one and *spared*, and wait up to *patience* seconds for them to end."""
        tasks = self._tasks.keys() - {asyncio.current_task(), *spared}
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=patience)
            if left:
                _log.error("%d tasks of the session do not end though they were cancelled", len(left))


def _no_time() -> float:
    raise RuntimeError("the session was not entered")
