"""How often to poll, and for how long: the caller's choice."""

from typing import Any, Self

import attrs

from cometflux.errors import ConfigError

LONGEST_INTERVAL = 30.0
"""Longest gap between two polls of the same prediction, in seconds, even after many failures."""
LONGEST_SECONDS = 1e9
MOST_POLLS = 1000


def check_seconds(name: str, value: object) -> None:
    """Refuse a value that is not a length of time.

    Raises:
        ConfigError: *value* is not a number above 0, or is more than 30 years.
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
        raise ConfigError(f"{field.name}={value!r}: allowed is a number of polls from 1 to {MOST_POLLS}")


@attrs.frozen(kw_only=True)
class PollPolicy:
    """How often to poll a prediction, and for how long in total."""

    polls: float = attrs.field(default=4.0, validator=_check_polls)
    """Average number of polls per prediction. The best times to poll are learned for each model."""
    floor: float = attrs.field(default=0.05, validator=validate_seconds)
    """Shortest gap between two polls, in seconds."""
    ceiling: float = attrs.field(default=30.0, validator=validate_seconds)
    """Longest gap between two polls, in seconds."""
    patience: float = attrs.field(default=1800.0, validator=validate_seconds)
    """Seconds from acceptance until a prediction is detached with its id. Replicate itself ends runs after 1800.

    If an earlier run submitted the prediction, the time begins when this run resumes it.
    """

    @classmethod
    def every(cls, seconds: float, *, patience: float = 1800.0) -> Self:
        """Return a policy that polls at a fixed interval and learns nothing."""
        return cls(floor=seconds, ceiling=seconds, patience=patience)

    def __attrs_post_init__(self) -> None:
        if self.floor > self.ceiling:
            raise ConfigError(f"floor={self.floor!r}: allowed is at most the ceiling, which is {self.ceiling!r}")

    @property
    def is_fixed(self) -> bool:
        """Whether the interval is fixed, so that there is nothing to learn."""
        return self.floor == self.ceiling

    def clamp(self, gap: float) -> float:
        """Limit the gap between two polls to the floor and the ceiling."""
        return min(max(gap, self.floor), self.ceiling)
