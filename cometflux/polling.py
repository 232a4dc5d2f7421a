"""When to ask again: one heap of due questions for all pending predictions. Time is a parameter.

How long the predictions of a model take is learned from the questions themselves, and the next question is put where
it finds most; see `hazard`. Until enough is seen, questions are half a second apart.
"""

import heapq
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import attrs

from cometflux.errors import ConfigError
from cometflux.hazard import Hazard, Observed
from cometflux.values import Value

LONGEST_INTERVAL = 30.0
"""The longest time between two questions after the same prediction, in seconds, however often they fail."""
UNLEARNED = 0.5
"""Seconds between two questions while nothing is known of a model."""
_ENOUGH = 8
"""So many ends are enough to begin with."""
_GROWTH, _MOST_NEW = 1.15, 250
"""How many more ends make another estimate worth its while."""
_MOST_HASTENED = 2000
"""Going through more pending predictions than so many would hold up everything else."""
_GOLDEN = 0.6180339887498949
_LONGEST = 1e9
_MOST_POLLS = 1000


def check_seconds(name: str, value: object) -> None:
    """Refuse what is no length of time.

    Raises:
        ConfigError: *value* is not a number above 0, or more than 30 years.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value <= _LONGEST):
        raise ConfigError(f"{name}={value!r}: allowed is a number of seconds above 0, and at most {_LONGEST:.0f}")


def _check_seconds(_: Any, field: "attrs.Attribute[Any]", value: object) -> None:
    check_seconds(field.name, value)


def _check_polls(_: Any, field: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (1 <= value <= _MOST_POLLS):
        raise ConfigError(f"{field.name}={value!r}: allowed is a number of questions from 1 to {_MOST_POLLS}")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PollPolicy(Value):
    """How often to ask after a prediction, and for how long altogether."""

    polls: float = attrs.field(default=4.0, validator=_check_polls)
    """How many questions a prediction should take, on average; when to ask them is learned for each model."""
    floor: float = attrs.field(default=0.05, validator=_check_seconds)
    """The fewest seconds from one question to the next."""
    ceiling: float = attrs.field(default=30.0, validator=_check_seconds)
    """The most seconds from one question to the next."""
    patience: float = attrs.field(default=1800.0, validator=_check_seconds)
    """Seconds from acceptance until a prediction is let go with its id; Replicate itself ends runs after 1800.

    For one that an earlier run bought they begin when it is taken up again.
    """

    @classmethod
    def every(cls, seconds: float, *, patience: float = 1800.0) -> Self:
        """Ask at a fixed interval; nothing is learned."""
        return cls(floor=seconds, ceiling=seconds, patience=patience)

    def __attrs_post_init__(self) -> None:
        if self.floor > self.ceiling:
            raise ConfigError(f"floor={self.floor!r}: allowed is at most the ceiling, which is {self.ceiling!r}")

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to learn."""
        return self.floor == self.ceiling

    def clamp(self, gap: float) -> float:
        """Keep the time between two questions within its bounds."""
        return min(max(gap, self.floor), self.ceiling)


class Timetable(NamedTuple):
    """The ages at which to ask after the predictions of one model."""

    hazard: Hazard
    gap: float
    """What the integral of the root of the hazard reaches from one question to the next."""
    policy: PollPolicy

    @classmethod
    def of(cls, hazard: Hazard, policy: PollPolicy, polls: float) -> "Timetable":
        """Choose the gap so that a prediction takes as many questions as *polls* says, on average."""
        low, high = 1e-6, 1e4
        # A thousandth is as good as the right one.
        while high > low * 1.001:
            middle = math.sqrt(low * high)
            is_too_many = cls(hazard, middle, policy).expect(polls) > polls
            low, high = (middle, high) if is_too_many else (low, middle)
        return cls(hazard, high, policy)

    def next(self, age: float) -> float:
        """Return the age at which to ask next of one that was asked after at *age*."""
        return age + self.policy.clamp(self.hazard.after(age, self.gap) - age)

    def expect(self, most: float) -> float:
        """Return how many questions a prediction takes on average, or some number above *most*."""
        age = polls = 0.0
        while polls <= most and (share := self.hazard.surviving(age)) > 1e-4:
            polls += share
            age = self.next(age)
        return polls


