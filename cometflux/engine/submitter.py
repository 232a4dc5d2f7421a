"""How a job is submitted: at most one POST may have left unanswered, and all tasks share one brake.

The way of one submission, in this order and no other::

    (slot, files read) → saving caught up → may one more be paid for? → a ticket of the pace
        → may anything be sent? → intent on the disk → POST → (response on the disk → pending)

While the intent is being written, connections are opened for this POST and the next ones.

After the ticket a job waits for the disk alone. A 429, or proof that nothing left, closes the attempt and sends the job
back to the pace; so no job waits there after its intent was written.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from cometflux.account.settling import Doubt
from cometflux.basics.plain_text import log as _log
from cometflux.engine.latch import Latch
from cometflux.engine.runtime import Runtime
from cometflux.engine.savers import Savers
from cometflux.engine.tracked_job import TrackedJob
from cometflux.engine.tracking import JobTracker
from cometflux.engine.unknown_policy import UnknownPolicy
from cometflux.errors import (
    CometfluxError,
    ConnectError,
    InputError,
    LimitError,
    Money,
    PredictionError,
    RateLimitError,
    RejectedError,
    UnknownSubmissionError,
)
from cometflux.images import reference_files
from cometflux.jobs import Job
from cometflux.pacing import retry
from cometflux.pacing.circuit_breaker import CircuitBreaker
from cometflux.pacing.limiter import Ending, Limiter, Ticket
from cometflux.pacing.pacer import FIRST_PAUSE
from cometflux.pacing.retry import Retries, retrying
from cometflux.predictions import Prediction
from cometflux.protocol import encoding, requests, responses
from cometflux.protocol.requests import Request
from cometflux.transport.client import Client, timed

MOST_POSTS = 100
"""Submissions in flight at most."""
_MOST_RESENDS = 10
"""How often one unknown job is sent again over all runs, if the caller's function chooses so and sets no limit."""
_CONFIRM_AFTER = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds from one query to the next of an id that a torn response showed."""


class Submitter:
    """Submits jobs, and stops the session when one response says that the next will be rejected, too.

    Args:
        client: makes the exchanges.
        savers: must be caught up first.
        tracker: writes each transition.
        limiter: says when the next submission may leave.
        unknowns: what to do about submissions that may have been accepted.
        retries: how to retry a submission that provably never left.
        latch: says whether anything may be sent, and is stopped here.
        runtime: the clock.
    """

    def __init__(
        self,
        client: Client,
        savers: Savers,
        tracker: JobTracker,
        limiter: Limiter,
        unknowns: UnknownPolicy,
        retries: Retries,
        latch: Latch,
        runtime: Runtime,
    ) -> None:
        self._client = client
        self._savers = savers
        self._tracker = tracker
        self._limiter = limiter
        self._unknowns = unknowns
        self._resent = 0
        self._patience = retries.policy.throttled_for
        self._latch = latch
        self._runtime = runtime
        self._breaker = CircuitBreaker()
        self._attempt = retrying(self._post, retries.policy, _may_send_again, retries)

    async def submit(self, tracked: TrackedJob, job: Job) -> Prediction:
        """Submit *job*, again and again while the service asks to slow down.

        While the job is in flight, something may have left that has no response. It is still in flight when the
        prediction is returned, and when this is cancelled.

        Raises:
            CometfluxError: it was not sent, was rejected, or may have been accepted; ``money`` says which.
        """
        request = requests.create_request(job)
        refused_since: float | None = None
        while True:
            try:
                return await self._attempt(tracked, request)
            except RateLimitError:
                if tracked.is_given_up:
                    raise
                now = self._runtime.time_run()
                refused_since = now if refused_since is None else refused_since
                if now - refused_since >= self._patience:
                    raise
            except UnknownSubmissionError as error:
                if (found := await self.decide(tracked, error)) is not None:
                    return found

    async def _post(self, tracked: TrackedJob, request: Request) -> Prediction:
        """Go the way of one submission; whatever happens, the ticket is given back here and nowhere else."""
        if self._savers.is_behind:
            await self._savers.caught_up()
        ticket: Ticket | None = None
        ending: Ending = "unused"
        retry_after: float | None = None
        try:
            # Before the ticket: a pause that begins meanwhile is waited for by all.
            await self._tracker.limit.reserve(tracked, tracked.job)
            ticket = await self._limiter.acquire()
            self._check_wanted(tracked)
            if (opening := self._client.prepare()) is not None:
                # If its task is cancelled before its first step, nothing else would end the coroutine.
                self._runtime.spawn(_opened(opening), lambda _: opening.close())
            await self._tracker.begin(tracked, request.body or b"")
            # The disk may have taken its time, and nothing has left yet.
            self._check_wanted(tracked)
            ending = "other"
            prediction = await self._exchange(tracked, request)
            ending = "accepted"
            return prediction
        except BaseException as error:
            if ending == "unused":
                self._tracker.withdraw(tracked, None)
                if isinstance(error, LimitError):
                    self._latch.stop(error)
            elif isinstance(error, RateLimitError):
                ending, retry_after = "refused", error.retry_after
            raise
        finally:
            if ticket is not None:
                self._limiter.report(ticket, ending, retry_after)

    async def _exchange(self, tracked: TrackedJob, request: Request) -> Prediction:
        """Send the POST and read its response. The intent is durable; nothing may come between it and this."""
        # Not before: a retry that is only planned may never be sent.
        if isinstance(tracked.last_error, ConnectError | PredictionError | UnknownSubmissionError):
            self._tracker.notifier.retried(tracked, tracked.last_error)
        tracked.last_error = tracked.created_id = None
        number = self._breaker.number()
        try:
            exchange = self._client.submit(request)
            attempts = tracked.attempts
            prediction = await (exchange if attempts is None else timed("submit", exchange, attempts))
            self._tracker.own(tracked, prediction)
            tracked.created_id = prediction.id
            return prediction
        except asyncio.CancelledError as cancelled:
            if getattr(cancelled, "has_left", True):
                self._tracker.note_cut_off(tracked, getattr(cancelled, "prediction_id", None))
            else:
                self._tracker.withdraw(tracked, None)
            raise
        except Exception as raised:
            error = _as_said(raised)
            if (confirmed := await self._look_into(tracked, error)) is not None:
                return confirmed
            self._close(tracked, error)
            self._learn(error, number)
            if error is raised:
                raise
            raise error from raised

    def _check_wanted(self, tracked: TrackedJob) -> None:
        self._latch.check()
        if tracked.is_given_up:
            raise CometfluxError("the caller gave the job up")

    async def _look_into(self, tracked: TrackedJob, error: CometfluxError) -> Prediction | None:
        """Query the id in a torn response. The id is written to the journal first."""
        if isinstance(error, UnknownSubmissionError):
            await self._tracker.suspect(tracked, error)
        return await self.confirm(tracked, error)

    def _close(self, tracked: TrackedJob, error: CometfluxError) -> None:
        """Note how a submission ended that was not accepted for certain."""
        if error.money in (Money.NOT_SENT, Money.REJECTED):
            self._tracker.withdraw(tracked, error)
        else:
            self._tracker.mark_unknown(tracked, error)
        tracked.last_error = error

    async def decide(self, tracked: TrackedJob, error: UnknownSubmissionError) -> Prediction | None:
        """Do what the caller chose about a submission that may have been accepted.

        Returns:
            The prediction that it turned out to be; None if it is to be sent again.

        Raises:
            UnknownSubmissionError: it stays unknown.
        """
        error.key = tracked.key
        choice: str
        choice = (
            self._unknowns.choice if isinstance(self._unknowns.choice, str) else await self._consult(tracked, error)
        )
        if choice == "settle":
            choice = await self._settle(tracked) or "hold"
        if choice == "hold":
            raise error
        if choice != "resend":
            return await self._adopt(tracked, error, choice)
        if tracked.is_given_up or self._has_resent_enough(tracked):
            raise error
        if (reason := self._latch.reason) is not None:
            raise error from reason
        self._resent += 1
        tracked.last_error = error
        return None

    async def _settle(self, tracked: TrackedJob) -> str | None:
        """Return the id that the account proves to be that of the last submission; None if it proves none."""
        settler, record, job = self._unknowns.settler, tracked.record, tracked.job
        if settler is None:
            return None
        try:
            fingerprint = record.sent or record.fingerprint or await asyncio.to_thread(_fingerprint, job)
        except InputError:
            return None
        doubt = Doubt(
            identity=f"{id(tracked)}:{record.attempt}",
            model=job.model,
            input=job.input,
            fingerprint=fingerprint,
            times=(record.began,),
        )
        return await settler.settle(doubt, self._tracker.knows)

    def _has_resent_enough(self, tracked: TrackedJob) -> bool:
        # Those of one job are counted over all runs, so that a run that is begun again and again stays bounded, too.
        most, count = self._unknowns.most, tracked.record.unknown_count
        if most is not None:
            return max(self._resent + 1, count) > most
        if count > _MOST_RESENDS:
            _log.error("%s was sent again %d times, the most without max_resends", tracked.key, _MOST_RESENDS)
        return count > _MOST_RESENDS

    async def _consult(self, tracked: TrackedJob, error: UnknownSubmissionError) -> str:
        assert callable(self._unknowns.choice)
        try:
            choice = await self._unknowns.choice(tracked.job, error)
        except BaseException as broken:
            task = asyncio.current_task()
            if isinstance(broken, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            _log.exception("on_unknown raised; the submission stays unknown")
            if isinstance(broken, SystemExit | KeyboardInterrupt):
                self._runtime.exit(broken)
            raise error from broken
        if not isinstance(choice, str):
            _log.error("on_unknown returned a %s, not a string; the submission stays unknown", type(choice).__name__)
            raise error
        return choice

    async def _adopt(self, tracked: TrackedJob, error: UnknownSubmissionError, prediction_id: str) -> Prediction:
        try:
            prediction = await self._client.get(prediction_id, input_size=tracked.record.input_size)
            self._tracker.own(tracked, prediction)
            return prediction
        except CometfluxError as failure:
            _log.error("prediction %r is not adopted for %s: %s", prediction_id, tracked.key, failure)
            raise error from failure

    async def confirm(self, tracked: TrackedJob, error: CometfluxError) -> Prediction | None:
        """Query the id that a torn response shows; None unless there is one, the service knows it, and it is free.

        Right after a create a 404 may be a delay, so it is queried for a while.
        """
        if not isinstance(error, UnknownSubmissionError) or error.prediction_id is None:
            return None
        for wait in _CONFIRM_AFTER:
            await asyncio.sleep(wait)
            try:
                prediction = await self._client.get(error.prediction_id, input_size=tracked.record.input_size)
                self._tracker.own(tracked, prediction)
                return prediction
            except UnknownSubmissionError:
                return None
            except RateLimitError as refusal:
                self._limiter.hold(FIRST_PAUSE if refusal.retry_after is None else refusal.retry_after)
            except asyncio.CancelledError:
                # A transport of the caller's may give up by itself.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
            except Exception as failure:  # noqa: BLE001 - the same
                _log.debug("prediction %s is not confirmed: %s", error.prediction_id, type(failure).__name__)
        return None

    def _learn(self, error: CometfluxError, number: int) -> None:
        """Stop the session if one submission says that the next would end alike."""
        if responses.stops_submission(error):
            self._latch.stop(error)
        elif isinstance(error, UnknownSubmissionError) and self._breaker.unknown(number, self._runtime.now()):
            message = f"several submissions in a row may have been accepted or not; the last: {error.message}"
            self._latch.stop(UnknownSubmissionError(message, error.evidence))


async def _opened(opening: Coroutine[Any, Any, None]) -> None:
    """Open connections; a failure is logged, as a submission connects by itself."""
    try:
        await opening
    except Exception as error:  # noqa: BLE001 - a transport of the caller's may raise anything
        _log.error("connections could not be opened before their submissions", exc_info=error)


def _fingerprint(job: Job) -> str:
    return encoding.fingerprint(job.model, reference_files.describe_input(job.input))


def _as_said(raised: Exception) -> CometfluxError:
    """Read what a submission met: what proves nothing, or is of another kind than was agreed, leaves it unknown."""
    if isinstance(raised, ConnectError | InputError | RejectedError | UnknownSubmissionError):
        return raised
    name = type(raised).__name__
    return UnknownSubmissionError(f"the transport failed while the submission was under way ({name})", name, fault=name)


_POST = Request("POST", "")


def _may_send_again(error: CometfluxError) -> bool:
    # A 429 goes back to the pacer, which holds all tasks, instead of waiting here alone.
    return not isinstance(error, RateLimitError) and retry.may_retry(_POST, error)
