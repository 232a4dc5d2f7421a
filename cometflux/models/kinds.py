"""The kinds of parameters: the allowed values, and how they are checked, read and described.

All code that deals with a parameter calls its kind. So a new kind is one more subclass of `ParameterKind`, here or in
the file of the model that needs it, and nothing else changes.
"""

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import attrs

from cometflux.errors import InputError
from cometflux.models.spelling import LOST_DIGITS, is_blank, may_have_lost_digits, tidy, whole
from cometflux.models.words import closest, listed, question

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,25}(?:\.[0-9]{0,25})?|\.[0-9]{1,25})(?:[eE][+-]?[0-9]{1,3})?")
_MOST_DIGITS = 25
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@attrs.frozen
class ParameterKind(ABC):
    """The values that a parameter takes.

    A kind says what is allowed, checks a value, reads one from text or JSON, and describes itself to JSON Schema and
    to the command. *field* is the name of the parameter, for the error.
    """

    name: ClassVar[str]
    """One word for it, as in the output of ``cometflux models``."""
    metavar: ClassVar[str] = "TEXT"
    """The word for a value in the command's help."""
    is_list: ClassVar[bool] = False
    """Whether the value is a list, so that an option is given once for each item."""
    is_number: ClassVar[bool] = False
    """Whether the value is a number, which may begin with a hyphen."""

    @property
    @abstractmethod
    def phrase(self) -> str:
        """The allowed values, as a phrase: ``a whole number from 0 to 100``."""

    @property
    def summary(self) -> str:
        """The allowed values in a few words, for a table."""
        return self.phrase

    @property
    @abstractmethod
    def json_schema(self) -> dict[str, Any]:
        """A JSON Schema of the value as it is sent."""

    @property
    def suggestions(self) -> tuple[str, ...]:
        """The words that a shell offers; empty if the values cannot be listed."""
        return ()

    @property
    def most_images(self) -> int:
        """The maximum number of reference images in the value."""
        return 0

    @abstractmethod
    def check(self, field: str, value: object) -> None:
        """Check one value, regardless of the other parameters.

        Raises:
            InputError: the value is not allowed.
        """

    @abstractmethod
    def read_text(self, field: str, text: str, folder: Path) -> Any:
        """Read a text from a cell or the command line; paths are relative to *folder*.

        Raises:
            InputError: the text is not of this kind. Its range is not checked here.
        """

    def read_json(self, field: str, value: Any, folder: Path) -> Any:
        """Take a JSON value; paths in it are relative to *folder*.

        Raises:
            InputError: the value is not of this kind. Its range is not checked here.
        """
        return value

    def phrase_in(self, words: Mapping[str, str]) -> str:
        """Return the allowed values as a phrase; *words* has another phrase for some kinds, by their names."""
        return words.get(self.name, self.phrase)

    def refusal(self, field: str, value: object, hint: str | None = None) -> InputError:
        """Return the error for a value that is not allowed."""
        return InputError(field, value, f"must be {self.phrase}", kind=self, hint=hint)


@attrs.frozen
class StringKind(ParameterKind):
    """Any text, even an empty one."""

    name = "string"
    phrase = "a text"
    summary = "text"

    @property
    def json_schema(self) -> dict[str, Any]:
        """A string."""
        return {"type": "string"}

    def check(self, field: str, value: object) -> None:
        """Refuse a value that is not a text."""
        if not isinstance(value, str):
            raise self.refusal(field, value)
        check_encodable(field, value)

    def read_text(self, field: str, text: str, folder: Path) -> str:
        """Take the text as it is."""
        return str(text)


