"""What stands in the file of a sweep: its words, each with its values and their lines. Nothing is multiplied here."""

from collections.abc import Iterator
from typing import TypeAlias

import attrs

from cometflux import flux
from cometflux.models.words import closest, question
from cometflux.sources.errors import Fault
from cometflux.sources.formats import yaml_documents
from cometflux.sources.formats.yaml_documents import Mapping, Node, Scalar
from cometflux.sources.rows import RESERVED, Quoted

_WORDS = ("prompt", "prompts", "model", "key", "matrix", "include", "exclude")


@attrs.frozen(eq=False)
class Cell:
    """A value with its line; cells are alike where their values are."""

    value: str | tuple[str, ...] | None
    """None where the value is to be left out."""
    line: int
    first: int = 0
    """The line on which its text begins."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


Cells: TypeAlias = dict[str, Cell]


@attrs.define
class Sweep:
    """A file of this kind, as it was written."""

    line: int = 1
    """Where the matrix begins."""
    constants: Cells = attrs.field(factory=dict)
    axes: dict[str, tuple[Cell, ...]] = attrs.field(factory=dict)
    exclude: list[tuple[Cells, int]] = attrs.field(factory=list)
    include: list[tuple[Cells, int]] = attrs.field(factory=list)
    faults: list[Fault] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)
    used: set[str] = attrs.field(factory=set)


def read_words(root: Node) -> Sweep:
    """Read the words of a sweep; what is wrong with them is in its faults."""
    sweep = Sweep()
    if not isinstance(root, Mapping):
        sweep.faults.append(Fault("a sweep is made of names and values, as in prompt: a fox", root.line))
        return sweep
    lists: dict[str, tuple[Scalar, Node]] = {}
    _read_prompts(sweep, root)
    for word, (name, node) in root.parts.items():
        if word == "matrix":
            _read_matrix(sweep, node, lists)
        elif word in ("include", "exclude"):
            _keep_list(sweep, lists, name, node)
        elif word not in ("prompt", "prompts") and (cell := _constant(sweep, name, node)):
            sweep.constants[word] = cell
    for word, (_, node) in lists.items():
        target = sweep.exclude if word == "exclude" else sweep.include
        target += _entries(sweep, word, node)
    _check_names(sweep)
    return sweep


def _read_prompts(sweep: Sweep, root: Mapping) -> None:
    given = [root.parts[word] for word in ("prompt", "prompts") if word in root.parts]
    for name, _ in given[1:]:
        sweep.faults.append(Fault(f"{name.text!r} and {given[0][0].text!r} exclude each other", name.line))
    for name, node in given[:1]:
        if isinstance(node, yaml_documents.Sequence):
            sweep.axes["prompt"] = _axis(sweep, name, node)
        elif cell := _scalar(sweep, name, node):
            sweep.constants["prompt"] = cell


def _read_matrix(sweep: Sweep, node: Node, lists: dict[str, tuple[Scalar, Node]]) -> None:
    sweep.line = node.line
    if not isinstance(node, Mapping) or not node.parts:
        sweep.faults.append(Fault("matrix holds lists to be multiplied, as in seed: [1, 2]", node.line))
        return
    for word, (name, part) in node.parts.items():
        if word in ("include", "exclude"):
            # Where CI files have them.
            _keep_list(sweep, lists, name, part)
        elif word == "prompts":
            sweep.faults.append(Fault("within matrix it is called 'prompt'", name.line))
        elif word in sweep.axes:
            sweep.faults.append(Fault(f"{word!r} stands in matrix and outside of it", name.line))
        else:
            sweep.axes[word] = _axis(sweep, name, part)


def _keep_list(sweep: Sweep, lists: dict[str, tuple[Scalar, Node]], name: Scalar, node: Node) -> None:
    if name.text in lists:
        sweep.faults.append(Fault(f"{name.text!r} stands in matrix and outside of it", name.line))
    lists[name.text] = (name, node)


def _axis(sweep: Sweep, name: Scalar, node: Node) -> tuple[Cell, ...]:
    if not isinstance(node, yaml_documents.Sequence):
        what = "a mapping" if isinstance(node, Mapping) else "one value"
        fault = f"{name.text}: {what} stands where a list is expected, as in {name.text}: [a, b]"
        sweep.faults.append(Fault(fault, name.line))
        return ()
    if not node.parts:
        sweep.faults.append(Fault(f"{name.text}: the list is empty, so nothing would be made", name.line))
    cells = [cell for part in node.parts if (cell := _cell(sweep, name, part))]
    seen: set[Cell] = set()
    for cell in cells:
        if cell in seen:
            shown = "nothing" if cell.value is None else repr(_plain(cell.value))
            sweep.faults.append(Fault(f"{name.text}: {shown} stands twice, and would be bought twice", cell.line))
            break
        seen.add(cell)
    return tuple(cells)


def _plain(value: str | tuple[str, ...]) -> str | list[str]:
    return list(map(str, value)) if isinstance(value, tuple) else str(value)


def _entries(sweep: Sweep, word: str, node: Node) -> Iterator[tuple[Cells, int]]:
    if not isinstance(node, yaml_documents.Sequence):
        sweep.faults.append(Fault(f"{word} is a list, each of whose entries begins with a hyphen", node.line))
        return
    for part in node.parts:
        if not isinstance(part, Mapping) or not part.parts:
            sweep.faults.append(Fault(f"an entry of {word} is made of names and values, as in - seed: 1", part.line))
            continue
        found = {each: _cell(sweep, name, value) for each, (name, value) in part.parts.items()}
        yield {each: cell for each, cell in found.items() if cell}, part.line


def _constant(sweep: Sweep, name: Scalar, node: Node) -> Cell | None:
    if isinstance(node, Mapping) or (isinstance(node, yaml_documents.Sequence) and _holds_mappings(node)):
        hint = question(closest(name.text, _WORDS)) or f"a sweep has {', '.join(_WORDS)} and parameters"
        sweep.faults.append(Fault(f"{name.text!r} is no word of a sweep; {hint}", name.line))
        return None
    if isinstance(node, yaml_documents.Sequence) and not _takes_list(name.text):
        fault = f"{name.text}: a list stands where one value is expected; what is to be multiplied stands in matrix"
        sweep.faults.append(Fault(fault, name.line))
        return None
    return _cell(sweep, name, node)


def _holds_mappings(node: yaml_documents.Sequence) -> bool:
    return any(isinstance(part, Mapping) for part in node.parts)


def _takes_list(name: str) -> bool:
    kinds = [each.kind for model in flux.MODELS.values() for each in flux.parameters(model) if each.name == name]
    return name not in RESERVED and all(kind.is_list for kind in kinds)


def _scalar(sweep: Sweep, name: Scalar, node: Node) -> Cell | None:
    if not isinstance(node, Scalar) or node.is_null or not node.text.strip():
        hint = f"; {yaml_documents.QUOTE_BRACES}" if isinstance(node, Mapping) else ""
        sweep.faults.append(Fault(f"{name.text}: a text is expected{hint}", name.line))
        return None
    return _cell(sweep, name, node)


def _cell(sweep: Sweep, name: Scalar, node: Node) -> Cell | None:
    """Read a value; None where it is none, which is told."""
    match node:
        case Scalar():
            return Cell(_text(node), node.line, node.first)
        case yaml_documents.Sequence(parts=parts) if parts and all(isinstance(part, Scalar) for part in parts):
            texts = [_text(part) for part in parts if isinstance(part, Scalar)]
            return Cell(tuple(text for text in texts if text is not None), node.line)
    what = "a mapping" if isinstance(node, Mapping) else "a list of lists, or an empty one,"
    hint = f"; {yaml_documents.QUOTE_BRACES}" if isinstance(node, Mapping) and name.text in RESERVED else ""
    sweep.faults.append(Fault(f"{name.text}: {what} stands where a value is expected{hint}", node.line))
    return None


def _text(node: Scalar) -> str | None:
    if node.is_null or not node.text.strip():
        return None
    return Quoted(node.text) if node.is_quoted else node.text


def _check_names(sweep: Sweep) -> None:
    for name in sweep.constants.keys() & sweep.axes.keys():
        line = sweep.constants[name].line
        sweep.faults.append(Fault(f"{name!r} stands in matrix and outside of it", line))
    for entry, line in sweep.exclude:
        for name in entry.keys() - sweep.axes.keys():
            meant = question(closest(name, sweep.axes))
            fault = f"exclude: {name!r} is not in matrix"
            sweep.faults.append(Fault(f"{fault}; {meant}" if meant else fault, line))
    for entry, line in sweep.include:
        replaced = [name for name in entry if name in sweep.constants]
        if sweep.axes and replaced and not entry.keys() & sweep.axes.keys():
            fault = f"include: it names nothing of matrix, so it would replace {replaced[0]!r} everywhere"
            sweep.faults.append(Fault(fault, line))
