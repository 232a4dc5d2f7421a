"""Expand wildcards in prompts: ``{red|blue}``, ``{2$$a|b|c}`` and ``__animals__``, as tools for prompts write them.

The choices come from digests of a seed, the number of the row and the number of the choice. So the same file makes the
same prompts, with every version of Python. Nothing is read here; *lists* returns the lines of a list by its name.
"""

import hashlib
import re
from collections.abc import Callable, Sequence

import attrs

from cometflux.basics.plain_text import count_of
from cometflux.sources.templates.braces import LONGEST

_DEEPEST = 20
_MOST_CHOICES = 10_000
"""Choices that are made for one row."""
_TOKEN = re.compile(r"[{}|]|__([^\W_][\w-]*?(?:/[^\W_][\w-]*?)*)__")
_COUNT = re.compile(r"\s*(\d{1,4})(?:-(\d{1,4}))?\$\$")
_JOINER = re.compile(r"((?:[^$|{}]|\$(?!\$))*)\$\$")


class WildcardError(ValueError):
    """A wildcard cannot be expanded. Its text is the reason."""


@attrs.define
class Choices:
    """The choices of one row, in their order."""

    seed: int
    row: int
    _count: int = 0

    def below(self, number: int) -> int:
        """Return the next choice: a number from 0 to below *number*."""
        self._count += 1
        if self._count > _MOST_CHOICES:
            raise WildcardError(f"it needs more than {_MOST_CHOICES} choices")
        text = f"{self.seed}:{self.row}:{self._count}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest()) % number

    def some(self, number: int, count: int) -> list[int]:
        """Return *count* different numbers from 0 to below *number*, in the order of the choice."""
        left = list(range(number))
        return [left.pop(self.below(len(left))) for _ in range(count)]


Lists = Callable[[str], Sequence[str]]


def expand(text: str, lists: Lists, choices: Choices) -> str:
    """Expand the wildcards of a text. Braces without a bar, as ``{animal}``, stay as they are.

    Raises:
        WildcardError: a brace is not closed, a list is missing or names itself, or the text becomes too long.
    """
    return _Expansion(lists, choices).expand(text, ())


@attrs.frozen
class _Group:
    """The text in a pair of braces, cut at its bars."""

    options: tuple[str, ...]
    end: int
    """Where the text after its closing brace begins."""


@attrs.frozen
class _Expansion:
    lists: Lists
    choices: Choices

    def expand(self, text: str, names: tuple[str, ...]) -> str:
        """Expand a text that is in the lists *names*, the outermost first."""
        if len(names) > _DEEPEST:
            raise WildcardError(f"{' in '.join(f'__{name}__' for name in reversed(names[-3:]))}: nested too deeply")
        parts: list[str] = []
        at = size = 0
        while at < len(text):
            found = _TOKEN.search(text, at)
            if found is None:
                parts.append(text[at:])
                break
            parts.append(text[at : found.start()])
            made, at = self._made(text, found, names)
            parts.append(made)
            size += len(parts[-1]) + len(parts[-2])
            if size > LONGEST:
                raise WildcardError(f"the text would have more than {LONGEST} characters")
        return "".join(parts)

    def _made(self, text: str, found: "re.Match[str]", names: tuple[str, ...]) -> tuple[str, int]:
        """Return the text in place of a token, and where to go on."""
        if found[1] is not None:
            return self._drawn(found[1], names), found.end()
        if found[0] != "{":
            return found[0], found.end()
        group = _group(text, found.end())
        inside = text[found.end() : group.end - 1]
        if len(group.options) == 1 and not _COUNT.match(inside):
            # The name of a column, or words in braces; a wildcard may be in it.
            return f"{{{self.expand(inside, names)}}}", group.end
        return self._chosen(group, names), group.end

    def _drawn(self, name: str, names: tuple[str, ...]) -> str:
        if name in names:
            raise WildcardError(f"{' → '.join(f'__{each}__' for each in (*names, name))}: it names itself")
        lines = self.lists(name)
        return self.expand(lines[self.choices.below(len(lines))], (*names, name))

    def _chosen(self, group: _Group, names: tuple[str, ...]) -> str:
        options = [*group.options]
        least, most, joiner = 1, 1, ", "
        if counted := _COUNT.match(options[0]):
            least = most = int(counted[1])
            most = int(counted[2] or least)
            options[0] = options[0][counted.end() :]
            if joined := _JOINER.match(options[0]):
                joiner, options[0] = joined[1], options[0][joined.end() :]
        if not least <= most <= len(options):
            raise WildcardError(f"{{{least}$$…}} cannot take {most} of {count_of(len(options), 'choice')}")
        count = least + (self.choices.below(most - least + 1) if most > least else 0)
        picked = self.choices.some(len(options), count)
        return joiner.join(self.expand(options[number], names) for number in picked)


def _group(text: str, start: int) -> _Group:
    """Cut the text of a brace that was opened before *start* at the bars that are not in further braces."""
    depth, begin, options = 0, start, []
    for found in _TOKEN.finditer(text, start):
        match found[0]:
            case "{":
                depth += 1
            case "|" if not depth:
                options.append(text[begin : found.start()])
                begin = found.end()
            case "}" if not depth:
                return _Group((*options, text[begin : found.start()]), found.end())
            case "}":
                depth -= 1
    raise WildcardError("a brace is not closed")
