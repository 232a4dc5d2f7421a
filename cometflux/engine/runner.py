"""The way of one job, from the slot to its outcome, whichever way that ends.

::

    claimed → slot → files read → submitted → pending → polled → slot freed → saved → outcome
       └── known from an earlier run: polled, saved, or reported at once

From the moment before the POST until its response is in the journal, nothing but the end of the event loop interrupts
a job: the task that runs it belongs to the session, not to the caller that awaits the result.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

from cometflux.basics.plain_text import log as _log
from cometflux.engine.failure_policy import FailurePolicy, with_new_seed
from cometflux.engine.job_ends import UNSAVED, loss_of
from cometflux.engine.job_images import JobImages
from cometflux.engine.job_sources import JobSources
from cometflux.engine.latch import Latch
from cometflux.engine.poller import Poller
from cometflux.engine.runtime import Runtime
from cometflux.engine.savers import Savers
from cometflux.engine.submitter import Submitter
from cometflux.engine.tracked_job import TrackedJob
from cometflux.engine.tracking import JobTracker
from cometflux.engine.withheld import is_withheld
from cometflux.errors import CometfluxError, JournalError, OutputError, UnknownSubmissionError, WithheldImageError
from cometflux.images import reference_files
from cometflux.images.formats import Image
from cometflux.journal.outcome import outcome_of
from cometflux.journal.states import NextStep
from cometflux.outcomes import OutcomeKind, kind_of_loss, verdict
from cometflux.polling import last_response
from cometflux.predictions import Prediction
from cometflux.storage.destination import Destination


class JobRunner:
    """Runs jobs to their ends.

    Args:
        tracker: makes each transition.
        submitter: submits.
        poller: polls the accepted jobs, and returns their ends here.
        savers: fetch and write images.
        slots: one for each job that is submitted or pending.
        latch: says whether anything may be submitted.
        runtime: starts the tasks.
        failures: how often to submit a job again if its prediction failed.
    """

    def __init__(
        self,
        tracker: JobTracker,
        submitter: Submitter,
        poller: Poller,
        savers: Savers,
        slots: asyncio.Semaphore,
        latch: Latch,
        runtime: Runtime,
        failures: FailurePolicy,
    ) -> None:
        self._tracker = tracker
        self._submitter = submitter
        self._poller = poller
        self._savers = savers
        self._images = JobImages(tracker)
        self._sources = JobSources(tracker)
        self._slots = slots
        self._latch = latch
        self._runtime = runtime
        self._failures = failures
        tracker.on_disowned = self.lose

    # ── to the service ───────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self, tracked: TrackedJob, count: Callable[[str], int]) -> None:
        """Start a drawn job; return when it has its slot, or does not need one.

        *count* counts the jobs with the same fingerprint, in the order of drawing, so that every run distinguishes them
        in the same way.
        """
        if not tracked.is_claimed and not await self.identify(tracked, count):
            return
        if tracked.sources:
            # It takes a slot when they are saved, and until then it holds none.
            self.launch(tracked)
            return
        if not self._slots.locked():
            await self._slots.acquire()
            tracked.holds_slot = True
            self.launch(tracked)
            return
        tracked.admitted = admitted = asyncio.Event()
        self.launch(tracked)
        # It takes a slot itself, once it is known that it needs one.
        await admitted.wait()
        tracked.admitted = None

    async def identify(self, tracked: TrackedJob, count: Callable[[str], int]) -> bool:
        """Name a drawn job; return whether that was possible. If not, the job is over."""
        try:
            await self._tracker.identities.identify(tracked, count)
        except asyncio.CancelledError:
            self.lose(tracked, self._reason_not_sent())
            raise
        except Exception as error:  # noqa: BLE001 - the job ends, whatever is wrong with it
            self.lose(tracked, loss_of(error, tracked))
            return False
        return True

    def launch(self, tracked: TrackedJob) -> None:
        """Run a job in a task of the session."""
        tracked.task = self._runtime.spawn(self._run(tracked), lambda task: self.end_with(task, tracked))

    def give_up(self, tracked: TrackedJob) -> None:
        """Stop a job that was not submitted, and submit nothing more for it. A submission that has left continues."""
        tracked.is_given_up = True
        # A job that is not claimed may be paid for already, and about an unknown one somebody is deciding.
        is_open = tracked.is_in_flight or tracked.is_unknown or tracked.prediction is not None
        if tracked.task is not None and tracked.is_claimed and not is_open:
            tracked.task.cancel()

    def end_with(self, task: "asyncio.Task[None]", tracked: TrackedJob) -> None:
        """End a job whose task was cancelled or broke; if neither is true, or the job is over, do nothing."""
        try:
            if task.cancelled():
                self.break_off(tracked)
            elif (error := task.exception()) is not None:
                self.lose(tracked, loss_of(error, tracked))
        except Exception as broken:  # noqa: BLE001 - the loop calls this, and would only log it
            self._runtime.note_defect(broken)

    def break_off(self, tracked: TrackedJob) -> None:
        """End a job that no task of the session brings to its end any more."""
        if tracked in self._tracker.saving:
            self.end(tracked, OutcomeKind.SUCCEEDED, OutputError(UNSAVED))
        elif tracked.prediction is not None:
            self.lose(tracked, self._latch.detached)
        elif tracked.is_unknown or tracked.is_in_flight:
            self.lose(tracked, tracked.record.unknown_error)
        else:
            self.lose(tracked, self._reason_not_sent())

    def _reason_not_sent(self) -> CometfluxError:
        return self._latch.reason or CometfluxError("the caller gave the job up")

    async def _run(self, tracked: TrackedJob) -> None:
        """Bring a job to the service, or to its end."""
        try:
            if tracked.is_followed:
                await self._look_up(tracked)
            # A job that failed and is submitted again was claimed before.
            elif tracked.is_claimed or not await self._resume(tracked):
                await self._submit(tracked)
        except BaseException as error:
            is_exit = isinstance(error, SystemExit | KeyboardInterrupt)
            has_broken_end = tracked.is_over and not (is_exit or self._latch.is_closed)
            if has_broken_end or isinstance(error, asyncio.CancelledError):
                raise
            self.lose(tracked, loss_of(error, tracked))
            if is_exit:
                self._runtime.exit(error)

    async def _submit(self, tracked: TrackedJob) -> None:
        if tracked.sources:
            await self._sources.wait(tracked)
        await self._take_slot(tracked)
        name = tracked.record.name
        if tracked.place is not None and name is not None and "/" in name:
            # Else a picture that is paid for might not be kept.
            await tracked.place.make_folder(name)
        if self._failures.reseed:
            self._failures.check(tracked.job)
            if tracked.record.kind is OutcomeKind.SUCCEEDED or tracked.record.may_reseed(self._failures.reseed):
                await self._tracker.identities.replan(tracked, with_new_seed(tracked.job))
        job = tracked.job if tracked.is_flat else await reference_files.read_images(tracked.job)
        if job is not tracked.job:
            # Only a file can change between two looks.
            await self._tracker.identities.check_unchanged(tracked, job)
        if tracked.sources:
            job = await self._sources.fill(tracked, job)
        prediction = await self._submitter.submit(tracked, job)
        await self._tracker.accept(tracked, prediction)
        self._follow(tracked, prediction)

    async def _take_slot(self, tracked: TrackedJob) -> None:
        if not tracked.holds_slot and not tracked.is_followed:
            await self._slots.acquire()
            tracked.holds_slot = True
        if tracked.admitted is not None:
            tracked.admitted.set()

    def _free_slot(self, tracked: TrackedJob) -> None:
        if tracked.holds_slot:
            tracked.holds_slot = False
            self._slots.release()

    def _follow(self, tracked: TrackedJob, prediction: Prediction) -> None:
        if tracked.is_over:
            # The session was closed without this task, which did not end when it was cancelled.
            return
        self._tracker.pend(tracked, prediction)
        if last_response.is_settled(prediction):
            self.conclude(tracked, prediction)
        else:
            self._poller.add(tracked)

    # ── known from an earlier run ────────────────────────────────────────────────────────────────────────────────────

    async def _resume(self, tracked: TrackedJob) -> bool:
        """Go on from the job's record in the journal; return whether there is nothing to submit."""
        if not tracked.record.identity:
            await self._tracker.identities.identify(tracked, None)
        if self._tracker.identities.is_under_way(tracked.record.identity):
            # The identical job may be waiting for this slot.
            self._free_slot(tracked)
        is_known = await self._tracker.claim(tracked)
        again = FailurePolicy() if tracked.keeps_id else self._failures
        match tracked.record.next_step(again.retry_failed, again.reseed) if is_known else NextStep.SUBMIT:
            case NextStep.SUBMIT:
                if tracked.is_given_up or self._latch.reason is not None:
                    raise self._reason_not_sent()
                return False
            case NextStep.DECIDE:
                return await self._decide(tracked)
            case NextStep.POLL:
                await self._poll_again(tracked)
            case NextStep.SAVE:
                await self._save_again(tracked)
            case NextStep.REPORT:
                self._report_again(tracked)
        return True

    def follow(self, tracked: TrackedJob) -> None:
        """Poll a prediction that is known by its id to its end. Nothing is submitted, so it needs no slot."""
        if tracked.record.identity:
            self.launch(tracked)
        else:
            self._poll_stranger(tracked)

    def _poll_stranger(self, tracked: TrackedJob) -> None:
        assert tracked.prediction is not None
        self._tracker.pend(tracked, tracked.prediction)
        self._poller.add(tracked, age=0.0)

    async def _look_up(self, tracked: TrackedJob) -> None:
        """Go on from the journal's record of a prediction that is known by its id. Submits nothing."""
        with contextlib.suppress(JournalError):
            await self._tracker.claim(tracked)
        if tracked.record.prediction_id != tracked.prediction_id:
            # The journal cannot be read, or the job was submitted again meanwhile under another id.
            self._tracker.disclaim(tracked)
            self._poll_stranger(tracked)
            return
        match tracked.record.next_step():
            case NextStep.POLL:
                await self._poll_again(tracked)
            case NextStep.SAVE:
                await self._save_again(tracked)
            case _:
                self._report_again(tracked)

    async def _decide(self, tracked: TrackedJob) -> bool:
        tracked.resumed = True
        error = tracked.record.unknown_error
        # The intent is an earlier process's: noted as unknown, so that nothing here withdraws it.
        self._tracker.mark_unknown(tracked, error)
        await self._look_for_id(tracked, error)
        prediction = await self._submitter.confirm(tracked, error)
        prediction = prediction or await self._submitter.decide(tracked, error)
        if prediction is None:
            tracked.resumed = False
            return False
        await self._tracker.accept(tracked, prediction)
        await self._take_slot(tracked)
        self._follow(tracked, prediction)
        return True

    async def _look_for_id(self, tracked: TrackedJob, error: UnknownSubmissionError) -> None:
        """Look for the id in a saved image: a disk may have taken the image and not the journal's last change."""
        if error.prediction_id is not None or tracked.place is None:
            return
        try:
            error.prediction_id = await self._images.find_id(tracked, tracked.place)
        except OutputError as refused:
            # It may be there, so nobody is to submit it again meanwhile.
            self._latch.stop(refused)
            raise error from refused
        await self._tracker.suspect(tracked, error)

    async def _poll_again(self, tracked: TrackedJob) -> None:
        tracked.resumed = True
        # Set before the wait: a job that is paid for is not given up.
        tracked.prediction = tracked.record.last_prediction
        await self._take_slot(tracked)
        self._tracker.pend(tracked, tracked.prediction)
        answered = tracked.record.answered
        self._poller.add(tracked, age=time.time() - answered if answered else 0.0)

    async def _save_again(self, tracked: TrackedJob) -> None:
        """Report the saved images. A missing one is fetched again, from its present URL."""
        tracked.resumed = True
        tracked.prediction = prediction = tracked.record.last_prediction
        if tracked.place is None and prediction.output:
            self.end(tracked, OutcomeKind.SUCCEEDED, None)
        elif tracked.place is None or not await self._end_with_saved(tracked, prediction, tracked.place):
            await self._poll_again(tracked)

    async def _end_with_saved(self, tracked: TrackedJob, prediction: Prediction, place: Destination) -> bool:
        """End a job with the images that are saved, if all of them are; return whether it is over."""
        try:
            files = await self._images.find(tracked, prediction, place)
        except OutputError as error:
            self._latch.stop(error)
            if not tracked.is_over:
                # They may be there, and the journal goes on to say so.
                self.end(tracked, OutcomeKind.SUCCEEDED, error, is_recorded=True)
            return True
        if files is not None and not tracked.is_over:
            self.end(tracked, OutcomeKind.SUCCEEDED, None, files)
        return tracked.is_over

    def _report_again(self, tracked: TrackedJob) -> None:
        tracked.resumed = True
        record = tracked.record
        outcome = outcome_of(record)
        if not record.is_abandoned:
            tracked.prediction = record.last_prediction
        self.end(tracked, outcome.kind, outcome.error, is_recorded=True)

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def conclude(self, tracked: TrackedJob, prediction: Prediction) -> None:
        """Take the service's last word."""
        if tracked.is_over:
            # Its id turned out to be another job's while it was polled.
            return
        answered = tracked.record.answered
        if answered is None and prediction.created_at is not None:
            answered = prediction.created_at.timestamp()
        kind, error = verdict(prediction, 0.0 if answered is None else time.time() - answered)
        if error is not None and kind is OutcomeKind.FAILED and self._may_submit_again(tracked, prediction):
            self._tracker.retry(tracked, prediction, error)
            self.launch(tracked)
            return
        self._free_slot(tracked)
        if error is None and tracked.place is not None:
            self._tracker.conclude(tracked, prediction)
            self._runtime.spawn(self._save(tracked, prediction, tracked.place))
            return
        tracked.prediction = prediction
        if kind is OutcomeKind.EXPIRED and tracked.resumed and tracked.place is not None:
            self._runtime.spawn(self._end_expired(tracked, prediction, tracked.place, error))
        else:
            self.end(tracked, kind, error)

    def _may_submit_again(self, tracked: TrackedJob, prediction: Prediction) -> bool:
        if tracked.is_given_up or tracked.keeps_id or self._latch.reason is not None:
            return False
        failed = tracked.record.snapshot().ended(OutcomeKind.FAILED, prediction, None)
        return failed.next_step(self._failures.retry_failed, self._failures.reseed) is NextStep.SUBMIT

    async def _save(self, tracked: TrackedJob, prediction: Prediction, place: Destination) -> None:
        files: tuple[Image, ...] = ()
        error: OutputError | None = None
        goes_on = is_saved = False
        try:
            saved = await self._savers.save(self._images.order(tracked, prediction, place), tracked.attempts)
            files, error = saved.files, saved.error
            is_saved = error is None
            if error is not None and error.is_disk:
                # What cannot be kept must not be submitted.
                self._latch.stop(error)
            self._tracker.notifier.saved(tracked, files)
            if error is None and await self._may_reseed(tracked, files, place):
                self._tracker.retry_saved(tracked, files, WithheldImageError(prediction))
                self.launch(tracked)
                goes_on = True
        except BaseException as broken:  # noqa: BLE001 - the job ends, whatever broke
            # What breaks the look at saved images does not make them unsaved.
            error = error if is_saved else OutputError(UNSAVED)
            self._runtime.outlive(broken)
            _log.error("saving failed", exc_info=broken)
            error = error if is_saved else OutputError(f"saving failed ({type(broken).__name__}: {broken})")
        finally:
            if not (goes_on or tracked.is_over):
                self.end(tracked, OutcomeKind.SUCCEEDED, error, files)

    async def _end_expired(
        self, tracked: TrackedJob, prediction: Prediction, place: Destination, error: CometfluxError | None
    ) -> None:
        # The process before may have been killed after it saved the images and before the journal knew.
        try:
            if not await self._end_with_saved(tracked, prediction, place):
                self.end(tracked, OutcomeKind.EXPIRED, error)
        except Exception as broken:
            if tracked.is_over:
                raise
            self.lose(tracked, loss_of(broken, tracked))

    async def _may_reseed(self, tracked: TrackedJob, files: tuple[Image, ...], place: Destination) -> bool:
        """Whether to submit a saved job again with another seed, since the service seems to have withheld an image."""
        if tracked.record.reseeds >= self._failures.reseed or not await is_withheld(tracked.job, files, place):
            return False
        # Its caller may have left meanwhile.
        return not (tracked.is_given_up or self._latch.reason is not None)

    def distrust(self, error: CometfluxError) -> None:
        """Submit nothing more, because the service rejects every poll."""
        self._latch.stop(error)

    def lose(self, tracked: TrackedJob, error: CometfluxError) -> None:
        """End a job without the service's last word."""
        if tracked.is_over:
            return
        kind = kind_of_loss(error)
        if kind in (OutcomeKind.NOT_SENT, OutcomeKind.REJECTED) and (files := tracked.back_to_saved()) is not None:
            self.end(tracked, OutcomeKind.SUCCEEDED, None, files)
            return
        earlier = tracked.paid_attempt if kind in (OutcomeKind.NOT_SENT, OutcomeKind.REJECTED) else None
        if earlier is None:
            self.end(tracked, kind, error)
            return
        # Submitting it again came to nothing. The attempt before is, or may be, paid for.
        outcome = outcome_of(earlier)
        if earlier.kind is OutcomeKind.FAILED:
            tracked.prediction = earlier.last_prediction
        self.end(tracked, outcome.kind, outcome.error)

    def end(
        self,
        tracked: TrackedJob,
        kind: OutcomeKind,
        error: CometfluxError | None,
        files: tuple[Image, ...] = (),
        *,
        is_recorded: bool = False,
    ) -> None:
        """End a job, once; *is_recorded* says that the journal knows the end already."""
        self._free_slot(tracked)
        if tracked.admitted is not None:
            tracked.admitted.set()
        tracked.note_ready()
        self._tracker.end(tracked, kind, error, files, is_recorded=is_recorded)
