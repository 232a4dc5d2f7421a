"""Templates as in ``a {animal} in {place}``: plain names, and nothing else, stand between braces.

`str.format` would reach the attributes and the items of what it is given, and has a language of its own for widths and
signs. Here ``{{`` and ``}}`` stand for the braces themselves, and whatever is none of these three is told.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from cometflux.models.words import closest, question

LONGEST = 100_000
"""How many characters a text made by a template may have."""

_TOKEN = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
# As in the header of a table: words, with hyphens and blanks between them.
_NAME = re.compile(r"[^\W\d]\w*(?:[ -]+\w+)*")


class TemplateError(ValueError):
    """A template is wrong, or cannot be filled in.

    Args:
        text: what is wrong.
        line: the line of the template, from 1.
    """

    def __init__(self, text: str, line: int = 1) -> None:
        super().__init__(text)
        self.line = line


@attrs.frozen
class Slot:
    """A place in a template that takes a value."""

    name: str


@attrs.frozen
class Template:
    """A template that has been read: texts, and slots between them."""

    parts: tuple[str | Slot, ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Read a template.

        Raises:
            TemplateError: a brace stands alone, or something else than a name stands between two.
        """
        parts: list[str | Slot] = []
        end = 0
        for found in _TOKEN.finditer(text):
            try:
                parts += [text[end : found.start()], _part(found[0])]
            except ValueError as error:
                raise TemplateError(str(error), text.count("\n", 0, found.start()) + 1) from None
            end = found.end()
        return cls(tuple(part for part in [*parts, text[end:]] if part))

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it takes, each once, in their order."""
        return tuple(dict.fromkeys(part.name for part in self.parts if isinstance(part, Slot)))

    def fill(self, values: Mapping[str, Any]) -> str:
        """Put values in.

        Raises:
            TemplateError: a name has no value, or one that is no text, or the result is too long.
        """
        texts = {name: _text_of(name, values) for name in self.names}
        parts = [texts[part.name] if isinstance(part, Slot) else part for part in self.parts]
        check_length(sum(map(len, parts)))
        return "".join(parts)


def _part(token: str) -> str | Slot:
    if token in ("{{", "}}"):
        return token[0]
    if len(token) == 1:
        raise ValueError(f"a brace stands alone; write {token}{token} for the brace itself")
    name = token[1:-1].strip()
    if not _NAME.fullmatch(name):
        shown = token if len(token) <= 40 else f"{token[:39]}…"
        raise ValueError(f"{shown} is no name: only that of a column stands in braces; write {{{{ and }}}} for braces")
    return Slot(name)


def _text_of(name: str, values: Mapping[str, Any]) -> str:
    if name not in values:
        raise TemplateError(missing(name, values))
    match values[name]:
        case str(text):
            return str(text)
        case bool(truth):
            return "true" if truth else "false"
        case int() | float() as number if not isinstance(number, float) or math.isfinite(number):
            return str(number)
    raise TemplateError(f"{{{name}}} is neither text nor a number here")


def missing(name: str, known: Iterable[str]) -> str:
    """Say that a template takes a name that is not there, and which one may be meant."""
    names = [*known]
    listed = ", ".join(map(str, names[:8])) or "nothing"
    hint = question(closest(name, names), "{{{}}}".format) or f"what there is: {listed}"
    return f"the template takes {{{name}}}, and there is none; {hint}"


def check_length(length: int) -> None:
    """Refuse a text that is no prompt any more.

    Raises:
        TemplateError: it is too long.
    """
    if length > LONGEST:
        raise TemplateError(f"the text would have {length} characters, and at most {LONGEST} are made")
