"""Draws the jobs of batches, no further ahead than there are slots and room for their outcomes."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import TypeAlias

from cometflux.basics.plain_text import log as _log
from cometflux.engine.page_starter import Check, PageStarter
from cometflux.engine.runner import JobRunner
from cometflux.engine.runtime import Runtime
from cometflux.engine.savers import Savers
from cometflux.engine.submitter import MOST_POSTS
from cometflux.engine.tracked_job import TrackedJob
from cometflux.engine.tracking import JobTracker
from cometflux.errors import CometfluxError, SessionClosedError, SessionStoppedError
from cometflux.outcomes import Outcome
from cometflux.session.batch import BatchState
from cometflux.storage.destination import Destination
from cometflux.transport.deadlines import finish

Deliver: TypeAlias = "Callable[[Outcome], None]"
_MOST_WAITING = 3 * MOST_POSTS // 2
"""At most so many jobs of batches are on their way to the service; enough for those in flight never to run out."""


class Feeder:
    """Draws the jobs of each batch in a task of its own, and sets each job on its way.

    Args:
        tracker: takes the jobs in.
        runner: runs them.
        savers: save their images.
        slots: one for each job that is submitted or pending.
        runtime: starts the tasks.
    """

    def __init__(
        self, tracker: JobTracker, runner: JobRunner, savers: Savers, slots: asyncio.Semaphore, runtime: Runtime
    ) -> None:
        self._tracker = tracker
        self._runner = runner
        self._savers = savers
        self._slots = slots
        self._runtime = runtime
        self._batches: weakref.WeakSet[BatchState] = weakref.WeakSet()
        self._tasks: dict[BatchState, asyncio.Task[None]] = {}
        self._held = 0
        """How many jobs wait for other jobs, whose images they take."""
        self._pages = PageStarter(tracker, runner, runtime)
        self.has_saved = False
        """Whether the journal has jobs that are saved, so that it is worth looking up many at once."""
        self.has_unfinished = False
        """Whether the journal has jobs that are paid for and not finished."""

    def start(self, batch: BatchState, place: Destination | None) -> None:
        """Begin to draw *batch*; its images go to *place*."""
        self._batches.add(batch)
        self._tasks[batch] = self._runtime.spawn(self._feed(batch, place))

    def leave(self, batch: BatchState) -> None:
        """Stop drawing because the caller has left, and give up the jobs that were not submitted."""
        self._close(batch)
        self._give_up(batch)

    def stop(self, cause: CometfluxError) -> None:
        """End every batch with *cause*, after its last outcome."""
        for batch in tuple(self._batches):
            if self.has_unfinished and batch.is_finite:
                # Some of its jobs may be paid for by earlier runs, and are polled and saved.
                batch.note(SessionStoppedError(cause))
            else:
                self._close(batch, SessionStoppedError(cause))
        self._give_up()

    def give_up_all(self) -> None:
        """End every batch because the session is closed, and give up the jobs that were not submitted."""
        for batch in tuple(self._batches):
            error = SessionClosedError("the session was closed before the batch was over")
            # Most of its jobs may have been sent and paid for.
            error.tells_money = False
            self._close(batch, error)
        self._give_up()

    def _close(self, batch: BatchState, error: CometfluxError | None = None) -> None:
        batch.close(error)
        task = self._tasks.pop(batch, None)
        if task is not None:
            task.cancel()

    def _give_up(self, batch: BatchState | None = None) -> None:
        """Give up the jobs of *batch*, or of all, that were not submitted."""
        for tracked in tuple(self._tracker.waiting):
            if batch is None or tracked.deliver == batch.deliver:
                self._runner.give_up(tracked)

    async def _feed(self, batch: BatchState, place: Destination | None) -> None:
        error: BaseException | None = None
        try:
            await self._draw(batch, place)
        except BaseException as raised:  # noqa: BLE001 - the caller's iterable may raise anything, and it is handed on
            # Closing a batch cancels this task.
            error = None if batch.is_closed else raised
        self._tasks.pop(batch, None)
        batch.close(error)
        if isinstance(error, SystemExit | KeyboardInterrupt):
            self._runtime.exit(error)
        if (source := batch.open_source) is not None:
            # Closing the session cancels this task, but the generator may still await something.
            await finish(self._runtime.spawn_listed(self._close_source(source)))

    async def _close_source(self, source: AsyncGenerator[object, None]) -> None:
        """Close the caller's async generator, so that it cleans up now and not when it is collected."""
        try:
            await source.aclose()
        except BaseException as error:  # noqa: BLE001 - the caller's generator may raise anything
            self._runtime.outlive(error)
            _log.error("the generator of jobs raised an error when it was closed", exc_info=error)

    async def _draw(self, batch: BatchState, place: Destination | None) -> None:
        """Draw every job of *batch*; its images go to *place*.

        Raises:
            Exception: whatever the caller's iterable raises.
            ConfigError: *place* cannot be written to.
        """
        if place is not None:
            await self._savers.prove(place)
        check = place.checker() if place is not None and self.has_saved else None
        deliver = batch.deliver  # one bound method for all jobs, of which thousands may be pending
        while True:
            await batch.room()
            await self._wait_for_turn()
            if check is not None and (most := batch.most_at_once) > 1:
                if await self._draw_page(batch, deliver, place, most, check) < most:
                    return
                continue
            tracked = await self._draw_one(batch, deliver, place)
            if tracked is None:
                return
            try:
                await self._runner.start(tracked, batch.count_alike)
            except Exception as error:
                # Nobody else would end the job.
                self._runtime.note_defect(error)
                raise

    async def _draw_page(
        self, batch: BatchState, deliver: Deliver, place: Destination | None, most: int, check: Check
    ) -> int:
        """Draw up to *most* jobs, set them on their way together, and return how many there were."""
        page: list[TrackedJob] = []
        try:
            while len(page) < most and (tracked := await self._draw_one(batch, deliver, place)) is not None:
                page.append(tracked)
        finally:
            # Also if the caller's iterable raised: each job that was drawn ends.
            if page:
                await self._pages.start(page, batch.count_alike, check)
        return len(page)

    async def _draw_one(self, batch: BatchState, deliver: Deliver, place: Destination | None) -> TrackedJob | None:
        drawn = await batch.draw()
        if drawn is None:
            return None
        tracked = self._tracker.enter(
            drawn.job,
            deliver,
            index=drawn.index,
            place=place,
            identity=drawn.identity,
            fingerprint=drawn.fingerprint,
            name=drawn.name,
        )
        batch.count()
        tracked.redo = batch.redo
        if tracked.sources:
            self._held += 1
            batch.held += 1
            tracked.on_ready = partial(self._note_ready, batch)
        return tracked

    def _note_ready(self, batch: BatchState) -> None:
        self._held -= 1
        batch.note_ready()

    async def _wait_for_turn(self) -> None:
        """Wait until few jobs wait to be submitted, and a slot is free."""
        # With thousands of slots, a task for each job would be memory.
        while len(self._tracker.waiting) - self._held >= _MOST_WAITING:
            self._tracker.changed.clear()
            await self._tracker.changed.wait()
        # Wait for a free slot but do not hold it: the caller's iterable may be slow.
        if self._slots.locked():
            async with self._slots:
                pass
