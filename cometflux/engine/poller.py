"""One loop that asks after everything pending; questions run side by side, each with its own time."""

import asyncio
import heapq
import itertools
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import attrs

from cometflux.engine.tracking import TrackedJob
from cometflux.errors import AnswerError, CometfluxError, PatienceError, RateLimitError
from cometflux.events import Observer, Polled, Throttled
from cometflux.pacing import retry
from cometflux.pacing.pacer import Pacer
from cometflux.pacing.retry import Retries, RetryPolicy, retrying
from cometflux.polling.hazard import CompletionTimes
from cometflux.polling.policy import PollPolicy
from cometflux.polling.schedule import PendingPoll, Schedule
from cometflux.predictions import Prediction
from cometflux.protocol.requests import Request
from cometflux.transport.client import Client
from cometflux.transport.deadlines import Deadline, Deadlines

_log = logging.getLogger("cometflux")

MOST_ASKS = 200
"""Questions in flight at most. With submissions and downloads this makes 316 sockets; the usual limit is 1024."""
LONGEST_QUESTION = 600.0
"""How long one question may take with its repetition, in seconds, whatever the transport does."""


class Poller:
    """Asks after every accepted job until it is over, or patience is.

    Args:
        client: what makes the exchange.
        polls: how often to ask.
        policy: how to repeat a question that met a passing fault.
        clock: the loop's clock, in seconds.
        retries: how much repeating there may be in the whole session.
        pacer: how fast to ask.
        call_at: calls a function at a time of that clock.
        spawn: runs a coroutine beside this one.
        conclude: told of a prediction that is over.
        lose: told of a job whose patience is over.
        on_pause: told until when nothing is to be sent, when a question was refused for its speed.
        learn: told of what was seen of a model's predictions, when there is much that is new.
        tell: told of each question; None where nobody listens.
    """

    def __init__(
        self,
        client: Client,
        polls: PollPolicy,
        policy: RetryPolicy,
        *,
        clock: Callable[[], float],
        retries: Retries,
        pacer: Pacer,
        call_at: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        conclude: Callable[[TrackedJob, Prediction], None],
        lose: Callable[[TrackedJob, CometfluxError], None],
        on_pause: Callable[[float], None],
        learn: Callable[[str, CompletionTimes], None],
        tell: Observer | None,
    ) -> None:
        # The schedule asks again anyway, so only a passing fault is worth asking twice at once.
        twice = attrs.evolve(policy, tries=min(2, policy.tries))
        self._get = retrying(client.get, twice, self._may_ask_again, retries, is_patient=False)
        self._schedule = Schedule(polls)
        self._clock = clock
        self._call_at = call_at
        self._spawn = spawn
        self._conclude = conclude
        self._lose = lose
        self._on_pause = on_pause
        self._learn = learn
        self._tell = tell
        self._deadlines = Deadlines(LONGEST_QUESTION)
        self._pacer = pacer
        self._line: deque[PendingPoll] = deque()
        self._patience: list[tuple[float, int, PendingPoll]] = []
        self._number = itertools.count()
        self._wake = asyncio.Event()
        self._wakes_at = math.inf

    def take_up(self, learned: Mapping[str, CompletionTimes]) -> None:
        """Begin with what an earlier run has seen of the predictions of each model."""
        self._schedule.take_up(learned)

    def add(self, entry: TrackedJob, *, age: float | None = None) -> None:
        """Begin to ask after an accepted job: at once where its *age* in seconds is given, as it may long be over."""
        self._schedule.add(entry, self._clock(), entry.patience, model=entry.job.model, age=age)
        self._look()

    async def watch(self) -> None:
        """Ask after whatever is due, for ever."""
        try:
            while True:
                await self._look_after()
        finally:
            self._deadlines.close()

    async def _look_after(self) -> None:
        """Ask after what is due, and wait until something may be."""
        self._wake.clear()
        now = self._clock()
        for poll in self._schedule.pop_due(now):
            self._attend(poll, now)
        if self._line:
            self._move_up(now)
        self._wakes_at = due = self._next_due(now)
        timer = None if due == math.inf else self._call_at(due, self._wake.set)
        await self._wake.wait()
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        due = self._schedule.next_due
        if due is not None and due < self._wakes_at:
            self._wake.set()

    def _attend(self, poll: PendingPoll, now: float) -> None:
        if now >= poll.ends:
            self._detach(poll)
        elif self._line or self._pacer.opens(now) > now:
            # Not a task for each: a pause may be long, and the pending ones many.
            poll.is_waiting = True
            self._line.append(poll)
            heapq.heappush(self._patience, (poll.ends, next(self._number), poll))
        else:
            self._spawn(self._ask(poll, self._pacer.enter(now)))

    def _move_up(self, now: float) -> None:
        """Let those through that wait in the line, as the pacer says; and those go whose patience is over."""
        while self._patience and self._patience[0][0] <= now:
            _, _, poll = heapq.heappop(self._patience)
            if poll.is_waiting:
                poll.is_waiting = False
                self._detach(poll)
        while self._line:
            if self._line[0].is_waiting:
                if self._pacer.opens(now) > now:
                    return
                self._line[0].is_waiting = False
                self._spawn(self._ask(self._line[0], self._pacer.enter(now)))
            self._line.popleft()
        self._patience.clear()

    def _next_due(self, now: float) -> float:
        due = self._schedule.next_due
        due = math.inf if due is None else due
        return min(due, self._pacer.opens(now), self._patience[0][0]) if self._line else due

    async def _ask(self, poll: PendingPoll, sent: float) -> None:
        """Ask once. A question that fails changes nothing for its prediction."""
        entry: TrackedJob = poll.subject
        asked, began = self._clock(), time.monotonic() if self._tell else 0.0
        try:
            prediction = await self._answer(poll, entry, sent)
        finally:
            self._pacer.leave()
            if self._line:
                self._wake.set()
        if self._tell:
            assert entry.prediction is not None
            status = prediction.status if prediction else None
            self._tell(
                Polled(
                    key=entry.key,
                    prediction_id=entry.prediction.id,
                    status=status,
                    error=entry.trouble,
                    seconds=time.monotonic() - began,
                    job_id=id(entry),
                )
            )
        if prediction is None:
            self._schedule.fail(poll, self._clock())
        elif prediction.status.is_terminal:
            self._end(poll, entry, prediction)
        else:
            entry.prediction = prediction
            now = self._clock()
            self._schedule.reschedule(poll, asked, now, self._pacer.rate(now))
        self._look()

    def _end(self, poll: PendingPoll, entry: TrackedJob, prediction: Prediction) -> None:
        observed = self._schedule.end(poll, self._clock())
        if observed is not None:
            self._learn(entry.job.model, observed)
        self._conclude(entry, prediction)

    async def _answer(self, poll: PendingPoll, entry: TrackedJob, sent: float) -> Prediction | None:
        """Return what the service says; None where the question failed."""
        assert entry.prediction is not None
        entry.trouble = None
        get = self._get(
            entry.prediction.id,
            input_size=entry.input_size,
            other_id=entry.prediction.extra.get("id"),
            known_input=entry.job.input,
        )
        try:
            prediction = await self._in_time(get, poll)
        except TimeoutError:
            return None  # if patience is over, the loop will see it
        except CometfluxError as error:
            entry.trouble = error
            if isinstance(error, RateLimitError):
                self._pause(error, sent)
            return None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            entry.trouble = AnswerError("the transport gave the question up")
            return None
        except Exception as error:  # noqa: BLE001 - a transport of the caller's may raise anything
            _log.exception("a question broke")
            entry.trouble = AnswerError(f"the transport broke ({type(error).__name__})")
            return None
        self._pacer.accepted(sent)
        return prediction

    def _may_ask_again(self, error: CometfluxError) -> bool:
        # The second question does not wait for its turn, so there is none where the pace is limited.
        is_limited = isinstance(error, RateLimitError) or self._pacer.rate(self._clock()) < math.inf
        return not is_limited and retry.may_retry(_GET, error)

    async def _in_time(self, get: Awaitable[Prediction], poll: PendingPoll) -> Prediction:
        if poll.ends - self._clock() > LONGEST_QUESTION:
            with Deadline(self._deadlines) as deadline:
                deadline.start()
                return await get
        async with asyncio.timeout_at(poll.ends):
            return await get

    def _pause(self, error: RateLimitError, sent: float) -> None:
        seconds = self._pacer.refused(sent, self._clock(), error.retry_after)
        self._on_pause(self._pacer.resume)
        if self._tell and seconds is not None:
            self._tell(Throttled(seconds=seconds))

    def hold(self, until: float) -> None:
        """Ask nothing before *until*, because submissions were refused for their speed."""
        self._pacer.hold(until, self._clock())

    def _detach(self, poll: PendingPoll) -> None:
        entry: TrackedJob = poll.subject
        self._schedule.drop(poll)
        trouble = f"; the last question failed: {entry.trouble.message}" if entry.trouble else ""
        self._lose(entry, PatienceError(f"the prediction was not over when patience ended{trouble}"))


_GET = Request("GET", "")
