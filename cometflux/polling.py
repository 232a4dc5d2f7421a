"""When to ask again: one heap of due questions for all pending predictions. Time is a parameter."""

import heapq
from typing import Any

import attrs

from cometflux.errors import ConfigError

LONGEST_INTERVAL = 30.0
"""The longest time between two questions after the same prediction, in seconds, however often they fail."""


_LONGEST = 1e9


def check_seconds(name: str, value: object) -> None:
    """Refuse what is no length of time.

    Raises:
        ConfigError: *value* is not a number above 0, or more than 30 years.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value <= _LONGEST):
        raise ConfigError(f"{name}={value!r}: allowed is a number of seconds above 0, and at most {_LONGEST:.0f}")


def _check_seconds(_: Any, field: "attrs.Attribute[Any]", value: object) -> None:
    check_seconds(field.name, value)


@attrs.frozen(kw_only=True)
class PollPolicy:
    """How often to ask after a prediction, and for how long altogether."""

    interval: float = attrs.field(default=0.5, validator=_check_seconds)
    """Seconds from one question to the next."""
    patience: float = attrs.field(default=1800.0, validator=_check_seconds)
    """Seconds from acceptance until a prediction is let go with its id; Replicate itself ends runs after 1800."""


@attrs.define(eq=False)
class Poll:
    """One pending prediction, as the schedule sees it."""

    subject: Any
    """What is asked after; the schedule never looks inside."""
    ends: float
    """When patience is over, by the clock that is passed in."""
    failures: int = 0
    """How many questions in a row have failed."""


class Schedule:
    """The questions to ask, earliest first."""

    def __init__(self, policy: PollPolicy) -> None:
        self._policy = policy
        self._heap: list[tuple[float, int, Poll]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, subject: Any, now: float, patience: float | None = None, *, at_once: bool = False) -> Poll:
        """Begin to ask after *subject*, for *patience* seconds; None means the policy's."""
        poll = Poll(subject, now + (self._policy.patience if patience is None else patience))
        if at_once:
            self.put(poll, now)
        else:
            self.again(poll, now)
        return poll

    def again(self, poll: Poll, now: float, *, failed: bool = False) -> None:
        """Ask once more after the interval, later after each failure in a row."""
        poll.failures = poll.failures + 1 if failed else 0
        interval = self._policy.interval
        self.put(poll, now + min(interval * 2.0 ** min(poll.failures, 32), max(LONGEST_INTERVAL, interval)))

    def put(self, poll: Poll, due: float) -> None:
        """Ask at *due*, or when patience is over if that is earlier."""
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

    def clear(self) -> list[Poll]:
        """Take every question, due or not."""
        polls = [poll for _, _, poll in self._heap]
        self._heap.clear()
        return polls
