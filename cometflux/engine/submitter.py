"""How a job is submitted: one POST at most may have left unanswered, and all tasks share one brake.

The way of one submission, in this order and no other::

    (slot, files read) → saving caught up → may one more be bought? → gate: place among the POSTs, and pacer
        → may anything be sent? → intent on the disk → POST → (answer on the disk → registry)

Behind the gate a job waits for the disk alone. A 429, or proof that nothing left, closes the attempt and sends the job
back to the gate; so no job waits there with a POST that may have left.
"""

import asyncio
import logging
from collections.abc import Callable

from cometflux.engine.journaling import JobJournal
from cometflux.engine.saver import Saver
from cometflux.engine.tracking import TrackedJob
from cometflux.engine.unknown_policy import UnknownPolicy
from cometflux.errors import (
    CometfluxError,
    ConnectError,
    InputError,
    LimitError,
    Money,
    RateLimitError,
    RejectedError,
    UnknownSubmissionError,
)
from cometflux.events import Observer, Retried, Throttled
from cometflux.jobs import Job
from cometflux.pacing import retry
from cometflux.pacing.admission import AdmissionQueue
from cometflux.pacing.circuit_breaker import CircuitBreaker
from cometflux.pacing.pacer import FIRST_PAUSE, Pacer
from cometflux.pacing.retry import Retries, RetryPolicy, retrying
from cometflux.predictions import Prediction
from cometflux.protocol import requests, responses
from cometflux.protocol.requests import Request
from cometflux.transport.client import Client, timed

_log = logging.getLogger("cometflux")
MOST_POSTS = 100
"""Submissions in flight at most."""
_CONFIRM_AFTER = (0.5, 1.0, 2.0, 4.0, 8.0)
"""When to ask after an id that stands in a torn answer: seconds from one question to the next."""


