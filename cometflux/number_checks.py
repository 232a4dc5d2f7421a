"""Checks of the numbers in settings: as a test, as a check of an argument, as a validator of an attrs field."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias, TypeGuard

import attrs

from cometflux.errors import ConfigError

LARGEST_WHOLE = 999_999_999
"""The largest whole number that an option, a variable or a file of the configuration may have."""
LONGEST_SECONDS = 1e9
"""The longest time that a setting may have, in seconds: 30 years."""

Validator: TypeAlias = "Callable[[Any, attrs.Attribute[Any], object], None]"


def is_whole(value: object, least: int, most: float = math.inf) -> TypeGuard[int]:
    """Whether *value* is a whole number in a range; True and False are not numbers."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: object, least: float, most: float = math.inf) -> TypeGuard[float]:
    """Whether *value* is a finite number in a range; True and False are not numbers."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and least <= value <= most and value < math.inf  # type: ignore[operator]


def whole_phrase(least: int, most: int | None = None) -> str:
    """Return the range of whole numbers as a phrase."""
    return f"a whole number from {least}{'' if most is None else f' to {most}'}"


def check_count(name: str, value: object, least: int) -> None:
    """Refuse a value that is not a whole number from *least*.

    Raises:
        ConfigError: *value* is not such a number.
    """
    if not is_whole(value, least):
        raise ConfigError(setting=name, given=value, allowed=f"must be {whole_phrase(least)}")


def check_seconds(name: str, value: object, most: float = LONGEST_SECONDS) -> None:
    """Refuse a value that is not a number of seconds above 0 and at most *most*.

    Raises:
        ConfigError: *value* is not such a number.
    """
    if not is_number(value, 0, most) or value == 0:
        allowed = f"must be a number of seconds above 0, and at most {most:.0f}"
        raise ConfigError(setting=name, given=value, allowed=allowed)


def check_limit(name: str, value: object) -> None:
    """Refuse a value that is neither None nor a number of requests per minute above 0.

    Raises:
        ConfigError: *value* is neither of these.
    """
    if value is not None and (not is_number(value, 0) or value == 0):
        allowed = "must be None or a number of requests a minute above 0"
        raise ConfigError(setting=name, given=value, allowed=allowed)


def count_from(least: int) -> Validator:
    """Make a validator for a whole number from *least*."""
    return lambda _, field, value: check_count(field.name, value, least)


def seconds_up_to(most: float = LONGEST_SECONDS) -> Validator:
    """Make a validator for a number of seconds above 0 and at most *most*."""
    return lambda _, field, value: check_seconds(field.name, value, most)
