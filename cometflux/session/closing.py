"""How a session ends: once, in order, whatever is cancelled meanwhile.

::

    nothing more is submitted → what is in flight is answered, images are saved (the grace) → the tasks of the session
        are cancelled → what is pending is detached → the journal is closed → the transport is closed
"""

import asyncio
import concurrent.futures.thread  # noqa: F401 - its pools are closed after the sessions if it is imported before
import contextlib
import threading
import weakref
from collections.abc import Callable

from cometflux.engine.latch import Latch
from cometflux.engine.runner import JobRunner
from cometflux.engine.runtime import Runtime
from cometflux.engine.savers import Savers
from cometflux.engine.tracked_job import TrackedJob
from cometflux.engine.tracking import JobTracker
from cometflux.session import interrupts
from cometflux.transport.base import Transport
from cometflux.transport.deadlines import finish

_MOMENT = 0.1
"""Seconds that a program has to leave a session that an exit has closed."""
_FAREWELL = 5.0
"""How long a task that was cancelled may take to end, in seconds."""


class Closing:
    """Ends a session in a task of its own, so that a cancellation around it cannot break it off.

    Args:
        tracker: the jobs, and the journal to close.
        runner: ends what is left.
        latch: is closed first.
        runtime: the clock and the tasks.
        transport: closed last.
        savers: closed before it.
        grace: seconds to wait for submissions in flight and for images to be saved.
        give_up: ends the batches, and gives up the jobs that were not submitted.
    """

    def __init__(
        self,
        tracker: JobTracker,
        runner: JobRunner,
        latch: Latch,
        runtime: Runtime,
        transport: Transport,
        savers: Savers,
        grace: float,
        give_up: Callable[[], None],
    ) -> None:
        self._tracker = tracker
        self._runner = runner
        self._latch = latch
        self._runtime = runtime
        self._transport = transport
        self._savers = savers
        self._grace = grace
        self._give_up = give_up
        self._has_closed: asyncio.Future[None] | None = None
        self._has_ended = threading.Event()
        """Set when the session is closed, for other threads."""
        self._has_begun = False
        self._is_closing = False
        """Whether the task that closes the session has begun."""
        self._is_grace_over = False
        self._is_hurried = False
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: list[asyncio.Task[None]] = []
        """The tasks of the session that wait for its end."""
        self._error: BaseException | None = None
        """Raised to the first one who waits for the end."""

    def enter(self) -> None:
        """Watch for the end of the program from now on."""
        assert self._runtime.loop is not None
        self._has_closed = self._runtime.loop.create_future()
        self._keeper = self._runtime.spawn_listed(self._keep(self._has_closed))
        interrupts.watch(self.hurry, self._runtime.loop)
        _open.add(self)

    async def _keep(self, has_closed: asyncio.Future[None]) -> None:
        """Close the session when a program that ends cancels this task."""
        try:
            await asyncio.wait([has_closed])
        except asyncio.CancelledError:
            self.begin()
            await finish(has_closed)

    def begin(self) -> None:
        """Begin to close the session, if that has not begun."""
        if not self._has_begun:
            self._latch.is_closed = True
            self._runtime.spawn(self._close())
            # Last: a signal may break off any line before, and then somebody else begins.
            self._has_begun = True

    def begin_from_outside(self) -> bool:
        """Begin to close the session from another thread; return whether its loop runs, so that it will be closed."""
        loop = self._runtime.loop
        if self._latch.is_forked or loop is None or not loop.is_running():
            return False
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self.begin)
            return True
        return False

    def wait_from_outside(self) -> None:
        """Wait in another thread until the session is closed, but not for ever: its loop may be stuck."""
        self._has_ended.wait(self._grace + 3 * _FAREWELL)

    def interrupt(self, error: BaseException) -> None:
        """Close the session in order; then *error* is raised: to a task that waits for the end, else in the loop."""
        self._error = self._error or error
        self.begin()

    def fail(self, error: BaseException) -> None:
        """Close the session in order, because a task of it broke."""
        self._latch.fail(error)
        self.begin()

    def hurry(self) -> None:
        """Close the session in order, but wait only for what is in flight: images can be saved by the next run."""
        self._is_hurried = True
        self._tracker.changed.set()
        if not self._has_begun:
            # The program goes on despite the first interrupt.
            self.interrupt(KeyboardInterrupt())

    def end_grace(self) -> None:
        """Wait no longer for what is in flight or being saved."""
        self._is_grace_over = True
        self._tracker.changed.set()

    async def wait(self) -> None:
        """Wait until the session is closed, however often this is cancelled.

        Raises:
            BaseException: closing failed, or a callback asked to exit.
        """
        assert self._has_closed is not None
        if (task := self._runtime.owns_current()) is not None:
            # It may be drawing jobs, and closes the session from there.
            self._waiters.append(task)
        try:
            await finish(self._has_closed)
        finally:
            self._raise()

    async def _close(self) -> None:
        assert self._has_closed is not None
        if self._is_closing:
            return
        self._is_closing = True
        # The wait stands here twice because a signal may break off the first one.
        for step in (self._wait_for_money, self._wait_for_money, self._end_jobs, self._close_journal, self._disconnect):
            try:
                await step()
            except BaseException as error:  # noqa: BLE001 - every step is made; the first error is raised afterwards
                self._error = self._error or error
        if isinstance(self._error, SystemExit | KeyboardInterrupt):
            # The program gets a moment to leave the session by itself.
            self._runtime.call_at(self._runtime.now() + _MOMENT, self._raise)
        interrupts.release(self.hurry)
        _open.discard(self)
        self._has_ended.set()
        self._has_closed.set_result(None)

    async def _wait_for_money(self) -> None:
        """Give up what was not sent, and wait for what is in flight or being saved, as long as the grace lasts."""
        self._give_up()
        if self._timer is None:
            self._timer = self._runtime.call_in_time(self._runtime.now() + self._grace, self.end_grace)
        while not self._is_grace_over and self._holds_money():
            self._tracker.changed.clear()
            await self._tracker.changed.wait()

    def _holds_money(self) -> bool:
        """Whether closing now would lose an id, or an image that was to be saved."""
        waiting = self._tracker.waiting
        if any(each.is_in_flight or each.is_being_accepted for each in waiting):
            return True
        identical = {each for each in waiting if self._waits_for_identical(each)}
        # A job that is not claimed may be paid for already, unless that is known of an identical one.
        if any(each.task and not each.is_claimed and each not in identical for each in waiting):
            return True
        paid = (each for each in (*waiting, *self._tracker.pending) if each.prediction or each in identical)
        is_unsaved = any(each.place is not None for each in paid)
        return not self._is_hurried and (is_unsaved or bool(self._tracker.saving) or self._tracker.fetching > 0)

    def _waits_for_identical(self, tracked: TrackedJob) -> bool:
        """Whether a job waits for the end of an identical one of this session."""
        other = self._tracker.identities.find_claimed(tracked.record.identity)
        return not tracked.is_claimed and other is not None and other is not tracked

    async def _end_jobs(self) -> None:
        """End every task, and then every job that has not ended."""
        if self._timer is not None:
            self._timer.cancel()
        await self._runtime.end_tasks(self._waiters, _FAREWELL)
        tracker = self._tracker
        for tracked in (*tracker.saving, *tracker.pending, *tracker.waiting):
            try:
                self._runner.break_off(tracked)
            except BaseException as error:  # noqa: BLE001 - whatever breaks at one job, each of them ends
                self._runtime.note_defect(error)

    async def _close_journal(self) -> None:
        await self._tracker.aclose()

    async def _disconnect(self) -> None:
        try:
            await self._savers.aclose()
        finally:
            await self._transport.aclose()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


_open: "weakref.WeakSet[Closing]" = weakref.WeakSet()
"""The sessions that are open."""


def _close_all() -> None:
    for each in [each for each in tuple(_open) if each.begin_from_outside()]:
        each.wait_from_outside()


# The program may end while the loop of a session runs in another thread. When the main thread has ended, no pool of
# threads works any more: the session could neither write its journal nor save an image.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]
