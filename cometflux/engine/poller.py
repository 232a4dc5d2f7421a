"""One loop that polls every pending prediction. Polls run side by side, each with its own timeout."""

import asyncio
import heapq
import itertools
import math
import time
from collections import deque
from typing import Protocol

import attrs

from cometflux.basics.plain_text import log as _log
from cometflux.engine.job_ends import loss_of
from cometflux.engine.notifier import Notifier
from cometflux.engine.runtime import Runtime
from cometflux.engine.tracked_job import TrackedJob
from cometflux.errors import AnswerError, CometfluxError, Money, PatienceError, RateLimitError, RejectedError
from cometflux.pacing import retry
from cometflux.pacing.circuit_breaker import PollRefusals
from cometflux.pacing.pacer import Pacer
from cometflux.pacing.retry import Retries, retrying
from cometflux.polling import last_response
from cometflux.polling.last_response import Unsettled
from cometflux.polling.policy import PollPolicy
from cometflux.polling.schedule import PendingPoll, Schedule
from cometflux.predictions import Prediction, Status
from cometflux.protocol.requests import Request
from cometflux.transport.client import Client
from cometflux.transport.deadlines import Deadline, Deadlines

MOST_POLLS = 200
"""Polls in flight at most. With submissions and downloads this makes 316 sockets; the usual limit is 1024."""
NOT_OVER = "the prediction was not over when patience ended"
LAST_POLL = 1.0
"""How long the last poll may take, which is made when patience ends, in seconds."""
LONGEST_POLL = 600.0
"""How long one poll may take with its retry, in seconds, whatever the transport does."""
LONGEST_REFUSAL = 30.0
"""For how many seconds the service may reject polls of a prediction that is known only by its id."""
BEAT = 5.0
"""How often to look at the clock while no poll is due, because all are in flight or wait for their turn, in seconds."""


class PollListener(Protocol):
    """Gets the end of each prediction that is polled."""

    def conclude(self, tracked: TrackedJob, prediction: Prediction) -> None:
        """Take the service's last word."""

    def lose(self, tracked: TrackedJob, error: CometfluxError) -> None:
        """End a job whose patience is over."""

    def distrust(self, error: CometfluxError) -> None:
        """Submit nothing more, because every poll was rejected for a while; *error* is the last rejection."""


