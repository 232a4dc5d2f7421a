"""What is bought, counted and written down: every step of every job reaches the disk before the next one is taken.

The order around a submission; from the intent on, nothing may come between::

    may one more be bought? → (pace) → intent on the disk → POST → answer on the disk → registry
"""

import asyncio
import contextlib
import copy
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from uuid import uuid4

from cometflux.engine.tracking import TrackedJob
from cometflux.errors import CometfluxError, ConnectError, InputError, JournalError, LimitError, Money
from cometflux.images import reference_files, summaries
from cometflux.images.formats import Image
from cometflux.jobs import Job
from cometflux.journal.background import BackgroundWriter
from cometflux.journal.record import JobRecord, SavedFile, State, identify
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.polling.hazard import CompletionTimes
from cometflux.predictions import Prediction
from cometflux.protocol import encoding
from cometflux.storage import folder

_log = logging.getLogger("cometflux")
_LARGE = 512 * 1024
_MOST_CLAIMED = 100_000
_R = TypeVar("_R")


class JobJournal:
    """Counts what is bought, and keeps a journal where there is one.

    Args:
        writer: the journal; None to keep none.
        most: how many predictions may be bought altogether, those in the journal included; None for any number.
        on_fault: told of each write that failed.
    """

    def __init__(
        self, writer: JournalWriter | None, most: int | None, *, on_fault: Callable[[JournalError], None]
    ) -> None:
        self._recorder = None if writer is None else BackgroundWriter(writer, on_fault)
        self._folder = None if writer is None else writer.path.absolute().parent
        self._most = most
        self._is_open = False
        self._bought = 0
        self._open: set[TrackedJob] = set()
        self._has_changed = asyncio.Event()
        self._descriptions = reference_files.Descriptions()
        self._under_way: dict[str, TrackedJob] = {}
        self._claimed: set[int] | None = None
        """Marks of the jobs taken up, while those are few and the journal was empty before; else None."""

    @property
    def is_kept(self) -> bool:
        """Whether there is a journal."""
        return self._recorder is not None

    async def open(self) -> None:
        """Open the journal.

        Raises:
            JournalError: it is in use, belongs to something else, is damaged, or cannot be written to.
        """
        if self._recorder is not None and self._folder is not None:
            self._bought = await self._recorder.open()
            self._is_open = True
            self._claimed = set() if self._recorder.was_empty else None
            try:
                # Nobody else works here, and no batch does yet, so what is half written is a killed run's.
                await asyncio.to_thread(folder.sweep, self._folder)
            except BaseException:
                await self.aclose()
                raise

    @property
    def learned(self) -> Mapping[str, CompletionTimes]:
        """What earlier runs have seen of the predictions of each model."""
        return {} if self._recorder is None else self._recorder.learned

    def learn(self, model: str, observed: CompletionTimes) -> None:
        """Note what was seen of a model's predictions."""
        if self._recorder is not None:
            self._recorder.learn(model, observed)

    async def aclose(self) -> None:
        """Write down what is left, and let others have the journal."""
        if self._recorder is not None and self._is_open:
            self._is_open = False
            await self._recorder.aclose()

    # ── what a job is ────────────────────────────────────────────────────────────────────────────────────────────────

    async def identify(self, entry: TrackedJob, count: Callable[[str], int] | None) -> None:
        """Name the job so that a later run knows it again.

        *count* tells how often a job that asks for the same has been drawn, this one included; without it, a job
        that has no key is a new one each time.

        Raises:
            InputError: a file that it names cannot be read.
        """
        if self._recorder is None or entry.identity is not None:
            return
        if entry.job.key is not None:
            # Set first: what was bought under a key is found even where a file of its input is gone.
            entry.identity = identify(entry.job.key, "", 1)
        described = await self._describe(entry.job)
        entry.fingerprint = encoding.fingerprint(entry.job.model, described)
        if entry.job.key is not None:
            return
        if count is None:
            entry.identity = f"run:{uuid4().hex}"
        else:
            # Jobs with keys are not counted: where they stand among the others must not matter.
            entry.identity = identify(None, entry.fingerprint, count(entry.fingerprint))

    async def check_unchanged(self, entry: TrackedJob, ready: Job) -> None:
        """Prove that the files of a job are those by which it is known.

        Raises:
            InputError: one has changed.
        """
        # Only a file can change between two looks.
        if self._recorder is None or ready is entry.job:
            return
        described = await self._describe(ready)
        if encoding.fingerprint(ready.model, described) != entry.fingerprint:
            raise InputError("input", entry.job.prompt, "a file that it names has changed since the job was planned")

    async def _describe(self, job: Job) -> Mapping[str, Any]:
        if reference_files.holds_files(job.input) or summaries.measure(job.input) > _LARGE:
            return await asyncio.to_thread(reference_files.describe_input, job.input, self._descriptions)
        return summaries.describe_input(job.input)

    def is_under_way(self, entry: TrackedJob) -> bool:
        """Whether an identical job is being carried in this session."""
        return entry.identity in self._under_way

    async def claim(self, entry: TrackedJob) -> JobRecord | None:
        """Take a job up; return what the journal knows of it, None where it is new.

        While an identical job is under way in this session, this waits for its end.

        Raises:
            InputError: its key stands in the journal for something else.
            JournalError: the journal cannot be read.
        """
        assert self._recorder is not None
        assert entry.identity is not None
        while (other := self._under_way.get(entry.identity)) is not None:
            assert other.over is not None
            await other.over.wait()
        entry.over = asyncio.Event()
        self._under_way[entry.identity] = entry
        record = None if self._is_surely_new(entry.identity) else await _own(self._recorder.find(entry.identity))
        if record is not None and entry.fingerprint not in (None, record.fingerprint):
            raise InputError(
                "key", entry.key, "the journal has this key for another input; give a changed job a new key"
            )
        if entry.unreadable is not None and (record is None or not record.bought):
            raise entry.unreadable
        entry.is_looked_up = True
        entry.is_written = record is not None
        entry.record = record or _new_record(entry)
        return record

    @property
    def is_owing(self) -> bool:
        """Whether the journal held predictions, when it was opened, that are paid for and not on the disk."""
        return self._recorder is not None and self._recorder.is_owing

    def _is_surely_new(self, identity: str) -> bool:
        """Whether the journal need not be asked: it was empty, and nobody came with this identity since."""
        if identity.startswith("run:"):
            return True
        if self._claimed is None:
            return False
        # What is taken for known though it is new is looked up, and that is all.
        mark = hash(identity)
        is_new = mark not in self._claimed
        self._claimed.add(mark)
        if len(self._claimed) > _MOST_CLAIMED:
            self._claimed = None
        return is_new

    # ── one submission ───────────────────────────────────────────────────────────────────────────────────────────────

    async def reserve(self, entry: TrackedJob) -> None:
        """Wait until one more may be bought, and keep that for this job until the submission is closed.

        Raises:
            LimitError: as many are bought as may be.
        """
        # One that is under way may still come to nothing, and then another can be bought.
        while self._most is not None and self._bought + len(self._open) >= self._most:
            if self._bought >= self._most:
                raise LimitError(f"the limit of {self._most} predictions is reached")
            self._has_changed.clear()
            await self._has_changed.wait()
        self._open.add(entry)

    async def begin(self, entry: TrackedJob, body: bytes) -> None:
        """Write the intent: when this returns, the submission may leave.

        Raises:
            JournalError: the disk refused; nothing may leave.
        """
        if self._recorder is None:
            return
        assert entry.record is not None
        digest = hashlib.sha256(body) if len(body) < _LARGE else await asyncio.to_thread(hashlib.sha256, body)
        entry.record = entry.record.sending(time.time(), digest.hexdigest(), entry.input_size)
        await self._write(entry)

    async def suspect(self, entry: TrackedJob, error: CometfluxError) -> None:
        """Note, durably, what is known of a submission while more is being found out, in case nothing more ever is."""
        if entry.record is not None and error.money is Money.UNKNOWN and error.prediction_id is not None:
            entry.record = entry.record.suspected(error)
            # Where the disk refuses, asking is the better for it.
            with contextlib.suppress(JournalError):
                await self._write(entry)

    def withdraw(self, entry: TrackedJob, error: CometfluxError | None) -> None:
        """Close a submission that was refused, or provably never left."""
        self._settle(entry, is_bought=False)
        if self._recorder is not None and entry.record is not None and entry.record.state is State.INTENT:
            entry.record = entry.record.withdrawn(error)
            self._note(entry)

    async def accept(self, entry: TrackedJob, prediction: Prediction) -> None:
        """Note a prediction's id, durably. Where the disk refuses, the prediction goes on all the same."""
        self._settle(entry, is_bought=True)
        if self._recorder is None or entry.record is None:
            return
        entry.record = entry.record.accepted(prediction, time.time())
        try:
            await self._write(entry)
        except JournalError as error:
            # The message alone: what the error says of the money is that nothing was sent, and this was.
            text = "the journal could not take in that %s is prediction %s: %s"
            _log.error(text, entry.key, prediction.id, error.message)

    def doubt(self, entry: TrackedJob, error: CometfluxError) -> None:
        """Note a submission of unknown fate; it counts as bought."""
        self._settle(entry, is_bought=True)
        if self._recorder is not None and entry.record is not None:
            entry.record = entry.record.ended(OutcomeKind.UNKNOWN, None, error)
            self._note(entry)

    def _settle(self, entry: TrackedJob, *, is_bought: bool) -> None:
        if entry in self._open:
            self._open.discard(entry)
            self._bought += is_bought
            self._has_changed.set()

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def conclude(
        self, entry: TrackedJob, kind: OutcomeKind, prediction: Prediction, error: CometfluxError | None
    ) -> None:
        """Note that a prediction is over; its images may be still to be saved."""
        if self._recorder is not None and entry.record is not None:
            entry.record = entry.record.ended(kind, prediction, error)
            self._note(entry)

    def end(
        self,
        entry: TrackedJob,
        kind: OutcomeKind,
        error: CometfluxError | None,
        files: tuple[Image, ...],
        *,
        is_told: bool,
    ) -> None:
        """Note how a job ended; *is_told* where the journal knows that already."""
        record = entry.record
        self._settle(entry, is_bought=entry.sending)
        if self._recorder is not None and record is not None and not is_told and not _goes_back(record, kind, error):
            entry.record = _concluded(record, entry, kind, error, files)
            # What an earlier run had found out may be all there is to say.
            if not entry.resumed or entry.record != record:
                self._note(entry)
        if entry.identity is not None and self._under_way.get(entry.identity) is entry:
            del self._under_way[entry.identity]
            assert entry.over is not None
            entry.over.set()

    async def _write(self, entry: TrackedJob) -> None:
        assert self._recorder is not None
        assert entry.record is not None
        await _own(self._recorder.write(entry.record, is_new=not entry.is_written))
        entry.is_written = True

    def _note(self, entry: TrackedJob) -> None:
        assert self._recorder is not None
        assert entry.record is not None
        self._recorder.note(entry.record, is_new=not entry.is_written)


