"""Draws the jobs of a batch, no further ahead than there are slots and room for their outcomes."""

import asyncio

from cometflux.engine.runner import JobRunner
from cometflux.engine.savers import Savers
from cometflux.engine.submitter import MOST_POSTS
from cometflux.engine.tracking import JobTracker
from cometflux.session.batch import BatchState
from cometflux.storage.destination import Destination

_MOST_WAITING = 3 * MOST_POSTS // 2
"""At most so many jobs of batches are on their way to the service; enough for those in flight never to run out."""


class Feeder:
    """Draws jobs, and sets each on its way.

    Args:
        tracker: takes the jobs in.
        runner: runs them.
        savers: save their images.
        slots: one for each job that is submitted or pending.
    """

    def __init__(self, tracker: JobTracker, runner: JobRunner, savers: Savers, slots: asyncio.Semaphore) -> None:
        self._tracker = tracker
        self._runner = runner
        self._savers = savers
        self._slots = slots

    async def feed(self, batch: BatchState, place: Destination | None) -> None:
        """Draw every job of *batch*; its images go to *place*.

        Raises:
            Exception: whatever the caller's iterable raises.
            ConfigError: *place* cannot be written to.
        """
        if place is not None:
            await self._savers.prove(place)
        deliver = batch.deliver
        while True:
            await batch.room()
            await self._wait_for_turn()
            drawn = await batch.draw()
            if drawn is None:
                return
            tracked = self._tracker.enter(
                drawn.job,
                deliver,
                index=drawn.index,
                place=place,
                identity=drawn.identity,
                fingerprint=drawn.fingerprint,
            )
            await self._runner.start(tracked, batch.count_alike)

    async def _wait_for_turn(self) -> None:
        """Wait until few jobs wait to be submitted, and a slot is free."""
        # With thousands of slots, a task for each job would be memory.
        while self._tracker.count_waiting >= _MOST_WAITING:
            self._tracker.changed.clear()
            await self._tracker.changed.wait()
        # Wait for a free slot but do not hold it: the caller's iterable may be slow.
        if self._slots.locked():
            async with self._slots:
                pass
