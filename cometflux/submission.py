"""How a job is submitted: one POST at most may have left unanswered, and all tasks share one brake.

The way of one submission, in this order and no other::

    (slot, files read) → saving caught up → place among the POSTs → pacer → may anything be sent? → POST

A 429, or proof that nothing left, sends the job back to the pacer; so no job waits with a POST that may have left.
"""

import asyncio
from collections.abc import Callable

from cometflux import protocol
from cometflux.client import Client
from cometflux.errors import CometfluxError, RateLimitError, UnknownSubmissionError
from cometflux.events import Observer, Throttled
from cometflux.jobs import Job
from cometflux.pacing import Breaker, Pacer
from cometflux.predictions import Prediction
from cometflux.protocol import Request
from cometflux.registry import Entry
from cometflux.retry import RetryPolicy, retrying
from cometflux.saving import Saver

MOST_POSTS = 100
"""Submissions in flight at most."""
_CONFIRM_AFTER = (0.5, 1.0, 2.0, 4.0, 8.0)
"""When to ask after an id that stands in a torn answer: seconds from one question to the next."""


class Submitter:
    """Submits jobs, and notices when one answer dooms the next.

    Args:
        client: what makes the exchange.
        saver: what has to be caught up first.
        policy: how to repeat what provably never left.
        clock: the loop's clock, in seconds.
        check: raises where nothing more is to be sent; asked right before each POST.
        on_doom: told of each answer that dooms the next submission.
        on_pause: told until when nothing is to be sent, when a submission was refused for its speed.
        tell: told of each pause; None where nobody listens.
    """

    def __init__(
        self,
        client: Client,
        saver: Saver,
        policy: RetryPolicy,
        *,
        clock: Callable[[], float],
        check: Callable[[], object],
        on_doom: Callable[[CometfluxError], None],
        on_pause: Callable[[float], None],
        tell: Observer | None,
    ) -> None:
        self._client = client
        self._saver = saver
        self._policy = policy
        self._clock = clock
        self._check = check
        self._on_doom = on_doom
        self._on_pause = on_pause
        self._tell = tell
        self._places = asyncio.Semaphore(MOST_POSTS)
        self._pacer = Pacer()
        self._breaker = Breaker()
        self._attempt = retrying(self._post, policy, _may_send_again)

    async def submit(self, entry: Entry, job: Job) -> Prediction:
        """Submit *job*, again and again while the service asks to slow down.

        While ``entry.sending`` is set, something may have left that has not been answered. It stays set when the
        answer is returned, and when this is cancelled.

        Raises:
            CometfluxError: it was not sent, was refused, or nothing proves what became of it; ``money`` tells which.
        """
        refused_since: float | None = None
        while True:
            try:
                return await self._attempt(entry, job)
            except RateLimitError:
                now = self._clock()
                refused_since = now if refused_since is None else refused_since
                if now - refused_since >= self._policy.throttled_for:
                    raise

    async def _post(self, entry: Entry, job: Job) -> Prediction:
        await self._saver.caught_up()
        async with self._places:
            await pace(self._pacer, self._clock)
            self._check()
            sent, number = self._clock(), self._breaker.number()
            entry.sending = True
            try:
                prediction = await self._client.create(job)
            except CometfluxError as error:
                confirmed = await self._confirm(error, entry.input_size)
                if confirmed is None:
                    entry.sending = False
                    self._learn(error, sent, number)
                    raise
                prediction = confirmed
            self._pacer.accepted(sent)
            return prediction

    async def _confirm(self, error: CometfluxError, input_size: int) -> Prediction | None:
        """Ask after the id that a torn answer shows; None unless the service knows it.

        Right after a create a 404 may be a delay, so it is asked for a while.
        """
        if not isinstance(error, UnknownSubmissionError) or error.prediction_id is None:
            return None
        for wait in _CONFIRM_AFTER:
            await asyncio.sleep(wait)
            try:
                return await self._client.get(error.prediction_id, input_size=input_size)
            except CometfluxError:
                continue
        return None

    def hold(self, until: float) -> None:
        """Send nothing before *until*, because questions were refused for their speed."""
        self._pacer.hold(until)

    def _learn(self, error: CometfluxError, sent: float, number: int) -> None:
        """Learn for all tasks from what one submission met."""
        now = self._clock()
        if isinstance(error, RateLimitError):
            seconds = self._pacer.refused(sent, now, error.retry_after)
            self._on_pause(self._pacer.resume)
            if self._tell:
                self._tell(Throttled(seconds=seconds))
        if protocol.stops_submission(error):
            self._on_doom(error)
        elif isinstance(error, UnknownSubmissionError) and self._breaker.unknown(number, now):
            message = f"the fate of one submission after another is unknown; of the last, {error.message}"
            self._on_doom(UnknownSubmissionError(message, error.evidence))


async def pace(pacer: Pacer, clock: Callable[[], float]) -> None:
    """Wait for this request's place in the line."""
    while True:
        now = clock()
        leave = pacer.reserve(now)
        if leave > now:
            await asyncio.sleep(leave - now)
        if not pacer.is_paused(clock()):
            return


_POST = Request("POST", "")


def _may_send_again(error: CometfluxError) -> bool:
    # A 429 goes back to the pacer, which holds all tasks, instead of waiting here alone.
    return not isinstance(error, RateLimitError) and protocol.may_retry(_POST, error)