async def _own(awaitable: Awaitable[_R]) -> _R:
    """Give each job an error of its own: one write that fails concerns many."""
    try:
        return await awaitable
    except JournalError as error:
        raise copy.copy(error) from error


def _new_record(entry: TrackedJob) -> JobRecord:
    assert entry.identity is not None
    assert entry.fingerprint is not None
    return JobRecord(
        identity=entry.identity,
        index=entry.index,
        key=entry.key,
        model=entry.job.model,
        input=reference_files.absolute(entry.job.input)
        if reference_files.holds_files(entry.job.input)
        else entry.job.input,
        fingerprint=entry.fingerprint,
    )


def _goes_back(record: JobRecord, kind: OutcomeKind, error: CometfluxError | None) -> bool:
    """Whether a job that was not sent waits for the next run, since nothing is wrong with the job itself."""
    return kind is OutcomeKind.NOT_SENT and not isinstance(error, InputError | ConnectError)


def _concluded(
    record: JobRecord, entry: TrackedJob, kind: OutcomeKind, error: CometfluxError | None, files: tuple[Image, ...]
) -> JobRecord:
    if record.state is State.PLANNED and kind in (OutcomeKind.FAILED, OutcomeKind.UNKNOWN):
        # It was settled by hand that it is sent again, and so it will be.
        return record
    if record.kind is OutcomeKind.SUCCEEDED and (
        kind is OutcomeKind.DETACHED or (kind is OutcomeKind.EXPIRED and record.files)
    ):
        # It was asked after once more only to fetch what is missing here; what is there, or elsewhere, stays.
        return record
    ended = record.ended(kind, entry.prediction, error)
    if kind is not OutcomeKind.SUCCEEDED or entry.place is None:
        return ended
    return ended.saved(tuple(SavedFile(name=f.path.name, size=f.size, digest=f.digest) for f in files), error)