class Poller:
    """Polls every accepted job until it is over, or patience is.

    Args:
        client: makes the exchanges.
        policy: how often to poll.
        retries: how to retry a poll that met a transient fault.
        pacer: how fast to poll.
        runtime: the clock and the tasks.
        notifier: reports each poll.
    """

    def __init__(
        self,
        client: Client,
        policy: PollPolicy,
        retries: Retries,
        pacer: Pacer,
        runtime: Runtime,
        notifier: Notifier,
    ) -> None:
        # The schedule polls again anyway, so only a transient fault is worth a second try at once.
        twice = attrs.evolve(retries.policy, tries=min(2, retries.policy.tries))
        self._get = retrying(client.get, twice, self._may_poll_again, retries, is_patient=False)
        self._schedule = Schedule(policy)
        self.patience = policy.patience
        """How long a prediction is polled unless its job says otherwise, in seconds."""
        self._standstill = runtime.standstill
        self._pacer = pacer
        self._runtime = runtime
        self._notifier = notifier
        self._listener: PollListener
        """Set by `watch`, before which nothing is polled."""
        self._deadlines = Deadlines(LONGEST_POLL)
        self._refusals = PollRefusals()
        self._line: deque[PendingPoll] = deque()
        self._patience: list[tuple[float, int, PendingPoll]] = []
        self._number = itertools.count()
        self._wake = asyncio.Event()
        self._wakes_at = math.inf

    def add(self, tracked: TrackedJob, *, age: float | None = None) -> None:
        """Begin to poll an accepted job: at once if its *age* in seconds is given, since it may long be over.

        Without it, ``tracked.prediction`` is a new response. An end that it shows is to be confirmed by a poll at once.
        """
        now = self._runtime.now()
        assert tracked.prediction is not None
        is_near_end = age is None and not last_response.runs(tracked.prediction)
        age = 0.0 if is_near_end else age
        poll = self._schedule.add(tracked, now, tracked.patience, model=tracked.job.model, age=age)
        poll.lost = self._standstill.seconds
        poll.is_placed = not tracked.is_stranger
        if is_near_end:
            seen = last_response.read_end(tracked.prediction, self._runtime.time_run())
            poll.unsettled = seen if isinstance(seen, Unsettled) else Unsettled(self._runtime.time_run())
        self._look()

    async def watch(self, listener: PollListener) -> None:
        """Poll whatever is due, for ever; *listener* gets the ends."""
        self._listener = listener
        try:
            while True:
                await self._wait_and_poll()
        finally:
            self._deadlines.close()

    async def _wait_and_poll(self) -> None:
        """Poll what is due, and wait until something may be."""
        self._wake.clear()
        now = self._runtime.now()
        self._standstill.note(self._wakes_at, now)
        for poll in self._schedule.pop_due(now):
            self._attend(poll, now)
        if self._line:
            self._move_up(now)
        self._wakes_at = due = self._next_due(now)
        timer = None if due == math.inf else self._runtime.call_at(due, self._wake.set)
        await self._wake.wait()
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        due = self._schedule.next_due
        if due is not None and due < self._wakes_at:
            self._wake.set()

    def _attend(self, poll: PendingPoll, now: float) -> None:
        if poll.subject.is_over:
            self._schedule.drop(poll)
            return
        poll.give_back(self._standstill.seconds)
        is_held = self._line or self._pacer.opens(now) > now
        if is_held and now >= poll.ends:
            self._detach(poll)
        elif is_held:
            # Not a task for each: a pause may be long, and the pending ones many.
            poll.is_waiting = True
            self._line.append(poll)
            self._limit_wait(poll)
        else:
            self._runtime.spawn(self._poll(poll, self._pacer.enter(now)))

    def _limit_wait(self, poll: PendingPoll) -> None:
        heapq.heappush(self._patience, (poll.ends, next(self._number), poll))

    def _move_up(self, now: float) -> None:
        """Start the polls that wait in the line, as the pacer says; and end those whose patience is over."""
        while self._patience and self._patience[0][0] <= now:
            _, _, poll = heapq.heappop(self._patience)
            poll.give_back(self._standstill.seconds)
            if poll.is_waiting and poll.ends > now:
                self._limit_wait(poll)
            elif poll.is_waiting:
                poll.is_waiting = False
                self._detach(poll)
        while self._line:
            if self._line[0].is_waiting:
                if self._pacer.opens(now) > now:
                    return
                self._line[0].is_waiting = False
                self._runtime.spawn(self._poll(self._line[0], self._pacer.enter(now)))
            self._line.popleft()
        self._patience.clear()

    def _next_due(self, now: float) -> float:
        due = self._schedule.next_due
        if due is None:
            due = now + BEAT if self._schedule.pending else math.inf
        return min(due, self._pacer.opens(now), self._patience[0][0], now + BEAT) if self._line else due

    async def _poll(self, poll: PendingPoll, sent: float) -> None:
        """Poll once. If something breaks by a defect, the job ends, as nobody would poll it again."""
        try:
            await self._poll_once(poll, sent)
        except Exception as error:
            tracked: TrackedJob = poll.subject
            if tracked.is_over:
                # Its end broke, and nobody else would notice that.
                raise
            _log.error("a poll failed", exc_info=error)
            self._listener.lose(tracked, loss_of(error, tracked))

    async def _poll_once(self, poll: PendingPoll, sent: float) -> None:
        """Poll once. A poll that fails changes nothing for its prediction."""
        tracked: TrackedJob = poll.subject
        asked = self._runtime.now()
        began = time.monotonic() if self._notifier.is_on else 0.0
        tracked.last_error = None
        prediction: Prediction | None = None
        try:
            prediction = await self._query(poll, tracked, asked)
        finally:
            now = self._runtime.now()
            poll.give_back(self._standstill.seconds)
            self._note_refusal(tracked, prediction)
            self._give_back(sent, now, prediction, tracked.last_error)
        if tracked.is_over:
            # Its id turned out to be another job's meanwhile.
            self._schedule.drop(poll)
            return
        if prediction is not None and not poll.is_placed:
            self._place(poll, prediction, now)
        end = prediction and self._read_end(poll, prediction)
        if self._notifier.is_on:
            last = end if isinstance(end, Prediction) else prediction
            self._notifier.polled(tracked, last.status if last else None, time.monotonic() - began)
        if isinstance(end, Prediction):
            self._schedule.end(poll, now)
            self._listener.conclude(tracked, end)
        else:
            self._plan_next(poll, prediction, end, asked, now)
        self._look()

    def _place(self, poll: PendingPoll, prediction: Prediction, now: float) -> None:
        """Take the model and the age of a prediction from a response, if it shows them."""
        created = prediction.created_at
        age = 0.0 if created is None else time.time() - created.timestamp()
        if prediction.model and age > 0:
            self._schedule.place(poll, prediction.model, now - age)

    def _read_end(self, poll: PendingPoll, prediction: Prediction) -> Prediction | Unsettled | None:
        now = self._runtime.time_run()
        wanted = last_response.count_wanted(poll.subject.job.input or prediction.input)
        return last_response.read_end(prediction, now, wanted=wanted, usual=poll.timetable.usual, before=poll.unsettled)

    def _plan_next(
        self, poll: PendingPoll, prediction: Prediction | None, unsettled: Unsettled | None, asked: float, now: float
    ) -> None:
        """Plan the next poll of a prediction that is not over. *prediction* is None if the poll failed."""
        if prediction is not None:
            poll.subject.prediction = prediction
            poll.unsettled = unsettled
        if now >= poll.ends:
            self._detach(poll)
        elif prediction is None and (refusal := self._find_refusal(poll)) is not None:
            self._schedule.drop(poll)
            self._listener.lose(poll.subject, refusal)
        elif prediction is None:
            self._schedule.fail(poll, now)
        elif unsettled is not None:
            self._schedule.repeat(poll, now, unsettled.gap)
        else:
            self._schedule.reschedule(poll, asked, now, self._pacer.rate)

    def _find_refusal(self, poll: PendingPoll) -> RejectedError | None:
        """Return why a prediction is not polled any more that may be nobody's; None while it is.

        Right after a create a 404 may be a delay. Once a response has shown the prediction, only patience ends it.
        """
        tracked: TrackedJob = poll.subject
        error = tracked.last_error
        if not (isinstance(error, RejectedError) and error.status in (401, 403, 404)):
            return None
        if not tracked.is_followed or tracked.prediction != _unseen(tracked):
            return None
        now = self._runtime.time_run()
        poll.refused_since = now if poll.refused_since is None else poll.refused_since
        if now - poll.refused_since < LONGEST_REFUSAL:
            return None
        # Nothing proves that there ever was such a prediction.
        error.money = Money.UNKNOWN
        return error

    def _note_refusal(self, tracked: TrackedJob, prediction: Prediction | None) -> None:
        error = tracked.last_error
        if prediction is not None:
            self._refusals.clear()
        elif tracked.resumed and isinstance(error, RejectedError) and error.status == 404:
            # The service may have forgotten a prediction of an earlier run, which says nothing about new ones.
            return
        elif self._refusals.add(self._runtime.time_run(), error):
            assert error is not None
            self._listener.distrust(error)

    def _give_back(self, sent: float, now: float, prediction: Prediction | None, error: CometfluxError | None) -> None:
        if isinstance(error, RateLimitError):
            self._notifier.throttled(self._pacer.report(sent, now, "refused", error.retry_after))
        else:
            self._pacer.report(sent, now, "accepted" if prediction else "other")
        if self._line:
            self._wake.set()

    async def _query(self, poll: PendingPoll, tracked: TrackedJob, now: float) -> Prediction | None:
        """Return the prediction's state; None if the poll failed, with the reason in ``last_error``."""
        if tracked.prediction is None:
            # Its id turned out to be another job's while the poll waited for its turn.
            return None
        get = self._get(
            tracked.prediction.id,
            input_size=tracked.record.input_size,
            other_id=tracked.prediction.extra.get("id"),
            known_input=tracked.job.input,
        )
        limit: float | None = None
        try:
            if poll.ends - now > LONGEST_POLL:
                with Deadline(self._deadlines) as deadline:
                    deadline.start()
                    return await get
            # The last poll is made when patience ends.
            limit = poll.ends if now < poll.ends else now + LAST_POLL
            async with asyncio.timeout_at(limit):
                return await get
        except TimeoutError:
            # If patience is over, the loop will see it.
            if limit is not None:
                self._note_timeout(poll, limit)
        except CometfluxError as error:
            if not tracked.is_followed:
                # A response to its submission had its id.
                error.money, error.tells_money = Money.ACCEPTED, True
            tracked.last_error = error
        except BaseException as error:  # noqa: BLE001 - a transport of the caller's may raise anything
            self._runtime.outlive(error)
            _log.error("a poll failed", exc_info=error)
            tracked.last_error = AnswerError(f"the transport failed ({type(error).__name__})")
        return None

    def _note_timeout(self, poll: PendingPoll, limit: float) -> None:
        """Grant one last poll if the process stood still when patience ended, as a response may have come meanwhile."""
        now = self._runtime.now()
        if self._standstill.note(limit, now) and limit == poll.ends:
            poll.give_back(self._standstill.seconds)
            poll.ends = max(poll.ends, now + LAST_POLL)

    def _may_poll_again(self, error: CometfluxError) -> bool:
        # The second try does not wait for its turn, so there is none if the pace is limited.
        is_limited = isinstance(error, RateLimitError) or self._pacer.rate < math.inf
        return not is_limited and retry.may_retry(_GET, error)

    def _detach(self, poll: PendingPoll) -> None:
        tracked: TrackedJob = poll.subject
        self._schedule.drop(poll)
        if not self._schedule.pending:
            self._refusals.clear()
        if tracked.is_over:
            # Its id turned out to be another job's while the poll waited for its turn.
            return
        if poll.unsettled is not None:
            assert tracked.prediction is not None
            self._listener.conclude(tracked, last_response.end_of(tracked.prediction))
            return
        trouble = f"; the last poll failed: {tracked.last_error.message}" if tracked.last_error else ""
        self._listener.lose(tracked, PatienceError(f"{NOT_OVER}{trouble}"))


def _unseen(tracked: TrackedJob) -> Prediction:
    assert tracked.prediction is not None
    return Prediction(id=tracked.prediction.id, status=Status.UNRECOGNIZED)


_GET = Request("GET", "")
