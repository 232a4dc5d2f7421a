"""Read the keywords of a sweep file, each with its values and their lines. Nothing is multiplied here."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import attrs

from cometflux import flux
from cometflux.models.kinds import guess, prompt_text
from cometflux.models.spelling import is_blank
from cometflux.models.words import closest, question
from cometflux.sources.errors import Fault
from cometflux.sources.formats import yaml_documents
from cometflux.sources.formats.yaml_documents import MappingNode, Node, ScalarNode, SequenceNode
from cometflux.sources.rows import RESERVED, Quoted

_WORDS = ("prompt", "prompts", "model", "key", "images", "matrix", "zip", "include", "exclude")


@attrs.frozen(eq=False)
class Cell:
    """A value with its line. Cells with equal values are equal."""

    value: "str | tuple[str, ...] | PromptObject | None"
    """None if the parameter is left out."""
    line: int
    first: int = 0
    """The first line of its text."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


@attrs.frozen
class PromptObject:
    """A prompt that is an object. Each text in it is a template."""

    text: str
    """The object as JSON text."""


Cells: TypeAlias = dict[str, Cell]


@attrs.define
class Sweep:
    """The content of a sweep file."""

    line: int = 1
    """The line on which the matrix begins."""
    constants: Cells = attrs.field(factory=dict)
    axes: dict[str, tuple[Cell, ...]] = attrs.field(factory=dict)
    beside: dict[str, tuple[Cell, ...]] = attrs.field(factory=dict)
    """Lists side by side, all of one length."""
    images: tuple[Cell, ...] = ()
    """The names of image files, folders and zips."""
    exclude: list[tuple[Cells, int]] = attrs.field(factory=list)
    include: list[tuple[Cells, int]] = attrs.field(factory=list)
    faults: list[Fault] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)
    used: set[str] = attrs.field(factory=set)
    commented: list[int] = attrs.field(factory=list)
    """The lines of prompts with a comment after them."""

    @property
    def lists(self) -> dict[str, tuple[Cell, ...]]:
        """All lists by name, those side by side and those to multiply."""
        return {**self.beside, **self.axes}


def read_words(root: Node) -> Sweep:
    """Read the keywords of a sweep. Mistakes are added to its faults."""
    sweep = Sweep()
    if not isinstance(root, MappingNode):
        sweep.faults.append(Fault("a sweep is made of names and values, as in prompt: a fox", root.line))
        return sweep
    lists: dict[str, tuple[ScalarNode, Node]] = {}
    _read_prompts(sweep, root)
    for word, (name, node) in root.parts.items():
        if word == "matrix":
            _read_matrix(sweep, node, lists)
        elif word == "zip":
            _read_zip(sweep, name, node)
        elif word in ("include", "exclude"):
            _keep_list(sweep, lists, name, node)
        elif word == "images":
            sweep.images = tuple(_read_images(sweep, name, node))
        elif word not in ("prompt", "prompts") and (cell := _constant(sweep, name, node)):
            sweep.constants[word] = cell
    for word, (_, node) in lists.items():
        target = sweep.exclude if word == "exclude" else sweep.include
        target += _entries(sweep, word, node)
    _check_names(sweep)
    return sweep


def _read_prompts(sweep: Sweep, root: MappingNode) -> None:
    given = [root.parts[word] for word in ("prompt", "prompts") if word in root.parts]
    for name, _ in given[1:]:
        sweep.faults.append(Fault(f"{name.text!r} and {given[0][0].text!r} cannot be used together", name.line))
    for name, node in given[:1]:
        if isinstance(node, SequenceNode):
            sweep.axes["prompt"] = _axis(sweep, name, node)
        elif cell := _scalar(sweep, name, node):
            sweep.constants["prompt"] = cell


def _read_matrix(sweep: Sweep, node: Node, lists: dict[str, tuple[ScalarNode, Node]]) -> None:
    sweep.line = node.line
    if not isinstance(node, MappingNode) or not node.parts:
        sweep.faults.append(Fault("matrix holds lists to be multiplied, as in seed: [1, 2]", node.line))
        return
    for word, (name, part) in node.parts.items():
        if word in ("include", "exclude"):
            # CI files have them inside the matrix.
            _keep_list(sweep, lists, name, part)
        elif word == "prompts":
            sweep.faults.append(Fault("in matrix, the name is 'prompt'", name.line))
        elif word in sweep.axes:
            sweep.faults.append(Fault(f"{word!r} appears both in matrix and outside it", name.line))
        else:
            sweep.axes[word] = _axis(sweep, name, part)


