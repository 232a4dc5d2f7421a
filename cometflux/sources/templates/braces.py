"""Parse and fill templates such as ``a {animal} in {place}``, with only plain names in braces.

`str.format` is not used: it would also read attributes and items of the values, and has format codes. ``{{`` and
``}}`` are literal braces. Any other brace is an error.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from cometflux.models.words import closest, question

LONGEST = 100_000
"""The maximum length of a filled template, in characters."""

_TOKEN = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
_SINGLE = re.compile(r"\{[^{}]*\}|[{}]")
_DOUBLED = re.compile(r"(?<!\{)\{\{\s*([^{}]*?)\s*\}\}(?!\})")
# A column name of a table: words with hyphens or spaces between them.
_NAME = re.compile(r"[^\W\d]\w*(?:[ -]+\w+)*")


class TemplateError(ValueError):
    """A template has a mistake, or cannot be filled.

    Args:
        text: the message.
        line: the line of the template, from 1.
    """

    def __init__(self, text: str, line: int = 1) -> None:
        super().__init__(text)
        self.line = line


@attrs.frozen
class Slot:
    """A place in a template that is filled with a value."""

    name: str


@attrs.frozen
class Template:
    """A parsed template: texts, and slots between them."""

    parts: tuple[str | Slot, ...]
    doubled: frozenset[str] = frozenset()
    """The texts in double braces, which may be names in the syntax of other templates."""

    @classmethod
    def parse(cls, text: str, *, has_wildcards: bool = False) -> "Template":
        """Parse a template. If it *has_wildcards*, as ``{red|blue}``, all braces but those of names stay in the text.

        Raises:
            TemplateError: a brace is unmatched, or a pair of braces contains something other than a name.
        """
        parts: list[str | Slot] = []
        end = 0
        for found in (_SINGLE if has_wildcards else _TOKEN).finditer(text):
            try:
                parts += [text[end : found.start()], _part(found[0], has_wildcards=has_wildcards)]
            except ValueError as error:
                raise TemplateError(str(error), text.count("\n", 0, found.start()) + 1) from None
            end = found.end()
        return cls(tuple(part for part in [*parts, text[end:]] if part), frozenset(_DOUBLED.findall(text)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it uses, each once, in order."""
        return tuple(dict.fromkeys(part.name for part in self.parts if isinstance(part, Slot)))

    def fill(self, values: Mapping[str, Any]) -> str:
        """Fill the slots with values.

        Raises:
            TemplateError: a name has no value or is in double braces, a value is neither text nor a number, or the
                result is too long.
        """
        for name in sorted(self.doubled & values.keys()):
            raise TemplateError(f"{{{{{name}}}}} is literal text; write {{{name}}} for the value")
        texts = {name: _text_of(name, values) for name in self.names}
        parts = [texts[part.name] if isinstance(part, Slot) else part for part in self.parts]
        check_length(sum(map(len, parts)))
        return "".join(parts)


def _part(token: str, *, has_wildcards: bool) -> str | Slot:
    if has_wildcards:
        return Slot(name) if _NAME.fullmatch(name := token[1:-1].strip()) else token
    if token in ("{{", "}}"):
        return token[0]
    if len(token) == 1:
        raise ValueError(f"unmatched brace; write {token}{token} for a literal brace")
    name = token[1:-1].strip()
    if not _NAME.fullmatch(name):
        shown = token if len(token) <= 40 else f"{token[:39]}…"
        hint = "; --wildcards makes a choice of it" if "|" in name else ""
        raise ValueError(f"{shown} is not a column name; write {{{{ and }}}} for literal braces{hint}")
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
    """Return the message for a template that uses an unknown name, with the closest known name."""
    names = [*known]
    listed = ", ".join(map(str, names[:8])) or "none"
    hint = question(closest(name, names), "{{{}}}".format) or f"known names: {listed}"
    return f"the template uses {{{name}}}, which does not exist; {hint}"


def check_length(length: int) -> None:
    """Check the length of a filled template.

    Raises:
        TemplateError: *length* is above `LONGEST`.
    """
    if length > LONGEST:
        raise TemplateError(f"the text would have {length} characters, and at most {LONGEST} are allowed")