class Rhythm:
    """When to ask after the predictions of one model, learned from those before."""

    def __init__(self, policy: PollPolicy, observed: Observed | None = None) -> None:
        self._policy = policy
        self._count = 0
        self._timetable: Timetable | None = None
        self.observed = observed or Observed()
        self._enough = _ENOUGH
        self._learn()

    def first(self) -> float:
        """Return the age at which to ask first."""
        if self._timetable is not None:
            return self._timetable.next(0.0)
        # Not all at one age: so it shows how many end before, and how many behind each.
        self._count += 1
        return self._policy.clamp(UNLEARNED * (0.5 + 0.5 * (self._count * _GOLDEN % 1.0)))

    def next(self, age: float) -> float:
        """Return the age at which to ask next of one that was asked after at *age*."""
        if self._timetable is not None:
            return self._timetable.next(age)
        return age + self._policy.clamp(UNLEARNED)

    def ran(self, since: float, age: float) -> None:
        """Take note of one that was not over at *age*, and had run at the age of *since*."""
        if not self._policy.is_fixed:
            self.observed.ran(since, age)

    def ended(self, since: float, age: float) -> bool:
        """Take note of one that was over at *age*, and had run at the age of *since*; tell whether that taught much."""
        if self._policy.is_fixed:
            return False
        self.observed.ended(since, age)
        return self._learn()

    def _learn(self) -> bool:
        ends = self.observed.ends
        if ends < self._enough or self._policy.is_fixed:
            return False
        self._enough = min(math.ceil(ends * _GROWTH), ends + _MOST_NEW)
        self._timetable = Timetable.of(self.observed.estimate(), self._policy, self._policy.polls)
        return True


class Poll:
    """One pending prediction, as the schedule sees it."""

    # Thousands may be pending.
    __slots__ = ("began", "ends", "failures", "is_planned", "is_waiting", "ran", "rhythm", "subject", "wish")

    def __init__(self, subject: Any, rhythm: Rhythm, began: float, ends: float) -> None:
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
        self._rhythms: dict[str, Rhythm] = {}
        self._heap: list[tuple[float, int, Poll]] = []
        self._count = 0
        self._demand = 0.0
        self._pending = 0

    def __len__(self) -> int:
        return len(self._heap)

    def take_up(self, learned: Mapping[str, Observed]) -> None:
        """Begin with what an earlier run has seen, by model."""
        self._rhythms.update((model, Rhythm(self._policy, observed)) for model, observed in learned.items())

    def add(
        self, subject: Any, now: float, patience: float | None = None, *, model: str = "", age: float | None = None
    ) -> Poll:
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
            rhythm = self._rhythms[model] = Rhythm(self._policy)
        ends = now + (self._policy.patience if patience is None else patience)
        poll = Poll(subject, rhythm, now - max(age or 0.0, 0.0), ends)
        self._pending += 1
        first = rhythm.first() if age is None else 0.0
        self._wish(poll, first or self._policy.clamp(UNLEARNED))
        self._plan(poll, now + first)
        return poll

    def again(self, poll: Poll, asked: float, now: float, most: float = math.inf) -> None:
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

    def fail(self, poll: Poll, now: float) -> None:
        """Ask once more after one of which nothing could be learned; later after each failure in a row."""
        poll.failures += 1
        gap = self._policy.clamp(UNLEARNED)
        gap = min(gap * 2.0 ** min(poll.failures, 32), max(LONGEST_INTERVAL, gap))
        self._wish(poll, gap)
        self.put(poll, now + gap)

    def end(self, poll: Poll, now: float) -> Observed | None:
        """Take note of one that is over; return what was seen of its model where that made a new estimate."""
        self.drop(poll)
        rhythm = poll.rhythm
        has_learned = rhythm.ended(poll.ran, max(now - poll.began, poll.ran))
        if has_learned and rhythm.observed.ends <= len(self._heap) <= _MOST_HASTENED:
            self._hasten(rhythm, now)
        return rhythm.observed if has_learned else None

    def _hasten(self, rhythm: Rhythm, now: float) -> None:
        """Ask sooner after those whose questions were put off when less was known.

        A batch that fills its slots at once would otherwise have no use of what is learned before the next filling.
        """
        for place, (due, number, poll) in enumerate(self._heap):
            if poll.rhythm is rhythm and poll.is_planned:
                sooner = max(poll.began + rhythm.next(poll.ran), now)
                self._heap[place] = (min(due, sooner), number, poll)
        heapq.heapify(self._heap)

    def _plan(self, poll: Poll, due: float) -> None:
        self.put(poll, due)
        poll.is_planned = True

    def drop(self, poll: Poll) -> None:
        """Take note that nothing more is asked after one."""
        self._pending -= 1
        self._demand = max(self._demand - poll.wish, 0.0) if self._pending else 0.0
        poll.wish = 0.0

    def _wish(self, poll: Poll, gap: float) -> None:
        wish = 1 / max(gap, 1e-6)
        self._demand += wish - poll.wish
        poll.wish = wish

    def put(self, poll: Poll, due: float) -> None:
        """Ask at *due*, or when patience is over if that is earlier."""
        poll.is_planned = False
        self._count += 1
        heapq.heappush(self._heap, (min(due, poll.ends), self._count, poll))

    def pop_due(self, now: float) -> list[Poll]:
        """Take the questions that are due."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        return due

    @property
    def next_due(self) -> float | None:
        """When the earliest question is due; None while there is none."""
        return self._heap[0][0] if self._heap else None