def _read_images(sweep: Sweep, name: ScalarNode, node: Node) -> Iterator[Cell]:
    parts = node.parts if isinstance(node, SequenceNode) else (node,)
    if not parts:
        sweep.faults.append(Fault("images: the list is empty, so there would be no jobs", name.line))
    for part in parts:
        if isinstance(part, ScalarNode) and (text := _text(part)) is not None:
            yield Cell(text, part.line)
        else:
            fault = "images: the name of files, of a folder or of a zip is expected"
            sweep.faults.append(Fault(fault, part.line))


def _read_zip(sweep: Sweep, name: ScalarNode, node: Node) -> None:
    if not isinstance(node, MappingNode) or not node.parts:
        sweep.faults.append(Fault("zip holds lists side by side, as in seed: [1, 2]", node.line))
        return
    for word, (each, part) in node.parts.items():
        if word in ("include", "exclude", "prompts"):
            hint = "the name is 'prompt'" if word == "prompts" else f"put {word} next to zip"
            sweep.faults.append(Fault(f"in zip, {hint}", each.line))
        else:
            sweep.beside[word] = _axis(sweep, each, part, may_repeat=True)
    sizes = {word: len(cells) for word, cells in sweep.beside.items() if cells}
    if len({*sizes.values()}) > 1:
        counts = ", ".join(f"{word} has {size}" for word, size in sizes.items())
        sweep.faults.append(Fault(f"zip: its lists must have one length, and {counts}", name.line))
        return
    rows = [*zip(*sweep.beside.values(), strict=False)]
    if twice := next((row for number, row in enumerate(rows) if row in rows[:number]), None):
        sweep.faults.append(Fault("zip: these values appear twice together, and would be charged twice", twice[0].line))


def _keep_list(sweep: Sweep, lists: dict[str, tuple[ScalarNode, Node]], name: ScalarNode, node: Node) -> None:
    if name.text in lists:
        sweep.faults.append(Fault(f"{name.text!r} appears both in matrix and outside it", name.line))
    lists[name.text] = (name, node)


def _axis(sweep: Sweep, name: ScalarNode, node: Node, *, may_repeat: bool = False) -> tuple[Cell, ...]:
    if not isinstance(node, SequenceNode):
        found = "a mapping" if isinstance(node, MappingNode) else "one value"
        fault = f"{name.text}: expected a list, as in {name.text}: [a, b], not {found}"
        sweep.faults.append(Fault(fault, name.line))
        return ()
    if not node.parts:
        sweep.faults.append(Fault(f"{name.text}: the list is empty, so there would be no jobs", name.line))
    cells = [cell for part in node.parts if (cell := _cell(sweep, name, part))]
    seen: set[Cell] = set()
    for cell in cells:
        if cell in seen and not may_repeat:
            shown = "nothing" if cell.value is None else repr(_plain(cell.value))
            sweep.faults.append(Fault(f"{name.text}: {shown} appears twice, and would be charged twice", cell.line))
            break
        seen.add(cell)
    return tuple(cells)


def _plain(value: str | tuple[str, ...] | PromptObject) -> str | list[str]:
    if isinstance(value, PromptObject):
        return value.text
    return list(map(str, value)) if isinstance(value, tuple) else str(value)


def _entries(sweep: Sweep, word: str, node: Node) -> Iterator[tuple[Cells, int]]:
    if not isinstance(node, SequenceNode):
        sweep.faults.append(Fault(f"{word} must be a list; begin each entry with a hyphen", node.line))
        return
    for part in node.parts:
        if not isinstance(part, MappingNode) or not part.parts:
            sweep.faults.append(Fault(f"an entry of {word} is made of names and values, as in - seed: 1", part.line))
            continue
        found = {each: _cell(sweep, name, value) for each, (name, value) in part.parts.items()}
        yield {each: cell for each, cell in found.items() if cell}, part.line


def _constant(sweep: Sweep, name: ScalarNode, node: Node) -> Cell | None:
    if isinstance(node, MappingNode) or (isinstance(node, SequenceNode) and _holds_mappings(node)):
        hint = question(closest(name.text, _WORDS)) or f"a sweep has {', '.join(_WORDS)} and parameters"
        sweep.faults.append(Fault(f"{name.text!r} is not a keyword of a sweep; {hint}", name.line))
        return None
    if isinstance(node, SequenceNode) and not _takes_list(name.text):
        fault = f"{name.text}: expected one value, not a list; put values to be multiplied in matrix"
        sweep.faults.append(Fault(fault, name.line))
        return None
    return _cell(sweep, name, node)


