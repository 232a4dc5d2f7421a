"""Starts many drawn jobs at once: those that an earlier run saved end without a task and a slot for each."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from cometflux.engine.runner import JobRunner
from cometflux.engine.runtime import Runtime
from cometflux.engine.tracked_job import TrackedJob
from cometflux.engine.tracking import JobTracker
from cometflux.errors import JournalError
from cometflux.images.formats import Image
from cometflux.journal.record import JobRecord
from cometflux.outcomes import OutcomeKind
from cometflux.storage.backend import Jobs

_Saved = tuple[JobRecord, tuple[Image, ...]]
"""A job's record in the journal, and its images, which are all there."""
Check = Callable[[Jobs], Awaitable[Sequence[tuple[Image, ...] | None]]]


class PageStarter:
    """Looks a page of jobs up in one turn of the journal and one of the disk, and starts those that are not over.

    Args:
        tracker: has the journal.
        runner: runs the jobs that are not saved, or of which that is not certain.
        runtime: starts the task of a page.
    """

    def __init__(self, tracker: JobTracker, runner: JobRunner, runtime: Runtime) -> None:
        self._tracker = tracker
        self._runner = runner
        self._runtime = runtime

    async def start(self, page: Sequence[TrackedJob], count: Callable[[str], int], check: Check) -> None:
        """Start the drawn jobs of a page; return when each has its slot, or does not need one.

        If this is cancelled, the page is started all the same, since its jobs may be paid for. All have one place.
        *count* is as for `JobRunner.start`, and *check* is that place's `Destination.checker`.
        """
        task = self._runtime.spawn(self._start(page, count, check), lambda task: self._end_with(task, page))
        for tracked in page:
            tracked.task = task
        await asyncio.wait([task])

    def _end_with(self, task: "asyncio.Task[None]", page: Sequence[TrackedJob]) -> None:
        for tracked in page:
            if tracked.task is task:
                self._runner.end_with(task, tracked)

    async def _start(self, page: Sequence[TrackedJob], count: Callable[[str], int], check: Check) -> None:
        named = [tracked for tracked in page if await self._runner.identify(tracked, count)]
        saved: dict[TrackedJob, _Saved] = {}
        # If the journal or the place cannot be read, each job finds that out for itself.
        with contextlib.suppress(Exception):
            saved = await self._find_saved(named, check)
        for tracked, (record, files) in saved.items():
            if not self._tracker.identities.is_under_way(tracked.record.identity):
                self._tracker.take_record(tracked, record)
                self._runner.end(tracked, OutcomeKind.SUCCEEDED, None, files, is_recorded=True)
        for tracked in named:
            if not tracked.is_over:
                await self._runner.start(tracked, count)

    async def _find_saved(self, page: Sequence[TrackedJob], check: Check) -> dict[TrackedJob, _Saved]:
        """Find the jobs that are saved, and whose images are all there, unchanged.

        Raises:
            JournalError: the journal cannot be read.
            OutputError: the place cannot be looked at.
        """
        # A job that is to be redone is started as usual.
        asked = [tracked for tracked in page if tracked.place is not None and not tracked.redo]
        records = await self._find_records([tracked.record.identity for tracked in asked])
        known = [
            (tracked, record)
            for tracked, record in zip(asked, records, strict=True)
            if record is not None and _is_saved(tracked, record)
        ]
        if not known:
            return {}
        checked = await check([[(f.name, f.size, f.digest) for f in record.files] for _, record in known])
        return {
            tracked: (record, files)
            for (tracked, record), files in zip(known, checked, strict=True)
            if files is not None
        }

    async def _find_records(self, identities: Sequence[str]) -> list[JobRecord | None]:
        with contextlib.suppress(JournalError):
            return await self._tracker.find_each(identities)
        # A damaged row hides the others of its turn: they are found one by one.
        return [await self._find_one(identity) for identity in identities]

    async def _find_one(self, identity: str) -> JobRecord | None:
        with contextlib.suppress(JournalError):
            return (await self._tracker.find_each([identity]))[0]
        return None


def _is_saved(tracked: TrackedJob, record: JobRecord) -> bool:
    return record.state_name == "saved" and tracked.record.fingerprint in ("", record.fingerprint)