class Submitter:
    """Submits jobs, and notices when one answer dooms the next.

    Args:
        client: what makes the exchange.
        saver: what has to be caught up first.
        ledger: what counts and writes down.
        policy: how to repeat what provably never left.
        unknowns: what to do about submissions of unknown fate.
        clock: the loop's clock, in seconds.
        retries: how much repeating there may be in the whole session.
        pacer: how fast to send.
        call_at: calls a function at a time of the clock.
        check: raises where nothing more is to be sent; asked right before each POST.
        on_doom: told of each answer that dooms the next submission.
        on_pause: told until when nothing is to be sent, when a submission was refused for its speed.
        tell: told of each pause and of each repetition; None where nobody listens.
    """

    def __init__(
        self,
        client: Client,
        saver: Saver,
        ledger: JobJournal,
        policy: RetryPolicy,
        unknowns: UnknownPolicy,
        *,
        clock: Callable[[], float],
        retries: Retries,
        pacer: Pacer,
        call_at: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
        check: Callable[[], object],
        on_doom: Callable[[CometfluxError], None],
        on_pause: Callable[[float], None],
        tell: Observer | None,
    ) -> None:
        self._client = client
        self._saver = saver
        self._ledger = ledger
        self._policy = policy
        self._unknowns = unknowns
        self._resent = 0
        self._clock = clock
        self._check = check
        self._on_doom = on_doom
        self._on_pause = on_pause
        self._tell = tell
        self._pacer = pacer
        self._gate = AdmissionQueue(pacer, clock, call_at)
        self._breaker = CircuitBreaker()
        self._attempt = retrying(self._post, policy, _may_send_again, retries)

    async def submit(self, entry: TrackedJob, job: Job) -> Prediction:
        """Submit *job*, again and again while the service asks to slow down.

        While ``entry.sending`` is set, something may have left that has not been answered. It stays set when the
        answer is returned, and when this is cancelled.

        Raises:
            CometfluxError: it was not sent, was refused, or nothing proves what became of it; ``money`` tells which.
        """
        request = requests.create_request(job)
        refused_since: float | None = None
        while True:
            try:
                return await self._attempt(entry, request)
            except RateLimitError:
                if entry.is_given_up:
                    raise
                now = self._clock()
                refused_since = now if refused_since is None else refused_since
                if now - refused_since >= self._policy.throttled_for:
                    raise
            except UnknownSubmissionError as error:
                if (found := await self.decide(entry, error)) is not None:
                    return found

    async def _post(self, entry: TrackedJob, request: Request) -> Prediction:
        await self._saver.caught_up()
        sent = await self._prepare(entry, request)
        try:
            if self._tell and isinstance(entry.trouble, ConnectError):
                self._tell(Retried(key=entry.key, index=entry.index, error=entry.trouble, job_id=id(entry)))
            entry.trouble = None
            number = self._breaker.number()
            entry.sending = True
            try:
                prediction = await timed("submit", self._client.submit(request), entry.attempts)
            except Exception as raised:
                error = _as_said(raised)
                confirmed = await self._look_into(entry, error)
                if confirmed is None:
                    self._close(entry, error)
                    self._learn(error, sent, number)
                    if error is raised:
                        raise
                    raise error from raised
                prediction = confirmed
            self._pacer.accepted(sent)
            return prediction
        finally:
            self._gate.leave()

    async def _prepare(self, entry: TrackedJob, request: Request) -> float:
        """Do all that has to be done before a submission may leave; cancelled, or in vain, undo it.

        Returns:
            The moment by which the pacer knows it; it is under way from now on.
        """
        sent: float | None = None
        try:
            # Before the gate: a pause that comes meanwhile is waited for by all.
            await self._ledger.reserve(entry)
            sent = await self._gate.enter()
            self._check()
            if entry.is_given_up:
                raise CometfluxError("the caller gave the job up")
            await self._ledger.begin(entry, request.body or b"")
            return sent
        except BaseException as error:
            if sent is not None:
                self._gate.leave()
            self._ledger.withdraw(entry, None)
            if isinstance(error, LimitError):
                self._on_doom(error)
            raise

    async def _look_into(self, entry: TrackedJob, error: CometfluxError) -> Prediction | None:
        """Ask after the id in a torn answer; what is known of it is kept before, whatever comes between."""
        if isinstance(error, UnknownSubmissionError) and error.prediction_id is not None:
            entry.doubt = error
            await self._ledger.suspect(entry, error)
        return await self.confirm(error, entry.input_size)

    def _close(self, entry: TrackedJob, error: CometfluxError) -> None:
        """Write down what became of a submission that was not accepted for certain."""
        entry.sending = False
        if error.money in (Money.NOT_SENT, Money.REJECTED):
            self._ledger.withdraw(entry, error)
        else:
            if isinstance(error, UnknownSubmissionError):
                # It may stop the session; what somebody is to decide about is not given up by that.
                entry.doubt = error
            self._ledger.doubt(entry, error)
        entry.trouble = error

    async def decide(self, entry: TrackedJob, error: UnknownSubmissionError) -> Prediction | None:
        """Do about a submission of unknown fate what the caller chose.

        Returns:
            The prediction that it turned out to be; None where it is to be sent again.

        Raises:
            UnknownSubmissionError: it stays unknown.
        """
        error.key = entry.key
        entry.doubt = error
        choice: str
        choice = self._unknowns.choice if isinstance(self._unknowns.choice, str) else await self._consult(entry, error)
        if choice == "hold":
            raise error
        if choice != "resend":
            return await self._adopt(entry, error, choice)
        if entry.is_given_up or self._has_resent_enough(entry):
            raise error
        try:
            self._check()
        except CometfluxError as reason:
            raise error from reason
        self._resent += 1
        if self._tell:
            self._tell(Retried(key=entry.key, index=entry.index, error=error, job_id=id(entry)))
        return None

    def _has_resent_enough(self, entry: TrackedJob) -> bool:
        # Those of one job are counted over all runs, so that a run that is begun again and again stays bounded, too.
        most = self._unknowns.most
        doubts = entry.record.unknown_count if entry.record else 0
        return most is not None and max(self._resent + 1, doubts) > most

    async def _consult(self, entry: TrackedJob, error: UnknownSubmissionError) -> str:
        assert callable(self._unknowns.choice)
        try:
            choice = await self._unknowns.choice(entry.job, error)
        except Exception as broken:
            _log.exception("on_unknown raised; the submission stays unknown")
            raise error from broken
        if not isinstance(choice, str):
            _log.error("on_unknown returned a %s, not a string; the submission stays unknown", type(choice).__name__)
            raise error
        return choice

    async def _adopt(self, entry: TrackedJob, error: UnknownSubmissionError, prediction_id: str) -> Prediction:
        try:
            return await self._client.get(prediction_id, input_size=entry.input_size)
        except CometfluxError as failure:
            _log.error("prediction %r is not adopted for %s: %s", prediction_id, entry.key, failure)
            raise error from failure

    async def confirm(self, error: CometfluxError, input_size: int) -> Prediction | None:
        """Ask after the id that a torn answer shows; None unless there is one and the service knows it.

        Right after a create a 404 may be a delay, so it is asked for a while.
        """
        if not isinstance(error, UnknownSubmissionError) or error.prediction_id is None:
            return None
        for wait in _CONFIRM_AFTER:
            await asyncio.sleep(wait)
            try:
                return await self._client.get(error.prediction_id, input_size=input_size)
            except RateLimitError as refusal:
                until = self._clock() + (FIRST_PAUSE if refusal.retry_after is None else refusal.retry_after)
                self.hold(until)
                self._on_pause(until)
            except asyncio.CancelledError:
                # A transport of the caller's may give up by itself.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
            except Exception as failure:  # noqa: BLE001 - the same
                _log.debug("prediction %s is not confirmed: %s", error.prediction_id, type(failure).__name__)
        return None

    def hold(self, until: float) -> None:
        """Send nothing before *until*, because questions were refused for their speed."""
        self._pacer.hold(until, self._clock())

    def _learn(self, error: CometfluxError, sent: float, number: int) -> None:
        """Learn for all tasks from what one submission met."""
        now = self._clock()
        if isinstance(error, RateLimitError):
            seconds = self._pacer.refused(sent, now, error.retry_after)
            self._on_pause(self._pacer.resume)
            if self._tell and seconds is not None:
                self._tell(Throttled(seconds=seconds))
        if responses.stops_submission(error):
            self._on_doom(error)
        elif isinstance(error, UnknownSubmissionError) and self._breaker.unknown(number, now):
            message = f"the fate of one submission after another is unknown; of the last, {error.message}"
            self._on_doom(UnknownSubmissionError(message, error.evidence))


def _as_said(raised: Exception) -> CometfluxError:
    """Read what a submission met: what proves nothing, or is of another kind than was agreed, leaves it unknown."""
    if isinstance(raised, ConnectError | InputError | RejectedError | UnknownSubmissionError):
        return raised
    name = type(raised).__name__
    return UnknownSubmissionError(f"the transport broke while the submission was under way ({name})", name, fault=name)


_POST = Request("POST", "")


def _may_send_again(error: CometfluxError) -> bool:
    # A 429 goes back to the pacer, which holds all tasks, instead of waiting here alone.
    return not isinstance(error, RateLimitError) and retry.may_retry(_POST, error)