def _holds_mappings(node: SequenceNode) -> bool:
    return any(isinstance(part, MappingNode) for part in node.parts)


def _takes_list(name: str) -> bool:
    kinds = [each.kind for model in flux.MODELS.values() for each in flux.parameters(model) if each.name == name]
    return name not in RESERVED and all(kind.is_list for kind in kinds)


def _scalar(sweep: Sweep, name: ScalarNode, node: Node) -> Cell | None:
    if isinstance(node, MappingNode) and (cell := _object(sweep, node)):
        return cell
    if not isinstance(node, ScalarNode) or node.is_null or is_blank(node.text):
        hint = f"; {yaml_documents.QUOTE_BRACES}" if isinstance(node, MappingNode) else ""
        sweep.faults.append(Fault(f"{name.text}: a text is expected{hint}", name.line))
        return None
    return _cell(sweep, name, node)


def _cell(sweep: Sweep, name: ScalarNode, node: Node) -> Cell | None:
    """Read a value. Returns None and adds a fault if the node is not a value."""
    if isinstance(node, ScalarNode) and node.is_commented and name.text in ("prompt", "prompts"):
        sweep.commented.append(node.line)
    match node:
        case ScalarNode():
            return Cell(_text(node), node.line, node.first)
        case SequenceNode(parts=parts) if parts and all(isinstance(part, ScalarNode) for part in parts):
            texts = [_text(part) for part in parts if isinstance(part, ScalarNode)]
            return Cell(tuple(text for text in texts if text is not None), node.line)
    if isinstance(node, MappingNode) and name.text in ("prompt", "prompts") and (cell := _object(sweep, node)):
        return cell
    found = "a mapping" if isinstance(node, MappingNode) else "a list of lists or an empty list"
    hint = f"; {yaml_documents.QUOTE_BRACES}" if isinstance(node, MappingNode) and name.text in RESERVED else ""
    sweep.faults.append(Fault(f"{name.text}: expected a value, not {found}{hint}", node.line))
    return None


def _object(sweep: Sweep, node: MappingNode) -> Cell | None:
    """Read a prompt that is an object; None if it is rather a template without its quotes, as in {animal}."""
    try:
        value = _value_of(node)
    except ValueError:
        return None
    return Cell(PromptObject(prompt_text(value)), node.line, node.line)


def _value_of(node: Node) -> Any:
    match node:
        case MappingNode(parts=parts) if parts:
            return {name: _value_of(part) for name, (_, part) in parts.items()}
        case SequenceNode(parts=items):
            return [_value_of(part) for part in items]
        case ScalarNode(is_null=False, is_quoted=False, text=text):
            read = guess(text)
            return read if isinstance(read, int | float | bool) else text
        case ScalarNode(is_null=False, text=text):
            return text
    raise ValueError("a prompt has no empty values")


def _text(node: ScalarNode) -> str | None:
    if node.is_null or is_blank(node.text):
        return None
    return Quoted(node.text) if node.is_quoted else node.text


def _check_names(sweep: Sweep) -> None:
    for name in sweep.constants.keys() & sweep.axes.keys():
        line = sweep.constants[name].line
        sweep.faults.append(Fault(f"{name!r} appears both in matrix and outside it", line))
    if sweep.images and "images" in sweep.lists:
        line = sweep.lists["images"][0].line
        sweep.faults.append(Fault("'images' appears both in matrix and outside it", line))
    for name in sweep.beside.keys() & {*sweep.constants, *sweep.axes}:
        sweep.faults.append(Fault(f"{name!r} appears both in zip and outside it", sweep.beside[name][0].line))
    for entry, line in sweep.exclude:
        for name in entry.keys() - sweep.lists.keys() - {"images" if sweep.images else ""}:
            meant = question(closest(name, sweep.lists))
            fault = f"exclude: {name!r} is not in matrix"
            sweep.faults.append(Fault(f"{fault}; {meant}" if meant else fault, line))
    for entry, line in sweep.include:
        replaced = [name for name in entry if name in sweep.constants]
        if sweep.lists and replaced and not entry.keys() & {*sweep.lists, "images" if sweep.images else ""}:
            fault = f"include: this entry has no name of matrix, so it would replace {replaced[0]!r} everywhere"
            sweep.faults.append(Fault(fault, line))
