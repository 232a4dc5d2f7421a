"""YAML documents: texts, lists and mappings, each with its line, and nothing else.

Every scalar stays the text that was written. So nothing is guessed: ``16:9`` is no number to the base of sixty, ``no``
no truth and ``010`` no eight; a parameter's own type reads it, as it reads the cell of a table.
"""

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import attrs

from cometflux.errors import needs_extra
from cometflux.sources.errors import Fault, SourceError

LARGEST = 2**20
"""How many bytes a document may have."""
_DEEPEST = 16
_MOST_PARTS = 100_000
"""How many parts a document may have when what its aliases stand for is written out."""


@attrs.frozen
class Scalar:
    """A text."""

    text: str
    line: int
    is_quoted: bool = False
    first: int = 0
    """The line on which the text itself begins: of a block, the one below its head."""
    size: int = 1

    @property
    def is_null(self) -> bool:
        """Whether nothing is meant."""
        return not self.is_quoted and self.text in ("", "~", "null", "Null", "NULL")


@attrs.frozen
class Sequence:
    """A list."""

    parts: "tuple[Node, ...]"
    line: int
    size: int


@attrs.frozen
class Mapping:
    """A mapping; no name stands twice in it."""

    parts: "dict[str, tuple[Scalar, Node]]"
    """By name: the name with its line, and the value."""
    line: int
    size: int


Node: TypeAlias = Scalar | Sequence | Mapping


def read_document(text: str, name: str) -> Node:
    """Read the one document in *text*.

    Raises:
        SourceError: it is no YAML, or holds something that is not read.
        ConfigError: the extra ``batch`` is missing.
    """
    with needs_extra("a YAML file", "batch", "yaml"):
        import yaml
    try:
        return _Reader(yaml.parse(text, Loader=yaml.SafeLoader)).read()
    except _RefusedError as error:
        raise SourceError([Fault(str(error), error.line)], name) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SourceError([Fault(f"character {error.character:#06x} is not allowed in YAML", line)], name) from error
    except yaml.MarkedYAMLError as error:
        raise SourceError([_syntax_fault(error, text)], name) from error


QUOTE_BRACES = "a text that begins with a brace stands in quotes"


class _RefusedError(Exception):
    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


# What would be a template if it stood in quotes.
_BRACE = re.compile(r"(?:[:,\[-]\s*|^\s*)\{")


def _syntax_fault(error: Any, text: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "nobody knows why"
    if mark is not None and _BRACE.search(text[: mark.index].rpartition("\n")[2]):
        problem = QUOTE_BRACES
    elif "'\\t'" in problem:
        problem = "a tab stands where blanks are expected; YAML is indented with blanks"
    elif "mapping values are not allowed" in problem:
        problem = "a colon stands where none is expected; put a text that holds a colon in quotes"
    elif "expected <block end>" in problem:
        problem = "it does not go on as it began; look at how far this line is indented"
    elif problem.startswith("found undefined alias"):
        problem = f"{problem.removeprefix('found ')}; a text that begins with * stands in quotes"
    return Fault(f"it is not YAML ({problem})", None if mark is None else mark.line + 1)


class _Reader:
    """Makes a tree of a stream of events, and no more of it than is allowed."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, Node | None] = {}

    def read(self) -> Node:
        node: Node = Scalar("", 1)
        has_begun = False
        for event in self._events:
            line = event.start_mark.line + 1
            match type(event).__name__:
                case "DocumentStartEvent" if has_begun:
                    raise _RefusedError("a second document begins; keep each in a file of its own", line)
                case "DocumentStartEvent":
                    has_begun = True
                    node = self._node(next(self._events), 0)
        return node

    def _node(self, event: Any, depth: int) -> Node:
        line = event.start_mark.line + 1
        if type(event).__name__ == "AliasEvent":
            return self._alias(event.anchor, line)
        if event.tag is not None and event.tag != "!":
            raise _RefusedError(f"the tag {event.tag} is not read; write the value as it is", line)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = self._new_node(event, line, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str, line: int) -> Node:
        if anchor not in self._anchors:
            raise _RefusedError(f"*{anchor} stands for nothing; a text that begins with * stands in quotes", line)
        node = self._anchors[anchor]
        if node is None:
            raise _RefusedError(f"*{anchor} stands within what it stands for", line)
        return node

    def _new_node(self, event: Any, line: int, depth: int) -> Node:
        if depth > _DEEPEST:
            raise _RefusedError("it is nested too deeply", line)
        match type(event).__name__:
            case "SequenceStartEvent":
                parts = tuple(self._parts(depth))
                return Sequence(parts, line, 1 + sum(part.size for part in parts))
            case "MappingStartEvent":
                return self._mapping(line, depth)
        is_block = event.style in ("|", ">")
        return Scalar(event.value, line, event.style is not None, line + is_block)

    def _parts(self, depth: int) -> Iterator[Node]:
        size = 0
        while not type(event := next(self._events)).__name__.endswith("EndEvent"):
            node = self._node(event, depth + 1)
            size += node.size
            if size > _MOST_PARTS:
                raise _RefusedError(f"with its aliases written out it has more than {_MOST_PARTS} parts", node.line)
            yield node

    def _mapping(self, line: int, depth: int) -> Mapping:
        parts: dict[str, tuple[Scalar, Node]] = {}
        both = self._parts(depth)
        for name, node in zip(both, both, strict=True):
            if not isinstance(name, Scalar) or name.is_null:
                raise _RefusedError("the name in front of a colon is a text", name.line)
            if name.text in parts:
                first = parts[name.text][0].line
                raise _RefusedError(f"{name.text!r} stands twice, here and on line {first}", name.line)
            parts[name.text] = (name, node)
        return Mapping(parts, line, 1 + sum(node.size for _, node in parts.values()))
