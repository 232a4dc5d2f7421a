"""Read a YAML document into scalars, sequences and mappings, each with its line.

Every scalar stays text, so that nothing is guessed: YAML would read ``16:9`` as a base-60 number, ``no`` as false and
``010`` as 8. The parameter's type converts the text later, like a cell of a table.
"""

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import attrs

from cometflux.errors import needs_extra
from cometflux.sources.errors import Fault, SourceError

LARGEST = 2**20
"""The maximum size of a document, in bytes."""
_DEEPEST = 16
_MOST_PARTS = 100_000
"""The maximum number of nodes of a document after its aliases are expanded."""


@attrs.frozen
class ScalarNode:
    """A text with its line."""

    text: str
    line: int
    is_quoted: bool = False
    first: int = 0
    """The first line of the text itself; for a block scalar, the line after its ``|`` or ``>``."""
    size: int = 1
    is_commented: bool = False
    """Whether a comment follows on its line, so that a ``#`` that was meant as text would be missing."""

    @property
    def is_null(self) -> bool:
        """Whether it is YAML's null."""
        return not self.is_quoted and self.text in ("", "~", "null", "Null", "NULL")


@attrs.frozen
class SequenceNode:
    """A list with its line."""

    parts: "tuple[Node, ...]"
    line: int
    size: int


@attrs.frozen
class MappingNode:
    """A mapping with its line. Its names are unique."""

    parts: "dict[str, tuple[ScalarNode, Node]]"
    """For each name: the name with its line, and the value."""
    line: int
    size: int


Node: TypeAlias = ScalarNode | SequenceNode | MappingNode


def read_document(text: str, name: str) -> Node:
    """Read the only document in *text*.

    Raises:
        SourceError: the text is not YAML, or uses a part of YAML that is not supported.
        ConfigError: the extra ``batch`` is missing.
    """
    with needs_extra("a YAML file", "batch", "yaml"):
        import yaml
    try:
        return _Reader(yaml.parse(text, Loader=yaml.SafeLoader), text).read()
    except _RefusedError as error:
        raise SourceError([Fault(str(error), error.line)], name) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SourceError([Fault(f"character {error.character:#06x} is not allowed in YAML", line)], name) from error
    except yaml.MarkedYAMLError as error:
        raise SourceError([_syntax_fault(error, text)], name) from error


# A comment after an unquoted value, with its first word if no blank separates that from the mark.
_COMMENT = re.compile(r"[ \t]+#(\S*)")
_LETTER = re.compile(r"[^\W\d_]")
_UNCUT = "put a text that contains a # in quotes, or write a blank after the # of a comment"

QUOTE_BRACES = "put a text that begins with a brace in quotes"


class _RefusedError(Exception):
    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


# An unquoted value that begins with a brace: probably meant as a template.
_BRACE = re.compile(r"(?:[:,\[-]\s*|^\s*)\{")


def _syntax_fault(error: Any, text: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "the parser gives no reason"
    if mark is not None and _BRACE.search(text[: mark.index].rpartition("\n")[2]):
        problem = QUOTE_BRACES
    elif "'\\t'" in problem:
        problem = "found a tab instead of spaces; indent YAML with spaces"
    elif "mapping values are not allowed" in problem:
        problem = "unexpected colon; put a text that contains a colon in quotes"
    elif "expected <block end>" in problem:
        problem = "unexpected structure; check the indentation of this line"
    elif problem.startswith("found undefined alias"):
        problem = f"{problem.removeprefix('found ')}; put a text that begins with * in quotes"
    return Fault(f"it is not YAML ({problem})", None if mark is None else mark.line + 1)


class _Reader:
    """Builds a tree from the parser's events, and raises if the tree grows too large or too deep."""

    def __init__(self, events: Iterator[Any], text: str) -> None:
        self._events = events
        self._text = text
        self._anchors: dict[str, Node | None] = {}

    def read(self) -> Node:
        node: Node = ScalarNode("", 1)
        has_begun = False
        for event in self._events:
            line = event.start_mark.line + 1
            match type(event).__name__:
                case "DocumentStartEvent" if has_begun:
                    raise _RefusedError("a second document begins; use one file per document", line)
                case "DocumentStartEvent":
                    has_begun = True
                    node = self._node(next(self._events), 0)
        return node

    def _node(self, event: Any, depth: int) -> Node:
        line = event.start_mark.line + 1
        if type(event).__name__ == "AliasEvent":
            return self._alias(event.anchor, line)
        if event.tag is not None and event.tag != "!":
            raise _RefusedError(f"the tag {event.tag} is not supported; write the plain value", line)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = self._new_node(event, line, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str, line: int) -> Node:
        if anchor not in self._anchors:
            raise _RefusedError(f"*{anchor} is not defined; put a text that begins with * in quotes", line)
        node = self._anchors[anchor]
        if node is None:
            raise _RefusedError(f"*{anchor} refers to a value that contains it", line)
        return node

    def _new_node(self, event: Any, line: int, depth: int) -> Node:
        if depth > _DEEPEST:
            raise _RefusedError("it is nested too deeply", line)
        match type(event).__name__:
            case "SequenceStartEvent":
                parts = tuple(self._parts(depth))
                return SequenceNode(parts, line, 1 + sum(part.size for part in parts))
            case "MappingStartEvent":
                return self._mapping(line, depth)
        comment = _COMMENT.match(self._text, event.end_mark.index) if event.style is None else None
        if comment and comment[1].lstrip("#") and _LETTER.search(event.value):
            raise _RefusedError(f"YAML would cut the text at '#{comment[1]}'; {_UNCUT}", event.end_mark.line + 1)
        is_block = event.style in ("|", ">")
        return ScalarNode(event.value, line, event.style is not None, line + is_block, is_commented=comment is not None)

    def _parts(self, depth: int) -> Iterator[Node]:
        size = 0
        while not type(event := next(self._events)).__name__.endswith("EndEvent"):
            node = self._node(event, depth + 1)
            size += node.size
            if size > _MOST_PARTS:
                raise _RefusedError(f"with its aliases expanded it has more than {_MOST_PARTS} parts", node.line)
            yield node

    def _mapping(self, line: int, depth: int) -> MappingNode:
        parts: dict[str, tuple[ScalarNode, Node]] = {}
        both = self._parts(depth)
        for name, node in zip(both, both, strict=True):
            if not isinstance(name, ScalarNode) or name.is_null:
                raise _RefusedError("the name before a colon must be a text", name.line)
            if name.text in parts:
                first = parts[name.text][0].line
                raise _RefusedError(f"{name.text!r} appears twice, here and on line {first}", name.line)
            parts[name.text] = (name, node)
        return MappingNode(parts, line, 1 + sum(node.size for _, node in parts.values()))
