"""Which job of an earlier run a job is: known again by its key, or by what it asks for."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cometflux.engine.tracked_job import TrackedJob
from cometflux.errors import InputError
from cometflux.images import reference_files, summaries
from cometflux.jobs import Job
from cometflux.journal import codec
from cometflux.journal.base import JournalBackend
from cometflux.journal.live_record import LiveRecord
from cometflux.journal.plan import job_of_record, new_identity
from cometflux.journal.record import identify
from cometflux.journal.redo import is_to_redo, redone, was_planned_as
from cometflux.models.output_of import find_outputs
from cometflux.protocol import encoding

LARGE = 512 * 1024
"""Input and bodies of so many bytes are digested in a thread."""


class JobIdentities:
    """Names jobs, and looks them up in the journal. Two identical jobs of one session follow one another.

    Args:
        journal: where earlier runs left their jobs.
    """

    def __init__(self, journal: JournalBackend) -> None:
        self._journal = journal
        self._files = reference_files.Descriptions()
        self._under_way: dict[str, TrackedJob] = {}

    async def identify(self, tracked: TrackedJob, count: Callable[[str], int] | None) -> None:
        """Name the job as the journal knows it.

        *count* returns how often a job with this fingerprint was drawn, this one included. Without it, a job that has
        no key is new each time.

        Raises:
            InputError: a file in its input cannot be read, and it has no key by which it could be known.
        """
        job = tracked.job
        if not self._journal.keeps or tracked.record.identity:
            return
        try:
            if tracked.sources:
                await self.name_sources(job)
            fingerprint = await self._fingerprint(job, is_flat=tracked.is_flat)
        except InputError as error:
            # A prediction that was paid for under a key is found even if a file of its input is gone.
            if job.key is None:
                raise
            tracked.unreadable, fingerprint = error, ""
        tracked.is_new = job.key is None and count is None
        identity = new_identity() if tracked.is_new else _identity(job, fingerprint, count)
        tracked.record.named(identity, fingerprint, job.input)

    async def name_sources(self, job: Job) -> None:
        """Find the journal's names for the jobs whose images *job* takes: of equal ones without a key, the first.

        Raises:
            InputError: a file in the input of one cannot be read, or one is not a job.
        """
        for _, output in find_outputs(job.input):
            if not output.identity:
                source = Job.of(output.source)
                await self.name_sources(source)
                output.identify(identify(None, await self._fingerprint(source), 1))

    async def check_unchanged(self, tracked: TrackedJob, ready: Job) -> None:
        """Prove that the files of a job, now read into *ready*, are those by which it is known.

        Raises:
            InputError: one has changed.
        """
        known = tracked.record.fingerprint
        if known and await self._fingerprint(ready) != known:
            fields = (name for name, value in tracked.job.input.items() if reference_files.holds_files(value))
            field = next(fields, "prompt")
            message = "a file has changed since the job was planned"
            hint = "put the earlier file back, or redo the job with the new one"
            raise InputError(field, _shown(tracked.job.input.get(field)), message, hint=hint)

    async def _fingerprint(self, job: Job, *, is_flat: bool = False) -> str:
        """Digest what *job* asks for, with each image as its own digest; an input that *is_flat* has none."""
        if is_flat:
            described = job.input
        elif reference_files.holds_files(job.input) or summaries.measure(job.input) > LARGE:
            described = await asyncio.to_thread(reference_files.describe_input, job.input, self._files)
        else:
            described = summaries.describe_input(job.input)
        return encoding.fingerprint(job.model, described)

    async def replan(self, tracked: TrackedJob, job: Job) -> None:
        """Plan a failed job again with another input. That is written with the intent; until then the job is failed.

        Raises:
            InputError: a file in its input cannot be read.
        """
        fingerprint = await self._fingerprint(job) if self._journal.keeps else ""
        tracked.record.reseeded(codec.dump_plan(tracked.record), job.input, fingerprint)
        tracked.take(job)
        tracked.is_written = False

    def find_claimed(self, identity: str) -> TrackedJob | None:
        """Return the job of this *identity* that is on its way in this session; None if there is none."""
        return self._under_way.get(identity)

    def is_under_way(self, identity: str) -> bool:
        """Whether a job of this *identity* is on its way in this session."""
        return identity in self._under_way

    async def claim(self, tracked: TrackedJob) -> bool:
        """Look the job up in the journal; return whether an earlier run left something of it.

        If an identical job is on its way in this session, wait for its end.

        Raises:
            InputError: its key is in the journal with another input.
            JournalError: the journal cannot be read.
        """
        identity = tracked.record.identity
        if identity:
            while (other := self._under_way.get(identity)) is not None:
                await other.over.wait()
            # A job that takes its image may wait already.
            tracked.over = tracked.over or asyncio.Event()
            self._under_way[identity] = tracked
        found = None if tracked.is_new else await self._journal.claim(identity)
        is_changed = found is not None and tracked.record.fingerprint not in ("", found.fingerprint)
        is_redone = found is not None and is_to_redo(found, tracked.key, tracked.redo)
        if found is not None and is_redone:
            # Written with the intent. A process that dies before that leaves the job as it was.
            found = redone(found, tracked.record if is_changed else None)
        elif found is not None and is_changed and was_planned_as(found, tracked.record.fingerprint):
            # Somebody has asked for it with another input since.
            tracked.take(job_of_record(found).job)
        elif is_changed:
            message = "the journal has this key with another input; give a changed job a new key"
            raise InputError("key", tracked.key, message)
        if tracked.unreadable is not None and (found is None or not found.bought):
            raise tracked.unreadable
        tracked.is_claimed = True
        # A plan that has changed is written, too.
        tracked.is_written = found is not None and not (is_redone and is_changed)
        if found is not None:
            tracked.record = LiveRecord.of(found)
        return found is not None

    def release(self, tracked: TrackedJob) -> None:
        """Let an identical job continue, because this one is over."""
        if tracked.over is not None:
            if self._under_way.get(tracked.record.identity) is tracked:
                del self._under_way[tracked.record.identity]
            tracked.over.set()


def _identity(job: Job, fingerprint: str, count: Callable[[str], int] | None) -> str:
    if job.key is not None:
        return identify(job.key, "", 1)
    assert count is not None
    # Jobs with keys are not counted: their places among the others must not matter.
    return identify(None, fingerprint, count(fingerprint))


def _shown(value: Any) -> Any:
    """Return the value of a parameter with the paths in a list as texts."""
    return [str(each) if isinstance(each, Path) else each for each in value] if isinstance(value, list) else value