@attrs.frozen
class TextKind(StringKind):
    """A text that is not blank."""

    name = "text"
    phrase = "a text that is not blank"

    def check(self, field: str, value: object) -> None:
        """Refuse a value that is not a text, or has no visible character."""
        if not isinstance(value, str) or is_blank(value):
            raise self.refusal(field, value)
        check_encodable(field, value)

    def read_text(self, field: str, text: str, folder: Path) -> str:
        """Take the text in its one spelling."""
        return tidy(text)

    def read_json(self, field: str, value: Any, folder: Path) -> Any:
        """Take a text in its one spelling; an object becomes its JSON text, as models of FLUX.2 read it."""
        if isinstance(value, Mapping):
            value = prompt_text(value, field)
        return tidy(value) if isinstance(value, str) else value


def prompt_text(value: Any, field: str = "prompt") -> Any:
    """Return the JSON text of a prompt that is an object; every other value as it is.

    Raises:
        InputError: the object has values that JSON does not have, or is nested too deeply.
    """
    if not isinstance(value, Mapping):
        return value
    import json  # here, because few prompts are objects

    try:
        return json.dumps(_plain_object(value), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(field, value, "must be a text, or an object of texts, numbers, lists and objects") from error


def _plain_object(value: Any) -> Any:
    match value:
        case Mapping():
            if not value or not all(isinstance(name, str) for name in value):
                raise TypeError("the names of an object are texts")
            return {name: _plain_object(part) for name, part in value.items()}
        case list() | tuple():
            return [_plain_object(part) for part in value]
        case _:
            return value


def check_encodable(field: str, value: str) -> None:
    """Refuse a text that UTF-8 cannot encode, or that contains a NUL.

    Raises:
        InputError: it holds half of a surrogate pair, or a NUL.
    """
    if "\0" in value:
        raise InputError(
            field, value, f"must not contain a NUL character, and character {value.index(chr(0)) + 1} is one"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        allowed = f"must be text that UTF-8 can encode; character {error.start + 1} is half of a surrogate pair"
        raise InputError(field, value, allowed) from error


@attrs.frozen
class IntegerKind(ParameterKind):
    """A whole number in a range; without one, any of 64 bits."""

    name = "integer"
    metavar = "N"
    is_number = True

    minimum: int | None = None
    maximum: int | None = None

    @property
    def phrase(self) -> str:
        """The range."""
        if self.minimum is self.maximum is None:
            return "a whole number that fits in 64 bits"
        return f"a whole number {_range_words(self.minimum, self.maximum)}"

    @property
    def summary(self) -> str:
        """The range."""
        if self.minimum is None or self.maximum is None:
            return f"whole number {_range_words(self.minimum, self.maximum)}".strip()
        return f"{self.minimum} to {self.maximum}"

    @property
    def json_schema(self) -> dict[str, Any]:
        """An integer, with its range."""
        return {"type": "integer", **_range(self.minimum, self.maximum)}

    def check(self, field: str, value: object) -> None:
        """Refuse a value that is not a whole number in the range."""
        # Without a published range, JSON readers and random generators still end at 64 bits.
        least = -(2**63) if self.minimum is None else self.minimum
        greatest = 2**64 - 1 if self.maximum is None else self.maximum
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= greatest:
            raise self.refusal(field, value)

    def read_text(self, field: str, text: str, folder: Path) -> int:
        """Read a whole number in any decimal spelling: ``10``, ``10.0`` and ``1e1`` are the same."""
        text = text.strip()
        if text.isdigit() and text.isascii() and len(text) <= _MOST_DIGITS:
            return int(text)  # most are written so
        # A small exponent only: 1e999 would become a number of a thousand digits.
        number = Decimal(text) if _NUMBER.fullmatch(text) else None
        if number is None or number.adjusted() > _MOST_DIGITS or number != number.to_integral_value():
            raise self.refusal(field, text)
        return int(number)

    def read_json(self, field: str, value: Any, folder: Path) -> Any:
        """Take 7.0 as 7. Refuse a float that is so large that it may have lost digits."""
        if isinstance(value, float) and value.is_integer() and may_have_lost_digits(value):
            raise InputError(field, value, LOST_DIGITS)
        return whole(value)


@attrs.frozen
class NumberKind(ParameterKind):
    """A number in a range, whole or not."""

    name = "number"
    metavar = "X"
    is_number = True

    minimum: float | None = None
    maximum: float | None = None

    @property
    def phrase(self) -> str:
        """The range."""
        return f"a number {_range_words(self.minimum, self.maximum)}".strip()

    @property
    def summary(self) -> str:
        """The range."""
        if self.minimum is None or self.maximum is None:
            return f"number {_range_words(self.minimum, self.maximum)}".strip()
        return f"{self.minimum} to {self.maximum}, decimals allowed"

    @property
    def json_schema(self) -> dict[str, Any]:
        """A number, with its range."""
        return {"type": "number", **_range(self.minimum, self.maximum)}

    def check(self, field: str, value: object) -> None:
        """Refuse a value that is not a number in the range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refusal(field, value)
        # NaN is in no range.
        least = -sys.float_info.max if self.minimum is None else self.minimum
        greatest = sys.float_info.max if self.maximum is None else self.maximum
        if not least <= value <= greatest:
            raise self.refusal(field, value)

    def read_text(self, field: str, text: str, folder: Path) -> int | float:
        """Read a decimal number."""
        if not _NUMBER.fullmatch(text.strip()):
            raise self.refusal(field, text)
        value = float(text)
        return int(value) if value.is_integer() else value

    def read_json(self, field: str, value: Any, folder: Path) -> Any:
        """Take 3.0 as 3."""
        return whole(value)


def _range_words(minimum: float | None, maximum: float | None) -> str:
    """Return ``from 0 to 100``, or only the half of it that is published."""
    ends = ("" if minimum is None else f"from {minimum}"), ("" if maximum is None else f"to {maximum}")
    return f"{'up ' if minimum is None and maximum is not None else ''}{' '.join(filter(None, ends))}"


def _range(minimum: float | None, maximum: float | None) -> dict[str, float]:
    ends = {"minimum": minimum, "maximum": maximum}
    return {name: end for name, end in ends.items() if end is not None}


@attrs.frozen
class BooleanKind(ParameterKind):
    """True or False."""

    name = "boolean"
    metavar = "BOOL"
    phrase = "True or False"
    summary = "true, false"
    suggestions = ("true", "false")

    @property
    def json_schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}

    def check(self, field: str, value: object) -> None:
        """Refuse a value that is not True or False."""
        if not isinstance(value, bool):
            raise self.refusal(field, value)

    def read_text(self, field: str, text: str, folder: Path) -> bool:
        """Read ``true``, ``no`` and similar words."""
        value = _WORDS.get(text.strip().lower())
        if value is None:
            raise InputError(field, text, "must be true or false")
        return value


@attrs.frozen
class ChoiceKind(ParameterKind):
    """One of a few words."""

    name = "choice"
    metavar = "WORD"

    choices: tuple[str, ...]

    @property
    def phrase(self) -> str:
        """The choices."""
        return listed(map(repr, self.choices), "or")

    @property
    def summary(self) -> str:
        """The choices."""
        return ", ".join(self.choices)

    @property
    def json_schema(self) -> dict[str, Any]:
        """A string, one of the choices."""
        return {"type": "string", "enum": list(self.choices)}

    @property
    def suggestions(self) -> tuple[str, ...]:
        """The choices."""
        return self.choices

    def check(self, field: str, value: object) -> None:
        """Refuse a value that is not one of the choices, and name the nearest choice."""
        if isinstance(value, str) and value in self.choices:
            return
        if not isinstance(value, str):
            raise self.refusal(field, value, "give it as a string, in quotes")
        raise self.refusal(field, value, question(closest(value, self.choices)))

    def read_text(self, field: str, text: str, folder: Path) -> str:
        """Take the word without the space around it."""
        return text.strip()


def guess(text: str) -> Any:
    """Read a text of unknown kind: as JSON if it is JSON, else as the text itself."""
    import json  # here, because it is needed only for texts that people write

    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(word: str) -> Any:
    raise ValueError(word)
