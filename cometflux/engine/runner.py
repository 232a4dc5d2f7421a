"""The way of one job, from the slot to its outcome, whichever way that ends.

::

    claimed → slot → files read → submission → registry → asked after → slot freed → saved → outcome
       └── known from an earlier run: asked after, saved, or told at once

From the moment before the POST until its answer is in the registry and in the journal, nothing but the end of the
event loop interrupts it: the task that carries it belongs to the session, not to whoever awaits the result.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from cometflux.engine.journaling import JobJournal
from cometflux.engine.poller import Poller
from cometflux.engine.saver import Saver
from cometflux.engine.submitter import Submitter
from cometflux.engine.tracking import JobTracker, TrackedJob
from cometflux.errors import CometfluxError, InputError, Money, OutputError, SessionClosedError, UnknownSubmissionError
from cometflux.events import Accepted, Ended, Observer, Retried, Saved
from cometflux.images import reference_files, summaries
from cometflux.images.formats import Image
from cometflux.journal.record import JobRecord
from cometflux.journal.states import NextStep
from cometflux.outcomes import OutcomeKind, kind_of_loss, verdict
from cometflux.predictions import Prediction
from cometflux.provenance import sidecar
from cometflux.storage import file_names
from cometflux.storage.destination import Destination

_log = logging.getLogger("cometflux")

UNSAVED = "the session was closed before the images were saved"


class JobRunner:
    """Carries jobs to their ends.

    Args:
        registry: where each of them stands.
        ledger: what is bought and written down.
        submitter: submits.
        asker: asks after what was accepted.
        saver: fetches and writes images.
        slots: one for each job that is submitted or pending.
        retry_failed: how often to buy a job again whose prediction failed for a passing reason.
        spawn: runs a coroutine beside this one.
        why_not_sent: None while more may be sent, else why not.
        on_doom: told of what dooms every further submission.
        on_change: called when a job has gone on.
        tell: told of what happens; None where nobody listens.
    """

    def __init__(
        self,
        registry: JobTracker,
        ledger: JobJournal,
        submitter: Submitter,
        asker: Poller,
        saver: Saver,
        slots: asyncio.Semaphore,
        *,
        retry_failed: int,
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
        why_not_sent: Callable[[], CometfluxError | None],
        on_doom: Callable[[CometfluxError], None],
        on_change: Callable[[], None],
        tell: Observer | None,
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._submitter = submitter
        self._asker = asker
        self._saver = saver
        self._slots = slots
        self._retry_failed = retry_failed
        self._spawn = spawn
        self._why_not_sent = why_not_sent
        self._on_doom = on_doom
        self._on_change = on_change
        self._tell = tell

    # ── on the way there ─────────────────────────────────────────────────────────────────────────────────────────────

    async def identify(self, entry: TrackedJob, count: Callable[[str], int] | None) -> None:
        """Name the job as the journal knows it; *count* counts those that ask for the same.

        Raises:
            InputError: a file of its input cannot be read, and it has no key by which it could be known.
        """
        try:
            await self._ledger.identify(entry, count)
        except InputError as error:
            # What a key stands for is known without the files.
            if entry.identity is None:
                raise
            entry.unreadable = error

    def launch(self, entry: TrackedJob) -> None:
        """Set a job on its way."""
        entry.task = self._spawn(self._carry(entry))
        # Not in the coroutine itself: a task that is cancelled before its first step never enters it.
        entry.task.add_done_callback(lambda task: self._cut_off(task, entry))

    def give_up(self, entry: TrackedJob) -> None:
        """Stop a job that has not been sent, and buy nothing more for it; what has left goes on."""
        entry.is_given_up = True
        # One that is not looked up yet may be bought already, and about one of unknown fate somebody is deciding.
        is_open = entry.sending or entry.prediction is not None or entry.doubt is not None
        if entry.task is not None and entry.is_looked_up and not is_open:
            entry.task.cancel()

    def _cut_off(self, task: "asyncio.Task[None]", entry: TrackedJob) -> None:
        if not task.cancelled() or entry.is_over:
            return
        if entry.prediction is not None:
            self.lose(entry, SessionClosedError("the session was closed first", money=Money.ACCEPTED))
        elif entry.sending:
            message = "the submission was cut off while its answer was awaited"
            self.lose(entry, entry.doubt or UnknownSubmissionError(message, "cancelled"))
        else:
            self.lose(entry, self.reason_not_sent())

    def reason_not_sent(self) -> CometfluxError:
        """Tell why a job was stopped before it was sent."""
        return self._why_not_sent() or CometfluxError("the caller gave the job up")

    async def _carry(self, entry: TrackedJob) -> None:
        """Bring a job to the service, or to its end."""
        try:
            # One that failed and is bought again has been taken up already.
            is_known = self._ledger.is_kept and entry.failed is None
            entry.is_looked_up = not is_known
            if not (is_known and await self._take_up(entry)):
                await self._submit(entry)
        except CometfluxError as error:
            self.lose(entry, error)
        except Exception as error:  # noqa: BLE001 - a transport of the caller's may raise anything; no job is dropped
            self.lose(entry, unforeseen(error, entry))

    async def _submit(self, entry: TrackedJob) -> None:
        await self._take_slot(entry)
        job = await reference_files.read_images(entry.job)
        await self._ledger.check_unchanged(entry, job)
        entry.input_size = summaries.measure(job.input)
        entry.prediction = prediction = await self._submitter.submit(entry, job)
        await self._accept(entry, prediction)

    async def _take_slot(self, entry: TrackedJob) -> None:
        if not entry.holds_slot:
            await self._slots.acquire()
            entry.holds_slot = True
        if entry.admitted is not None:
            entry.admitted.set()

    def free_slot(self, entry: TrackedJob) -> None:
        """Let another job have the slot of this one."""
        if entry.holds_slot:
            entry.holds_slot = False
            self._slots.release()

    async def _accept(self, entry: TrackedJob, prediction: Prediction) -> None:
        await self._ledger.accept(entry, prediction)
        self._go_on(entry, prediction)

    def _go_on(self, entry: TrackedJob, prediction: Prediction) -> None:
        self._enter_registry(entry, prediction)
        if prediction.status.is_terminal:
            self.conclude(entry, prediction)
        else:
            self._asker.add(entry)

    def _enter_registry(self, entry: TrackedJob, prediction: Prediction) -> None:
        entry.sending = False
        entry.failed = entry.doubt = None
        self._registry.accept(entry, prediction)
        self._on_change()
        if self._tell:
            self._tell(
                Accepted(
                    key=entry.key,
                    index=entry.index,
                    prediction_id=prediction.id,
                    resumed=entry.resumed,
                    attempts=entry.take_attempts(),
                    job_id=id(entry),
                )
            )

    # ── known from an earlier run ────────────────────────────────────────────────────────────────────────────────────

    async def _take_up(self, entry: TrackedJob) -> bool:
        """Go on from where the journal says the job stands; return whether there is nothing to submit."""
        await self.identify(entry, None)
        if self._ledger.is_under_way(entry):
            # Whoever is under way may be waiting for this slot.
            self.free_slot(entry)
        record = await self._ledger.claim(entry)
        self._on_change()
        if record is None:
            self._check_wanted(entry)
            return False
        entry.failures = record.failures
        entry.input_size = record.input_size
        match record.next_step(self._retry_failed):
            case NextStep.SUBMIT:
                self._remember_purchase(entry, record)
                self._check_wanted(entry)
                return False
            case NextStep.DECIDE:
                return await self._decide(entry, record)
            case NextStep.POLL:
                await self._ask_on(entry, record)
            case NextStep.SAVE:
                await self._save_on(entry, record)
            case NextStep.REPORT:
                self._tell_again(entry, record)
        return True

    def _check_wanted(self, entry: TrackedJob) -> None:
        if entry.is_given_up or self._why_not_sent() is not None:
            raise self.reason_not_sent()

    def _remember_purchase(self, entry: TrackedJob, record: JobRecord) -> None:
        """Note what is paid for already, in case buying it once more comes to nothing."""
        if record.kind is OutcomeKind.FAILED:
            entry.failed = record.last_prediction
            entry.failures += 1
        elif record.earlier and record.earlier[-1].kind is OutcomeKind.UNKNOWN:
            entry.doubt = record.back_to_previous_attempt().unknown_error

    async def _decide(self, entry: TrackedJob, record: JobRecord) -> bool:
        entry.resumed = True
        entry.doubt = doubt = record.unknown_error
        # The intent is an earlier process's: noted as unknown, so that nothing here withdraws it.
        self._ledger.doubt(entry, doubt)
        await self._look_for_id(entry, record, doubt)
        prediction = await self._submitter.confirm(doubt, record.input_size)
        prediction = prediction or await self._submitter.decide(entry, doubt)
        if prediction is None:
            entry.resumed = False
            return False
        entry.prediction = prediction
        await self._ledger.accept(entry, prediction)
        await self._take_slot(entry)
        self._go_on(entry, prediction)
        return True

    async def _look_for_id(self, entry: TrackedJob, record: JobRecord, doubt: UnknownSubmissionError) -> None:
        """Look whether an image tells what the journal could not: a disk may take the one and not the other."""
        if doubt.prediction_id is not None or entry.place is None or record.began is None:
            return
        stem = file_names.file_stem(entry.index, entry.job)
        try:
            doubt.prediction_id = await entry.place.find_id(stem, entry.job, record.began)
        except OutputError as error:
            # It may be there, so nobody is to buy it again meanwhile.
            self._on_doom(error)
            raise doubt from error
        await self._ledger.suspect(entry, doubt)

    async def _ask_on(self, entry: TrackedJob, record: JobRecord) -> None:
        entry.resumed = True
        # Set before the wait: what is paid for is not given up.
        entry.prediction = record.last_prediction
        await self._take_slot(entry)
        self._enter_registry(entry, entry.prediction)
        self._asker.add(entry, age=time.time() - record.answered if record.answered else 0.0)

    async def _save_on(self, entry: TrackedJob, record: JobRecord) -> None:
        """Tell of what is saved; what is missing is fetched again, from where the service says it is now."""
        entry.resumed = True
        entry.prediction = record.last_prediction
        files: tuple[Image, ...] | None = () if record.last_prediction.output else None
        try:
            if entry.place is not None:
                files = await _look_for_files(entry.place, entry, record)
        except OutputError as error:
            # They may be there, and the journal goes on to say so.
            self._on_doom(error)
            self.end(entry, OutcomeKind.SUCCEEDED, error, is_told=True)
            return
        if files is None:
            await self._ask_on(entry, record)
        else:
            self.end(entry, OutcomeKind.SUCCEEDED, None, files)

    def _tell_again(self, entry: TrackedJob, record: JobRecord) -> None:
        entry.resumed = True
        if record.is_abandoned:
            self.end(entry, OutcomeKind.CANCELED, record.unknown_error, is_told=True)
            return
        entry.prediction = record.last_prediction
        kind, error = verdict(entry.prediction)
        self.end(entry, kind, error, is_told=True)

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def conclude(self, entry: TrackedJob, prediction: Prediction) -> None:
        """Take the service's last word."""
        kind, error = verdict(prediction)
        if kind is OutcomeKind.FAILED and self._may_buy_again(entry, error):
            self._buy_again(entry, prediction)
            return
        self.free_slot(entry)
        if error is None and entry.place is not None:
            self._registry.conclude(entry, prediction)
            self._ledger.conclude(entry, kind, prediction, None)
            self._spawn(self._save(entry, prediction, entry.place))
        else:
            entry.prediction = prediction
            self.end(entry, kind, error)

    def _may_buy_again(self, entry: TrackedJob, error: CometfluxError | None) -> bool:
        is_passing = getattr(error, "is_transient", False)
        is_wanted = not entry.is_given_up and self._why_not_sent() is None
        return is_passing and is_wanted and entry.failures < self._retry_failed

    def _buy_again(self, entry: TrackedJob, prediction: Prediction) -> None:
        self._ledger.conclude(entry, OutcomeKind.FAILED, prediction, None)
        entry.prediction = prediction
        self._registry.again(entry)
        entry.resumed = False
        if self._tell:
            error = verdict(prediction)[1]
            assert error is not None
            self._tell(Retried(key=entry.key, index=entry.index, error=error, job_id=id(entry)))
        self.launch(entry)

    async def _save(self, entry: TrackedJob, prediction: Prediction, place: Destination) -> None:
        files: tuple[Image, ...] = ()
        error: OutputError | None = OutputError(UNSAVED)
        try:
            record = sidecar.record_of(prediction, entry.job, entry.key, entry.index)
            stem = file_names.file_stem(entry.index, entry.job)
            files, error = await self._saver.save(prediction, place, stem, record, attempts=entry.attempts)
            if error is not None and error.is_disk:
                # What cannot be kept is not to be bought.
                self._on_doom(error)
            if files and self._tell:
                self._tell(
                    Saved(
                        key=entry.key,
                        prediction_id=prediction.id,
                        files=tuple(image.path for image in files),
                        size=sum(image.size for image in files),
                        job_id=id(entry),
                    )
                )
        except Exception as broken:  # noqa: BLE001 - the job ends, whatever broke
            _log.exception("saving broke")
            error = OutputError(f"saving broke ({type(broken).__name__}: {broken})")
        finally:
            if not entry.is_over:
                self.end(entry, OutcomeKind.SUCCEEDED, error, files)

    def lose(self, entry: TrackedJob, error: CometfluxError) -> None:
        """End a job without the service's last word."""
        kind = kind_of_loss(error)
        is_free = kind in (OutcomeKind.NOT_SENT, OutcomeKind.REJECTED)
        if is_free and entry.doubt is not None:
            # Sending it again came to nothing; what may be paid for is the first.
            self.end(entry, OutcomeKind.UNKNOWN, entry.doubt)
        elif is_free and entry.failed is not None:
            entry.prediction = entry.failed
            self.end(entry, *verdict(entry.failed))
        else:
            self.end(entry, kind, error)

    def end(
        self,
        entry: TrackedJob,
        kind: OutcomeKind,
        error: CometfluxError | None = None,
        files: tuple[Image, ...] = (),
        *,
        is_told: bool = False,
    ) -> None:
        """End a job, once; *is_told* where the journal knows it already."""
        self.free_slot(entry)
        if entry.admitted is not None:
            entry.admitted.set()
        self._ledger.end(entry, kind, error, files, is_told=is_told)
        entry.sending = False
        outcome = self._registry.end(entry, kind, error, tuple(image.path for image in files))
        self._on_change()
        if self._tell:
            self._tell(
                Ended(
                    key=entry.key,
                    index=entry.index,
                    kind=kind,
                    prediction_id=entry.prediction_id,
                    error=error,
                    resumed=entry.resumed,
                    status=entry.prediction.status if entry.prediction else None,
                    images=len(entry.prediction.output) if entry.prediction else 0,
                    attempts=entry.take_attempts(),
                    job_id=id(entry),
                )
            )
        entry.deliver(outcome)


async def _look_for_files(place: Destination, entry: TrackedJob, record: JobRecord) -> tuple[Image, ...] | None:
    """Find the images of a prediction that succeeded: where the journal says, else where a crash left them."""
    assert record.prediction_id is not None
    if record.is_whole:
        kept = await place.check_files([(each.name, each.size, each.digest) for each in record.files])
        if kept is not None:
            return kept
    count = len(record.last_prediction.output)
    stem = file_names.file_stem(entry.index, entry.job)
    found = [*await place.find_each(stem, record.prediction_id, count)] if count else []
    whole = tuple(image for image in found if image is not None)
    return whole if count and len(whole) == count else None


def unforeseen(error: Exception, entry: TrackedJob) -> CometfluxError:
    """Tell what an error that nobody expected means for a job."""
    name = type(error).__name__
    if entry.sending:
        return UnknownSubmissionError(f"the transport broke while the submission was under way ({name})", name)
    return CometfluxError(f"the job could not be sent ({name}: {error})")
