"""Timeouts that share one timer, for many operations with the same time limit.

`asyncio.timeout` sets a timer for each, which costs more than everything else that this package does for a request.
"""

import asyncio
from typing import Any, Self


class Deadlines:
    """Ends operations that take longer than *seconds*."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # In the order in which they were started, which is also the order in which they are due.
        self._due: dict[Deadline, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, deadline: "Deadline") -> None:
        """Start the time of *deadline*, or start it again."""
        loop = asyncio.get_running_loop()
        self._due.pop(deadline, None)
        self._due[deadline] = due = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._sweep, loop)

    def remove(self, deadline: "Deadline") -> None:
        """Remove a deadline whose operation is over."""
        self._due.pop(deadline, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for deadline, due in [*self._due.items()]:
            if due > now:
                self._timer = loop.call_at(due, self._sweep, loop)
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
