"""The event loop of a session: its clock, its timers and its tasks. Nothing else starts a task or reads that clock."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from cometflux.plain_text import log as _log


class Runtime:
    """The loop that a session was entered on. It owns every task that the session starts."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop; None before `enter`."""
        return self._loop

    def enter(self) -> None:
        """Belong to the running loop from now on."""
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        """Return the loop's time, in seconds."""
        assert self._loop is not None
        return self._loop.time()

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call *callback* at a time of the loop's clock."""
        assert self._loop is not None
        return self._loop.call_at(when, callback)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run *work* as a task. An exception that leaves it is logged."""
        assert self._loop is not None
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task of the session broke", exc_info=error)

    async def end_tasks(self, patience: float) -> None:
        """Cancel every task but the current one, and wait up to *patience* seconds for them to end."""
        # The current one may be drawing jobs, and closes the session from there.
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=patience)
            if left:
                _log.error("%d tasks of the session do not end though they were cancelled", len(left))
