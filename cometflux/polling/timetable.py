"""At which ages a prediction is polled, learned for each model."""

import math
from typing import NamedTuple

from cometflux.polling.hazard import CompletionTimes, Hazard
from cometflux.polling.policy import PollPolicy

UNLEARNED = 0.5
"""Seconds between two questions while nothing is known of a model."""
_ENOUGH = 8
"""So many ends are enough to begin with."""
_GROWTH, _MOST_NEW = 1.15, 250
"""How many more ends make another estimate worth its while."""
_GOLDEN = 0.6180339887498949


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


class ModelTimetable:
    """When to ask after the predictions of one model, learned from those before."""

    def __init__(self, policy: PollPolicy) -> None:
        self._policy = policy
        self._count = 0
        self._timetable: Timetable | None = None
        self.observed = CompletionTimes()
        self._enough = _ENOUGH

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
