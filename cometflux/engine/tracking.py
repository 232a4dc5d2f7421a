"""The jobs of a session: each transition of each job exists here once.

A transition changes the job's record, hands it to the journal, keeps the accounts, and reports an event. The order
around a submission; from the intent on, nothing may come between::

    reserve → (pace) → begin: intent on the disk → POST → accept: response on the disk → pend
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from cometflux.basics.plain_text import log as _log
from cometflux.engine.id_owners import IdOwners, shared_id
from cometflux.engine.identity import LARGE, JobIdentities
from cometflux.engine.job_ends import conclude_record, saved_files, waits_for_the_next_run
from cometflux.engine.notifier import Notifier
from cometflux.engine.prediction_ends import End, PredictionEnds
from cometflux.engine.purchase_limit import PurchaseLimit
from cometflux.engine.tracked_job import TrackedJob
from cometflux.errors import CometfluxError, JournalError, UnknownSubmissionError
from cometflux.images.formats import Image
from cometflux.jobs import Job, position_key
from cometflux.journal.base import JournalBackend, Opened
from cometflux.journal.live_record import LiveRecord
from cometflux.journal.plan import job_of_record
from cometflux.journal.record import JobRecord
from cometflux.locations import StoredFile
from cometflux.outcomes import Outcome, OutcomeKind
from cometflux.predictions import Prediction, Status
from cometflux.provenance.sidecar import Submission


class JobTracker:
    """Keeps the jobs that are not over one by one, and the others by number only.

    Args:
        journal: where every transition is written.
        limit: how many predictions may be paid for.
        notifier: reports the transitions that a caller can see.
    """

    def __init__(self, journal: JournalBackend, limit: PurchaseLimit, notifier: Notifier) -> None:
        self._journal = journal
        self.keeps = journal.keeps
        """Whether a later process will find the jobs."""
        self.limit = limit
        """How many predictions may be paid for; settled by the transitions here."""
        self.notifier = notifier
        """Reports the transitions to the caller's observer."""
        # Dictionaries as sets that keep their order.
        self.waiting: dict[TrackedJob, None] = {}
        """The jobs that the service does not have yet."""
        self.pending: dict[TrackedJob, None] = {}
        """The jobs that the service has and that are not over here."""
        self.saving: dict[TrackedJob, None] = {}
        """The jobs whose predictions succeeded and whose images are not saved yet."""
        self.fetching = 0
        """How many calls of the caller's fetch images, or save them."""
        self._ended: Counter[OutcomeKind] = Counter()
        self._count = 0
        self._ids = IdOwners()
        self._journal_name = ""
        self._ends = PredictionEnds()
        self.on_disowned: Callable[[TrackedJob, CometfluxError], None] | None = None
        """Called with a pending job whose id turned out to be another job's; None as long as nothing is submitted."""
        self.identities = JobIdentities(journal)
        """Which job of an earlier run each job is."""
        self.changed = asyncio.Event()
        """Set when a job was claimed, was accepted, or ended, or when a call of the caller's has its images."""

    async def open(self) -> Opened:
        """Open the journal, and return its state.

        Raises:
            JournalError: it is in use, belongs to another account, is damaged, or cannot be written.
            ConfigError: it has predictions of a model without a price, and a maximum cost is set.
        """
        opened = await self._journal.open(counts_cost=self.limit.has_budget)
        self.limit.count(opened)
        self._journal_name = opened.journal
        self._ids.spend(opened.ids)
        # They are counted, and a long journal has many: nobody keeps them.
        return attrs.evolve(opened, ids=frozenset(), purchases=())

    async def aclose(self) -> None:
        """Write what is left, and let others have the journal."""
        await self._journal.aclose()

    def enter(
        self,
        job: Job,
        deliver: Callable[[Outcome], None],
        *,
        index: int | None = None,
        place: Any = None,
        patience: float | None = None,
        identity: str | None = None,
        fingerprint: str | None = None,
        name: str | None = None,
    ) -> TrackedJob:
        """Take a job in. Without an *index* of its batch it gets its place among all jobs of the session."""
        index = self._count if index is None else index
        key = position_key(index) if job.key is None else job.key
        tracked = TrackedJob(job, deliver, index=index, key=key, number=self._count, place=place, patience=patience)
        if identity is not None:
            tracked.record.named(identity, fingerprint or "", job.input)
        if name is not None:
            tracked.record.with_files(name)
        # Without a journal every job is new.
        tracked.is_claimed = not self.keeps
        self._count += 1
        self.waiting[tracked] = None
        self.notifier.submitted(tracked)
        return tracked

    async def claim(self, tracked: TrackedJob) -> bool:
        """Look the job up in the journal; see `JobIdentities.claim`."""
        is_known = await self.identities.claim(tracked)
        self.changed.set()
        return is_known

    def find_each(self, identities: Sequence[str]) -> Awaitable[list[JobRecord | None]]:
        """Look many jobs up in the journal in one turn, without claiming them.

        Raises:
            JournalError: the journal cannot be read.
        """
        return self._journal.find_each(identities)

    def take_record(self, tracked: TrackedJob, record: JobRecord) -> None:
        """Go on from the journal's record of a job that an earlier run submitted."""
        tracked.record = LiveRecord.of(record)
        tracked.prediction = record.last_prediction
        tracked.is_claimed = tracked.is_written = tracked.resumed = True

    def find_before(self, tracked: TrackedJob, identity: str) -> TrackedJob | None:
        """Return a job of this *identity* that was drawn before *tracked* and is not over; None if there is none."""
        found = self.identities.find_claimed(identity)
        if found is None:
            # A job that is not claimed yet waits for its slot; such are few.
            found = next((each for each in self.waiting if each.record.identity == identity), None)
        return found if found is not None and found.number < tracked.number else None

    # ── one submission ───────────────────────────────────────────────────────────────────────────────────────────────

    async def begin(self, tracked: TrackedJob, body: bytes) -> None:
        """Write the intent: when this returns, the submission may leave.

        Raises:
            JournalError: the disk refused; nothing may leave.
        """
        digest = await _digest(body) if self.keeps else ""
        tracked.record.sending(time.time(), digest, len(body), self.limit.estimate_once(tracked.job))
        await self._journal.intent(tracked.record, is_new=not tracked.is_written)
        tracked.is_written = True

    async def suspect(self, tracked: TrackedJob, error: CometfluxError) -> None:
        """Write the id that a torn response shows before more is found out, in case nothing more ever is."""
        if error.prediction_id is None:
            return
        tracked.record.suspected(error)
        try:
            await self._journal.answer(tracked.record, is_new=not tracked.is_written)
        except JournalError as refused:
            # Looking further can only help.
            text = "the journal could not record that %s may be prediction %s: %s"
            _log.error(text, tracked.key, error.prediction_id, refused.message)

    def note_cut_off(self, tracked: TrackedJob, prediction_id: str | None) -> None:
        """Note that nobody waits for the response any more, and the id if that had come by then."""
        message = "the submission was cut off while it waited for its response"
        tracked.record.suspected(UnknownSubmissionError(message, "cancelled", prediction_id=prediction_id))

    def withdraw(self, tracked: TrackedJob, error: CometfluxError | None) -> None:
        """Close a submission that was rejected, or provably never left."""
        self.limit.settle(tracked, is_bought=False)
        if tracked.is_in_flight:
            tracked.record.withdrawn(error)
            self._note(tracked)

    def mark_unknown(self, tracked: TrackedJob, error: CometfluxError) -> None:
        """Close a submission that may have been accepted; it counts as paid for."""
        self.limit.settle(tracked, is_bought=True)
        tracked.record.ended(OutcomeKind.UNKNOWN, None, error)
        self._note(tracked)

    def own(self, tracked: TrackedJob, prediction: Prediction) -> None:
        """Take the id that the service gave as that of *tracked*: an id belongs to one job.

        If another job has the id, the first one keeps it, unless the echoed input proves that it is this job's. Then
        the other job, if it is pending, becomes unknown.

        Raises:
            UnknownSubmissionError: the id is another job's; this one may have been accepted under an id of its own.
        """
        loser = self._ids.claim(prediction, tracked, self.pending)
        if loser is not None:
            loser.prediction = None
            assert self.on_disowned is not None
            self.on_disowned(loser, shared_id(prediction))

    def knows(self, prediction_id: str) -> bool:
        """Whether a prediction belongs to a job of this session, or of an earlier run."""
        return self._ids.owner(prediction_id) is not None or self._ids.is_spent(prediction_id)

    def submission_of(self, record: JobRecord) -> Submission | None:
        """Return what proves that an image is this job's; None without a journal."""
        if not self._journal_name or not record.body:
            return None
        return Submission(journal=self._journal_name, job=record.identity, attempt=record.attempt, body=record.body)

    async def accept(self, tracked: TrackedJob, prediction: Prediction) -> None:
        """Write a prediction's id. If the disk refuses, the prediction is still polled and saved."""
        # First, so that a cancellation at any later moment finds the id.
        tracked.prediction = prediction
        self.limit.settle(tracked, is_bought=True)
        tracked.record.accepted(prediction, time.time())
        try:
            await self._journal.answer(tracked.record, is_new=not tracked.is_written)
            tracked.is_written = True
        except JournalError as error:
            # The message alone: the error says of the money that nothing was sent, and this was.
            text = "the journal could not record that %s is prediction %s: %s"
            _log.error(text, tracked.key, prediction.id, error.message)

    # ── the prediction ───────────────────────────────────────────────────────────────────────────────────────────────

    def pend(self, tracked: TrackedJob, prediction: Prediction) -> None:
        """Note that the service has the job, and that its prediction is to be polled."""
        del self.waiting[tracked]
        # The task that submitted it is all but over, and need not be kept as long as the prediction runs.
        tracked.task = None
        tracked.prediction = prediction
        self._ids.take(prediction.id, tracked)
        self.pending[tracked] = None
        self.changed.set()
        if self.notifier.is_on:
            self.notifier.accepted(tracked, prediction.id, self.limit.estimate(tracked.job)[0])

    def retry(self, tracked: TrackedJob, prediction: Prediction, error: CometfluxError) -> None:
        """Note that a prediction failed for a transient reason, and that the job is to be submitted once more."""
        del self.pending[tracked]
        self._ends.tell(tracked, error)
        tracked.record.ended(OutcomeKind.FAILED, prediction, None)
        self._wait_again(tracked, error)

    def retry_saved(self, tracked: TrackedJob, files: tuple[Image, ...], error: CometfluxError) -> None:
        """Note that images are saved, and that the job is to be submitted once more because of *error*."""
        tracked.record.saved(saved_files(files), None)
        tracked.keep_saved(files)
        del self.saving[tracked]
        self._wait_again(tracked, error)

    def _wait_again(self, tracked: TrackedJob, error: CometfluxError) -> None:
        self.waiting[tracked] = None
        self._note(tracked, can_wait=True)
        self._ids.release(tracked)
        tracked.prediction = None
        tracked.resumed = False
        tracked.last_error = error

    def conclude(self, tracked: TrackedJob, prediction: Prediction) -> None:
        """Note that a prediction succeeded, and that its images are to be saved."""
        del self.pending[tracked]
        self.saving[tracked] = None
        tracked.prediction = prediction
        tracked.record.ended(OutcomeKind.SUCCEEDED, prediction, None)
        self._note(tracked, can_wait=True)
        self._ends.tell(tracked, prediction)

    def end(
        self,
        tracked: TrackedJob,
        kind: OutcomeKind,
        error: CometfluxError | None,
        files: tuple[Image, ...] = (),
        *,
        is_recorded: bool = False,
    ) -> None:
        """End a job, and deliver its outcome; the error learns the job's key and id.

        *is_recorded* says that the journal knows the end already.
        """
        assert not tracked.is_over, "a job ends once"
        paths = tuple([image.path for image in files])
        tracked.is_over = True
        self.limit.settle(tracked, is_bought=tracked.is_in_flight)
        for jobs in (self.waiting, self.pending, self.saving):
            jobs.pop(tracked, None)
        self._ended[kind] += 1
        try:
            if tracked.is_claimed and not is_recorded and not waits_for_the_next_run(kind, error):
                self._record_end(tracked, kind, error, files)
            self.identities.release(tracked)
            self._ids.release(tracked)
        finally:
            # Whatever breaks, whoever waits for the job gets its outcome.
            self._deliver(tracked, kind, error, paths)

    def _deliver(
        self, tracked: TrackedJob, kind: OutcomeKind, error: CometfluxError | None, paths: tuple[Path | StoredFile, ...]
    ) -> None:
        if error is not None:
            error.key = error.key or tracked.key
            error.prediction_id = error.prediction_id or tracked.prediction_id
        self.changed.set()
        self._ends.tell(tracked, error or tracked.prediction)
        cost, basis = self.limit.estimate(tracked.job, tracked.record.bought)
        self.notifier.ended(tracked, kind, error, cost)
        tracked.deliver(
            Outcome(
                index=tracked.index,
                key=tracked.key,
                job=tracked.job,
                kind=kind,
                prediction=tracked.prediction,
                error=error,
                files=paths,
                resumed=tracked.resumed,
                estimated_cost=cost,
                cost_basis=basis,
            )
        )

    # ── predictions that are known by their ids ──────────────────────────────────────────────────────────────────────

    def owner(self, prediction_id: str) -> TrackedJob | None:
        """Return the job of this session that has the prediction and is not over; None if there is none."""
        owner = self._ids.owner(prediction_id)
        return None if owner is None or owner.is_over else owner

    def follow(
        self,
        prediction_id: str,
        known: JobRecord | None,
        deliver: Callable[[Outcome], None],
        patience: float | None,
    ) -> TrackedJob:
        """Take a prediction in that is known by its id. *known* is the journal's record of its job, if it has one."""
        prediction = Prediction(id=prediction_id, status=Status.UNRECOGNIZED)
        if known is None:
            tracked = self.enter(Job.of_prediction(prediction), deliver, patience=patience)
            tracked.record.echoing(_LARGEST_ECHO)
        else:
            job, names = job_of_record(known).job, {"identity": known.identity, "fingerprint": known.fingerprint}
            tracked = self.enter(job, deliver, index=known.index, patience=patience, **names)
        tracked.prediction = prediction
        tracked.resumed = tracked.is_followed = tracked.is_given_up = True
        # From now on, whoever follows the same id finds it here.
        self._ids.take(prediction_id, tracked)
        return tracked

    def disclaim(self, tracked: TrackedJob) -> None:
        """Note that the journal's record is not that of this prediction, so that nothing is written about it."""
        tracked.is_claimed = tracked.is_written = False
        self.identities.release(tracked)

    def end_of(self, tracked: TrackedJob) -> "asyncio.Future[End]":
        """Return the end of a job's prediction, whether its images are saved or not; see `PredictionEnds.of`."""
        end = self._ends.of(tracked)
        if tracked in self.saving:
            self._ends.tell(tracked, tracked.prediction)
        return end

    async def find(self, prediction_id: str) -> JobRecord | None:
        """Return the journal's record of a prediction; None if it has none, or cannot be read."""
        if not self.keeps:
            return None
        if (owner := self._ids.owner(prediction_id)) is not None:
            return owner.record.snapshot() if owner.is_written else None
        if not self._ids.is_spent(prediction_id):
            return None
        try:
            return await self._journal.find_prediction(prediction_id)
        except JournalError as error:
            # The images expire; how they were made is in the journal.
            _log.error("the journal could not be read for prediction %s: %s", prediction_id, error.message)
            return None

    # ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _record_end(
        self, tracked: TrackedJob, kind: OutcomeKind, error: CometfluxError | None, files: tuple[Image, ...]
    ) -> None:
        before = tracked.record.snapshot() if tracked.resumed else None
        conclude_record(tracked, kind, error, files)
        # What an earlier run had found out may be all there is to say.
        if before is None or tracked.record.snapshot() != before:
            self._note(tracked, can_wait=tracked.prediction is not None)

    def _note(self, tracked: TrackedJob, *, can_wait: bool = False) -> None:
        self._journal.end(tracked.record, is_new=not tracked.is_written, can_wait=can_wait)

    # ── the accounts ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def accounting(self) -> dict[str, int]:
        """How many jobs there are in all, waiting, pending, saving, and of each kind of end.

        The parts make up ``all``.
        """
        kinds = {kind.value: self._ended[kind] for kind in OutcomeKind}
        return {
            "all": self._count,
            "waiting": len(self.waiting),
            "pending": len(self.pending),
            "saving": len(self.saving),
            **kinds,
        }


_LARGEST_ECHO = 32 * 1024 * 1024
"""The size that the input of a job may have of which only the id is known, in bytes; each response repeats it."""


async def _digest(body: bytes) -> str:
    digest = hashlib.sha256(body) if len(body) < LARGE else await asyncio.to_thread(hashlib.sha256, body)
    return digest.hexdigest()
