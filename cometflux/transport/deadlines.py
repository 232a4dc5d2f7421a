"""Timeouts that share one timer, for many operations with the same time limit; and waiting that no cancellation ends.

`asyncio.timeout` sets a timer for each, which costs more than everything else that this package does for a request.
"""

import asyncio
import math
from typing import Any, Protocol, Self, TypeVar

_T = TypeVar("_T")

LATE = 0.1
"""A timer that is called this much too late, in seconds, shows that the process stood still."""
GRACE = 0.5
"""How long the loop may read what came meanwhile, in seconds, before a deadline counts."""


def postpone(scheduled: float, now: float, grace: float = GRACE) -> float | None:
    """Return when to look again at deadlines whose timer was *scheduled* and was called *now*; None to end them.

    A process that stood still finds responses in its sockets, and the loop calls due timers before it has read them.
    """
    return now + grace if now - scheduled > LATE else None


class Expiring(Protocol):
    """An operation with a time limit."""

    def expire(self) -> None:
        """Take note that the time is over."""


class Deadlines:
    """Ends operations that take longer than *seconds*, but first reads what came while the process stood still.

    If the process stood still, they get *grace* seconds more.
    """

    def __init__(self, seconds: float, grace: float = GRACE) -> None:
        self.seconds = seconds
        self._grace = grace
        # In the order in which they were started, which is also the order in which they are due.
        self._due: dict[Expiring, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, deadline: Expiring) -> float:
        """Start the time of *deadline*, or start it again; return the loop's time, in seconds."""
        loop = asyncio.get_running_loop()
        self._due.pop(deadline, None)
        now = loop.time()
        self._due[deadline] = due = now + self.seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._sweep, loop, due)
        return now

    def remove(self, deadline: Expiring) -> None:
        """Remove a deadline whose operation is over."""
        self._due.pop(deadline, None)

    def is_due(self, deadline: Expiring) -> bool:
        """Whether the time of *deadline* is over, or it was removed. A timer may be late."""
        return self._due.get(deadline, -math.inf) <= asyncio.get_running_loop().time()

    def _sweep(self, loop: asyncio.AbstractEventLoop, scheduled: float, until: float | None = None) -> None:
        """End what was due at the time *until*, which is given if the sweep was postponed."""
        now = loop.time()
        if until is None and (later := postpone(scheduled, now, self._grace)) is not None:
            # Once for each lateness: on a loop that always computes, every timer is late.
            self._timer = loop.call_at(later, self._sweep, loop, later, now)
            return
        self._timer = None
        until = now if until is None else until
        for deadline, due in [*self._due.items()]:
            if due > until:
                self._timer = loop.call_at(due, self._sweep, loop, due)
                return
            del self._due[deadline]
            deadline.expire()

    def close(self) -> None:
        """Stop the timer. Operations that still run have no time limit any more."""
        if self._timer is not None:
            self._timer.cancel()


class Deadline:
    """A context manager that raises `TimeoutError` when its time is over. The time begins with `start`."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._is_late = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._deadlines.remove(self)
        if not self._is_late:
            return
        assert self._task is not None
        # If the task was also cancelled from elsewhere, the cancellation wins.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def start(self) -> None:
        """Start the time, or start it again."""
        self._deadlines.add(self)

    def expire(self) -> None:
        """Cancel the task, because the time is over."""
        assert self._task is not None
        self._is_late = True
        self._task.cancel()


async def finish(work: asyncio.Future[_T]) -> _T:
    """Wait for *work* to end, however often this is cancelled; then deliver the cancellation.

    Raises:
        CancelledError: this was cancelled; *work* has ended.
        BaseException: *work* raised it.
    """
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return work.result()
