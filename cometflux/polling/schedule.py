"""When to ask again: one heap of due questions for all pending predictions. Time is a parameter.

How long the predictions of a model take is learned from the questions themselves, and the next question is put where
it finds most; see `hazard`. Until enough is seen, questions are half a second apart.
"""

import heapq
import math
from typing import Any

from cometflux.polling.policy import LONGEST_INTERVAL, PollPolicy
from cometflux.polling.timetable import UNLEARNED, ModelTimetable

_MOST_HASTENED = 2000
"""Going through more pending predictions than so many would hold up everything else."""


class PendingPoll:
    """One pending prediction, as the schedule sees it."""

    # Thousands may be pending.
    __slots__ = ("began", "ends", "failures", "is_planned", "is_waiting", "ran", "rhythm", "subject", "wish")

    def __init__(self, subject: Any, rhythm: ModelTimetable, began: float, ends: float) -> None:
        self.subject = subject
        """What is asked after; the schedule never looks inside."""
        self.rhythm = rhythm
        self.began = began
        """When it was accepted, by the clock that is passed in."""
        self.ends = ends
        """When patience is over."""
        self.ran = 0.0
        """At which age it is known not to have been over."""
        self.failures = 0
        """How many questions in a row have failed."""
        self.is_planned = False
        """Whether its question is where the rhythm puts it, and not put off."""
        self.wish = 0.0
        """How many questions a second it would take, by itself."""
        self.is_waiting = False
        """Whether it is due and waits for its turn."""


class Schedule:
    """The questions to ask, earliest first.

    Where all of them together would be more a second than may be asked, every gap is stretched alike: so each
    prediction is asked after less often, and none is forgotten.

    Args:
        policy: how often to ask.
    """

    def __init__(self, policy: PollPolicy) -> None:
        self._policy = policy
        self._rhythms: dict[str, ModelTimetable] = {}
        self._heap: list[tuple[float, int, PendingPoll]] = []
        self._count = 0
        self._demand = 0.0
        self._pending = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(
        self, subject: Any, now: float, patience: float | None = None, *, model: str = "", age: float | None = None
    ) -> PendingPoll:
        """Begin to ask after *subject*.

        Args:
            subject: what is asked after.
            now: the time.
            patience: for how many seconds to ask; None means as long as the policy says.
            model: what it is a prediction of.
            age: how long ago it was accepted, in seconds, where it may long be over: it is asked after at once.
        """
        rhythm = self._rhythms.get(model)
        if rhythm is None:
            rhythm = self._rhythms[model] = ModelTimetable(self._policy)
        ends = now + (self._policy.patience if patience is None else patience)
        poll = PendingPoll(subject, rhythm, now - max(age or 0.0, 0.0), ends)
        self._pending += 1
        first = rhythm.first() if age is None else 0.0
        self._wish(poll, first or self._policy.clamp(UNLEARNED))
        self._plan(poll, now + first)
        return poll

    def again(self, poll: PendingPoll, asked: float, now: float, most: float = math.inf) -> None:
        """Ask once more after one of which it was *asked* then, and which was not over.

        *most* is how many questions a second may be asked altogether.
        """
        poll.failures = 0
        age = max(asked - poll.began, poll.ran)
        poll.rhythm.ran(poll.ran, age)
        poll.ran = age
        due = max(poll.began + poll.rhythm.next(age), now + self._policy.floor)
        self._wish(poll, due - now)
        if self._demand > most:
            self.put(poll, now + (due - now) * self._demand / most)
        else:
            self._plan(poll, due)

    def fail(self, poll: PendingPoll, now: float) -> None:
        """Ask once more after one of which nothing could be learned; later after each failure in a row."""
        poll.failures += 1
        gap = self._policy.clamp(UNLEARNED)
        gap = min(gap * 2.0 ** min(poll.failures, 32), max(LONGEST_INTERVAL, gap))
        self._wish(poll, gap)
        self.put(poll, now + gap)

    def end(self, poll: PendingPoll, now: float) -> None:
        """Take note of one that is over."""
        self.drop(poll)
        rhythm = poll.rhythm
        has_learned = rhythm.ended(poll.ran, max(now - poll.began, poll.ran))
        if has_learned and rhythm.observed.ends <= len(self._heap) <= _MOST_HASTENED:
            self._hasten(rhythm, now)

    def _hasten(self, rhythm: ModelTimetable, now: float) -> None:
        """Ask sooner after those whose questions were put off when less was known.

        A batch that fills its slots at once would otherwise have no use of what is learned before the next filling.
        """
        for place, (due, number, poll) in enumerate(self._heap):
            if poll.rhythm is rhythm and poll.is_planned:
                sooner = max(poll.began + rhythm.next(poll.ran), now)
                self._heap[place] = (min(due, sooner), number, poll)
        heapq.heapify(self._heap)

    def _plan(self, poll: PendingPoll, due: float) -> None:
        self.put(poll, due)
        poll.is_planned = True

    def drop(self, poll: PendingPoll) -> None:
        """Take note that nothing more is asked after one."""
        self._pending -= 1
        self._demand = max(self._demand - poll.wish, 0.0) if self._pending else 0.0
        poll.wish = 0.0

    def _wish(self, poll: PendingPoll, gap: float) -> None:
        wish = 1 / max(gap, 1e-6)
        self._demand += wish - poll.wish
        poll.wish = wish

    def put(self, poll: PendingPoll, due: float) -> None:
        """Ask at *due*, or when patience is over if that is earlier."""
        poll.is_planned = False
        self._count += 1
        heapq.heappush(self._heap, (min(due, poll.ends), self._count, poll))

    def pop_due(self, now: float) -> list[PendingPoll]:
        """Take the questions that are due."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        return due

    @property
    def next_due(self) -> float | None:
        """When the earliest question is due; None while there is none."""
        return self._heap[0][0] if self._heap else None
