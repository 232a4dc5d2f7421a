"""How often to poll, and for how long: the caller's choice."""

from typing import Any, Self

import attrs

from cometflux.errors import ConfigError
from cometflux.number_checks import is_number, seconds_up_to

LONGEST_INTERVAL = 30.0
"""Longest gap between two polls of the same prediction, in seconds, even after many failures."""
MOST_POLLS = 1000

_seconds = seconds_up_to()


def _check_polls(_: Any, field: "attrs.Attribute[Any]", value: object) -> None:
    if not is_number(value, 1, MOST_POLLS):
        allowed = f"must be a number of polls from 1 to {MOST_POLLS}"
        raise ConfigError(setting=field.name, given=value, allowed=allowed)


@attrs.frozen(kw_only=True)
class PollPolicy:
    """How often to poll a prediction, and for how long in total."""

    polls: float = attrs.field(default=4.0, validator=_check_polls)
    """Average number of polls per prediction. The best times to poll are learned for each model."""
    floor: float = attrs.field(default=0.05, validator=_seconds)
    """Shortest gap between two polls, in seconds."""
    ceiling: float = attrs.field(default=30.0, validator=_seconds)
    """Longest gap between two polls, in seconds."""
    patience: float = attrs.field(default=1800.0, validator=_seconds)
    """Seconds from acceptance until a prediction is detached with its id. Replicate itself ends runs after 1800.

    One last poll is made then, which may take a second. Outputs that are there are taken.

    If an earlier run submitted the prediction, the time begins when this run resumes it.
    """

    @classmethod
    def every(cls, seconds: float, *, patience: float = 1800.0) -> Self:
        """Return a policy that polls at a fixed interval and learns nothing."""
        return cls(floor=seconds, ceiling=seconds, patience=patience)

    def __attrs_post_init__(self) -> None:
        if self.floor > self.ceiling:
            allowed = f"must be at most the ceiling, which is {self.ceiling!r}"
            raise ConfigError(setting="floor", given=self.floor, allowed=allowed)

    @property
    def is_fixed(self) -> bool:
        """Whether the interval is fixed, so that there is nothing to learn."""
        return self.floor == self.ceiling

    def clamp(self, gap: float) -> float:
        """Limit the gap between two polls to the floor and the ceiling."""
        return min(max(gap, self.floor), self.ceiling)
