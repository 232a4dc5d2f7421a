"""The ages at which a prediction is polled, learned for each model."""

import math
from typing import NamedTuple

from cometflux.polling.hazard import CompletionTimes, Hazard
from cometflux.polling.policy import PollPolicy

UNLEARNED = 0.5
"""Most seconds until the first poll while nothing is known about a model."""
_GROWTH_OF_ONE, _MOST_GROWTH = 1.1, 2.0
"""While nothing is known, the age of a single pending prediction grows by this factor from poll to poll.

With several pending, the factor is the power of their number, at most 2. Predictions that were accepted together are
polled at different ages, so the first ends among them are noticed as soon as the end of a single one.
"""
_ENOUGH = 5
"""Number of ends for the first estimate."""
_LUCK = 1e-4
"""The service has become faster if it was less likely than this that so many in a row are over at their first poll."""
_ON_TIME = 1.1
"""A first poll at an age up to this factor above the planned age came at its time."""
_GROWTH, _MOST_NEW = 1.15, 250
"""The next estimate is made when the number of ends has grown by this factor, or by this many ends if that is less."""
_GOLDEN = 0.6180339887498949


class Timetable(NamedTuple):
    """The ages at which to poll the predictions of one model."""

    hazard: Hazard
    gap: float
    """The integral of the root of the hazard from one poll to the next."""
    policy: PollPolicy

    @classmethod
    def of(cls, hazard: Hazard, policy: PollPolicy, polls: float) -> "Timetable":
        """Choose the gap so that a prediction takes *polls* polls on average."""
        low, high = 1e-6, 1e4
        # Precise to a thousandth.
        while high > low * 1.001:
            middle = math.sqrt(low * high)
            is_too_many = cls(hazard, middle, policy).expect(polls) > polls
            low, high = (middle, high) if is_too_many else (low, middle)
        return cls(hazard, high, policy)

    def next(self, age: float) -> float:
        """Return the age of the next poll, after a poll at *age*."""
        return age + self.policy.clamp(self.hazard.after(age, self.gap) - age)

    def expect(self, limit: float) -> float:
        """Return how many polls a prediction takes on average, or any number above *limit*."""
        age = polls = 0.0
        while polls <= limit and (share := self.hazard.surviving(age)) > 1e-4:
            polls += share
            age = self.next(age)
        return polls


class ModelTimetable:
    """When to poll the predictions of one model, learned from earlier predictions."""

    def __init__(self, policy: PollPolicy) -> None:
        self._policy = policy
        self._count = 0
        self._timetable: Timetable | None = None
        self.observed = CompletionTimes()
        self.usual = math.inf
        """How long half of the model's predictions take at most, in seconds; inf until enough is known."""
        self._enough = _ENOUGH
        self._in_a_row = 0
        """How many predictions in a row were over at their first poll, which came at its time."""
        self._most_in_a_row = math.inf
        self._first_until = 0.0
        """The age until which a first poll came at its time."""

    def first(self) -> float:
        """Return the age of the first poll."""
        if self._timetable is not None:
            return self._timetable.next(0.0)
        # At different ages, so that the first polls show how many predictions end before each age.
        self._count += 1
        return self._policy.clamp(UNLEARNED * _MOST_GROWTH ** -(self._count * _GOLDEN % 1.0))

    def next(self, age: float, pending: int = 1) -> float:
        """Return the age of the next poll, after a poll at *age*, with so many predictions *pending*."""
        if self._timetable is not None:
            return self._timetable.next(age)
        growth = min(_GROWTH_OF_ONE ** min(pending, 8), _MOST_GROWTH)
        return age + self._policy.clamp(max((growth - 1) * age, UNLEARNED / growth))

    def ran(self, since: float, age: float) -> None:
        """Count a prediction that was not over at *age*, and was already known to run at the age *since*."""
        if not self._policy.is_fixed:
            self.observed.ran(since, age)

    def ended(self, since: float, age: float) -> bool:
        """Count a prediction that was over at *age*, and was still running at the age *since*.

        Returns whether that gave a new estimate.
        """
        if self._policy.is_fixed:
            return False
        self._in_a_row = self._in_a_row + 1 if since <= 0 and age <= self._first_until else 0
        self.observed.ended(since, age)
        return self._learn()

    @property
    def is_outdated(self) -> bool:
        """Whether the service has become so much faster that the first poll comes too late."""
        return self._in_a_row >= self._most_in_a_row

    def _learn(self) -> bool:
        ends = self.observed.ends
        if ends < self._enough or self._policy.is_fixed:
            return False
        self._enough = min(math.ceil(ends * _GROWTH), ends + _MOST_NEW)
        hazard = self.observed.estimate()
        self.usual = hazard.median
        self._timetable = Timetable.of(hazard, self._policy, self._policy.polls)
        first = self._timetable.next(0.0)
        left = hazard.surviving(first)
        self._first_until = first * _ON_TIME
        self._most_in_a_row = math.log(_LUCK) / math.log1p(-left) if 0 < left < 1 else math.inf
        return True
