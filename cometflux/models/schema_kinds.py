"""The kinds of parameters that only a model's published schema has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux.errors import InputError
from cometflux.models.kinds import ParameterKind, guess
from cometflux.models.spelling import whole
from cometflux.models.words import listed


@attrs.frozen
class NumberChoiceKind(ParameterKind):
    """One of a few numbers."""

    name = "number choice"
    metavar = "X"
    is_number = True

    numbers: tuple[float, ...]

    @property
    def phrase(self) -> str:
        """The numbers."""
        return listed(map(str, self.numbers), "or")

    @property
    def summary(self) -> str:
        """The numbers."""
        return ", ".join(map(str, self.numbers))

    @property
    def json_schema(self) -> dict[str, Any]:
        """A number, one of the choices."""
        return {"type": "number", "enum": list(self.numbers)}

    @property
    def suggestions(self) -> tuple[str, ...]:
        """The numbers."""
        return tuple(map(str, self.numbers))

    def check(self, field: str, value: object) -> None:
        """Refuse a value that is not one of the numbers."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value not in self.numbers:
            raise self.refusal(field, value)

    def read_text(self, field: str, text: str, folder: Path) -> int | float:
        """Read a decimal number."""
        value = whole(guess(text.strip()))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refusal(field, text)
        return value

    def read_json(self, field: str, value: Any, folder: Path) -> Any:
        """Take 2.0 as 2."""
        return whole(value)


@attrs.frozen
class ListKind(ParameterKind):
    """A list of values of one kind."""

    name = "list"
    is_list = True

    item: ParameterKind
    most: int | None = None
    """The maximum number of items; None for any number."""

    @property
    def phrase(self) -> str:
        """The maximum number and the kind of the items."""
        return self.phrase_in({})

    def phrase_in(self, words: Mapping[str, str]) -> str:
        """Return the maximum number and the kind of the items; *words* may have another phrase for the kind."""
        size = "" if self.most is None else f" of at most {self.most}"
        return f"a list{size}, each {self.item.phrase_in(words)}"

    @property
    def summary(self) -> str:
        """The kind of the items."""
        return f"list: {self.item.summary}"

    @property
    def json_schema(self) -> dict[str, Any]:
        """A list."""
        most = {} if self.most is None else {"maxItems": self.most}
        return {"type": "array", "items": self.item.json_schema, **most}

    def check(self, field: str, value: object) -> None:
        """Refuse a value that is not a list, is too long, or has an item of another kind."""
        if not isinstance(value, list | tuple):
            raise InputError(field, value, "give a list, even for a single value")
        if self.most is not None and len(value) > self.most:
            raise InputError(field, value, f"must be a list of at most {self.most}, and it holds {len(value)}")
        for part in value:
            self.item.check(field, part)

    def read_text(self, field: str, text: str, folder: Path) -> list[Any]:
        """Read one value, or a JSON list of them."""
        value = guess(text) if text.lstrip().startswith("[") else None
        if isinstance(value, list):
            return self.read_json(field, value, folder)
        read = self.item.read_text
        return [read(field, text, folder)]

    def read_json(self, field: str, value: Any, folder: Path) -> list[Any]:
        """Read one value, or a list of them."""
        parts = value if isinstance(value, list) else [value]
        return [self.item.read_json(field, part, folder) for part in parts]


@attrs.frozen
class AnyKind(ParameterKind):
    """Any value: the schema says more of it than is understood here."""

    name = "any"
    phrase = "any value"
    summary = "anything; not checked"

    @property
    def json_schema(self) -> dict[str, Any]:
        """Anything."""
        return {}

    def check(self, field: str, value: object) -> None:
        """Take any value."""

    def read_text(self, field: str, text: str, folder: Path) -> Any:
        """Read JSON, else the text itself."""
        return whole(guess(text))

    def read_json(self, field: str, value: Any, folder: Path) -> Any:
        """Take 7.0 as 7."""
        return whole(value)
