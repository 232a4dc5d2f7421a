"""How often to poll, and for how long: the caller's choice."""

from typing import Any, Self

import attrs

from cometflux.errors import ConfigError
from cometflux.number_checks import is_number, seconds_up_to

LONGEST_INTERVAL = 30.0
"""The longest time between two questions after the same prediction, in seconds, however often they fail."""
MOST_POLLS = 1000

_seconds = seconds_up_to()


def _check_polls(_: Any, field: "attrs.Attribute[Any]", value: object) -> None:
    if not is_number(value, 1, MOST_POLLS):
        allowed = f"allowed is a number of questions from 1 to {MOST_POLLS}"
        raise ConfigError(setting=field.name, given=value, allowed=allowed)


@attrs.frozen(kw_only=True)
class PollPolicy:
    """How often to ask after a prediction, and for how long altogether."""

    polls: float = attrs.field(default=4.0, validator=_check_polls)
    """How many questions a prediction should take, on average; when to ask them is learned for each model."""
    floor: float = attrs.field(default=0.05, validator=_seconds)
    """The fewest seconds from one question to the next."""
    ceiling: float = attrs.field(default=30.0, validator=_seconds)
    """The most seconds from one question to the next."""
    patience: float = attrs.field(default=1800.0, validator=_seconds)
    """Seconds from acceptance until a prediction is let go with its id; Replicate itself ends runs after 1800.

    For one that an earlier run bought they begin when it is taken up again.
    """

    @classmethod
    def every(cls, seconds: float, *, patience: float = 1800.0) -> Self:
        """Ask at a fixed interval; nothing is learned."""
        return cls(floor=seconds, ceiling=seconds, patience=patience)

    def __attrs_post_init__(self) -> None:
        if self.floor > self.ceiling:
            allowed = f"allowed is at most the ceiling, which is {self.ceiling!r}"
            raise ConfigError(setting="floor", given=self.floor, allowed=allowed)

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to learn."""
        return self.floor == self.ceiling

    def clamp(self, gap: float) -> float:
        """Keep the time between two questions within its bounds."""
        return min(max(gap, self.floor), self.ceiling)
