"""How often to poll, and for how long: the caller's choice."""

from typing import Any, Self

import attrs

from cometflux.errors import ConfigError

LONGEST_INTERVAL = 30.0
"""The longest time between two questions after the same prediction, in seconds, however often they fail."""
LONGEST_SECONDS = 1e9
MOST_POLLS = 1000


def check_seconds(name: str, value: object) -> None:
    """Refuse what is no length of time.

    Raises:
        ConfigError: *value* is not a number above 0, or more than 30 years.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value <= LONGEST_SECONDS):
        raise ConfigError(
            f"{name}={value!r}: allowed is a number of seconds above 0, and at most {LONGEST_SECONDS:.0f}"
        )


def validate_seconds(_: Any, field: "attrs.Attribute[Any]", value: object) -> None:
    """Check an attrs field as `check_seconds` does."""
    check_seconds(field.name, value)


def _check_polls(_: Any, field: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (1 <= value <= MOST_POLLS):
        raise ConfigError(f"{field.name}={value!r}: allowed is a number of questions from 1 to {MOST_POLLS}")


@attrs.frozen(kw_only=True)
class PollPolicy:
    """How often to ask after a prediction, and for how long altogether."""

    polls: float = attrs.field(default=4.0, validator=_check_polls)
    """How many questions a prediction should take, on average; when to ask them is learned for each model."""
    floor: float = attrs.field(default=0.05, validator=validate_seconds)
    """The fewest seconds from one question to the next."""
    ceiling: float = attrs.field(default=30.0, validator=validate_seconds)
    """The most seconds from one question to the next."""
    patience: float = attrs.field(default=1800.0, validator=validate_seconds)
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
