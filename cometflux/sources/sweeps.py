"""Sweeps: a YAML file that says what is to be multiplied with what, in the words of CI files.

The texts of prompts and keys are templates. Nothing is expanded before it is known how much it comes to.
"""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import attrs

from cometflux import flux
from cometflux.sources import combinations, documents
from cometflux.sources.documents import Mapping, Node, Scalar, read_document
from cometflux.sources.faults import Fault, SourceError
from cometflux.sources.formatter import Template, TemplateError
from cometflux.sources.rows import RESERVED, Most, Quoted, Row, Source
from cometflux.sources.texts import decode

_WORDS = ("prompt", "prompts", "jinja", "model", "key", "matrix", "include", "exclude")


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
class _Sweep:
    """A file of this kind, as it was written."""

    line: int = 1
    """Where the matrix begins."""
    jinja: Cell | None = None
    """The template of the prompts; None where they are no Jinja."""
    constants: Cells = attrs.field(factory=dict)
    axes: dict[str, tuple[Cell, ...]] = attrs.field(factory=dict)
    exclude: list[tuple[Cells, int]] = attrs.field(factory=list)
    include: list[tuple[Cells, int]] = attrs.field(factory=list)
    faults: list[Fault] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)
    used: set[str] = attrs.field(factory=set)


def read_sweep(data: bytes, name: str, most: Most, *, needs_prompt: bool = True) -> Source:
    """Read a sweep and multiply it out.

    Raises:
        SourceError: something is wrong in it, or it comes to more than is allowed.
        ConfigError: the extra ``batch`` is missing.
    """
    if len(data) > documents.LARGEST:
        raise SourceError(f"it has {len(data)} bytes, and a sweep has at most 1 MiB; a table may have more", name)
    root = read_document(decode(data, name), name)
    sweep = _Sweep()
    _read(sweep, root)
    _check(sweep, name)
    _check_size(sweep, name, most)
    found = _multiply(sweep, name)
    if len(found) * most.copies > most.jobs:
        raise SourceError(f"it comes to {len(found) * most.copies} jobs; {_at_most(most)}", name)
    if needs_prompt and sweep.jinja is None and not any("prompt" in cells for cells, _ in found):
        raise SourceError("it has no prompt; add one, as in prompt: a fox", name)
    rows = _rows(sweep, found)
    _check(sweep, name)
    places = {each: cell.line for cells, _ in reversed(found) for each, cell in cells.items()}
    return Source(
        name=name,
        rows=tuple(rows),
        columns=tuple(places),
        places=places,
        used=frozenset(sweep.used),
        notes=tuple(sweep.notes),
    )


def _check(sweep: _Sweep, name: str) -> None:
    if sweep.faults:
        raise SourceError(dict.fromkeys(sorted(sweep.faults, key=lambda fault: fault.line or 0)), name)


# ── what is written ──────────────────────────────────────────────────────────────────────────────────────────────────


def _read(sweep: _Sweep, root: Node) -> None:
    if not isinstance(root, Mapping):
        sweep.faults.append(Fault("a sweep is made of names and values, as in prompt: a fox", root.line))
        return
    lists: dict[str, tuple[Scalar, Node]] = {}
    _read_prompts(sweep, root)
    for word, (name, node) in root.parts.items():
        if word == "matrix":
            _read_matrix(sweep, node, lists)
        elif word in ("include", "exclude"):
            _keep_list(sweep, lists, name, node)
        elif word not in ("prompt", "prompts", "jinja") and (cell := _constant(sweep, name, node)):
            sweep.constants[word] = cell
    for word, (_, node) in lists.items():
        target = sweep.exclude if word == "exclude" else sweep.include
        target += _entries(sweep, word, node)
    _check_names(sweep)


def _read_prompts(sweep: _Sweep, root: Mapping) -> None:
    given = [root.parts[word] for word in ("prompt", "prompts", "jinja") if word in root.parts]
    for name, _ in given[1:]:
        sweep.faults.append(Fault(f"{name.text!r} and {given[0][0].text!r} exclude each other", name.line))
    for name, node in given[:1]:
        if name.text == "jinja":
            sweep.jinja = _scalar(sweep, name, node)
        elif isinstance(node, documents.Sequence):
            sweep.axes["prompt"] = _axis(sweep, name, node)
        elif cell := _scalar(sweep, name, node):
            sweep.constants["prompt"] = cell


def _read_matrix(sweep: _Sweep, node: Node, lists: dict[str, tuple[Scalar, Node]]) -> None:
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


def _keep_list(sweep: _Sweep, lists: dict[str, tuple[Scalar, Node]], name: Scalar, node: Node) -> None:
    if name.text in lists:
        sweep.faults.append(Fault(f"{name.text!r} stands in matrix and outside of it", name.line))
    lists[name.text] = (name, node)


def _axis(sweep: _Sweep, name: Scalar, node: Node) -> tuple[Cell, ...]:
    if not isinstance(node, documents.Sequence):
        what = "a mapping" if isinstance(node, Mapping) else "one value"
        fault = f"{name.text}: {what} stands where a list is expected, as in {name.text}: [a, b]"
        sweep.faults.append(Fault(fault, name.line))
        return ()
    if not node.parts:
        sweep.faults.append(Fault(f"{name.text}: the list is empty, so nothing would be made", name.line))
    cells = [cell for part in node.parts if (cell := _cell(sweep, name, part))]
    for number, cell in enumerate(cells):
        if cell in cells[:number]:
            shown = "nothing" if cell.value is None else repr(_plain(cell.value))
            sweep.faults.append(Fault(f"{name.text}: {shown} stands twice, and would be bought twice", cell.line))
            break
    return tuple(cells)


def _plain(value: str | tuple[str, ...]) -> str | list[str]:
    return list(map(str, value)) if isinstance(value, tuple) else str(value)


def _entries(sweep: _Sweep, word: str, node: Node) -> Iterator[tuple[Cells, int]]:
    if not isinstance(node, documents.Sequence):
        sweep.faults.append(Fault(f"{word} is a list, each of whose entries begins with a hyphen", node.line))
        return
    for part in node.parts:
        if not isinstance(part, Mapping) or not part.parts:
            sweep.faults.append(Fault(f"an entry of {word} is made of names and values, as in - seed: 1", part.line))
            continue
        found = {each: _cell(sweep, name, value) for each, (name, value) in part.parts.items()}
        yield {each: cell for each, cell in found.items() if cell}, part.line


def _constant(sweep: _Sweep, name: Scalar, node: Node) -> Cell | None:
    if isinstance(node, Mapping) or (isinstance(node, documents.Sequence) and _holds_mappings(node)):
        close = difflib.get_close_matches(name.text, _WORDS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; a sweep has {', '.join(_WORDS)} and parameters"
        sweep.faults.append(Fault(f"{name.text!r} is no word of a sweep{hint}", name.line))
        return None
    if isinstance(node, documents.Sequence) and not _takes_list(name.text):
        fault = f"{name.text}: a list stands where one value is expected; what is to be multiplied stands in matrix"
        sweep.faults.append(Fault(fault, name.line))
        return None
    return _cell(sweep, name, node)


def _holds_mappings(node: documents.Sequence) -> bool:
    return any(isinstance(part, Mapping) for part in node.parts)


def _takes_list(name: str) -> bool:
    kinds = {each.kind for model in flux.MODELS.values() for each in flux.parameters(model) if each.name == name}
    return name not in RESERVED and kinds <= {flux.Kind.IMAGES}


def _scalar(sweep: _Sweep, name: Scalar, node: Node) -> Cell | None:
    if not isinstance(node, Scalar) or node.is_null or not node.text.strip():
        hint = f"; {documents.QUOTE_BRACES}" if isinstance(node, Mapping) else ""
        sweep.faults.append(Fault(f"{name.text}: a text is expected{hint}", name.line))
        return None
    return _cell(sweep, name, node)


def _cell(sweep: _Sweep, name: Scalar, node: Node) -> Cell | None:
    """Read a value; None where it is none, which is told."""
    match node:
        case Scalar():
            return Cell(_text(node), node.line, node.first)
        case documents.Sequence(parts=parts) if parts and all(isinstance(part, Scalar) for part in parts):
            texts = [_text(part) for part in parts if isinstance(part, Scalar)]
            return Cell(tuple(text for text in texts if text is not None), node.line)
    what = "a mapping" if isinstance(node, Mapping) else "a list of lists, or an empty one,"
    hint = f"; {documents.QUOTE_BRACES}" if isinstance(node, Mapping) and name.text in RESERVED else ""
    sweep.faults.append(Fault(f"{name.text}: {what} stands where a value is expected{hint}", node.line))
    return None


def _text(node: Scalar) -> str | None:
    if node.is_null or not node.text.strip():
        return None
    return Quoted(node.text) if node.is_quoted else node.text


def _check_names(sweep: _Sweep) -> None:
    for name in sweep.constants.keys() & sweep.axes.keys():
        line = sweep.constants[name].line
        sweep.faults.append(Fault(f"{name!r} stands in matrix and outside of it", line))
    prompts = [*sweep.axes.get("prompt", ()), *(entry["prompt"] for entry, _ in sweep.include if "prompt" in entry)]
    if sweep.jinja is not None:
        sweep.faults += [Fault("'prompt' and 'jinja' exclude each other", cell.line) for cell in prompts[:1]]
    for entry, line in sweep.exclude:
        for name in entry.keys() - sweep.axes.keys():
            close = difflib.get_close_matches(name, sweep.axes, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            sweep.faults.append(Fault(f"exclude: {name!r} is not in matrix{hint}", line))
    for entry, line in sweep.include:
        replaced = [name for name in entry if name in sweep.constants]
        if sweep.axes and replaced and not entry.keys() & sweep.axes.keys():
            fault = f"include: it names nothing of matrix, so it would replace {replaced[0]!r} everywhere"
            sweep.faults.append(Fault(fault, line))


# ── how much it comes to ─────────────────────────────────────────────────────────────────────────────────────────────


def _check_size(sweep: _Sweep, name: str, most: Most) -> None:
    number = combinations.count(sweep.axes)
    if number * most.copies > most.jobs:
        factors = " x ".join(str(len(cells)) for cells in sweep.axes.values())
        copies = f", each {most.copies} times" if most.copies > 1 else ""
        raise SourceError([Fault(f"it multiplies to {number} jobs ({factors}){copies}; {_at_most(most)}", None)], name)
    entries = len(sweep.exclude) + len(sweep.include)
    if number * entries > combinations.MOST_COMPARISONS:
        raise SourceError(f"include and exclude have {entries} entries for {number} combinations; write a table", name)


def _at_most(most: Most) -> str:
    return f"at most {most.jobs} are made, unless {most.label} allows more"


def _multiply(sweep: _Sweep, name: str) -> list[tuple[Cells, int | None]]:
    """Return the combinations with the constants in them, each with the line of the entry that made it, if one did."""
    exclude, include = ([entry for entry, _ in entries] for entries in (sweep.exclude, sweep.include))
    product = combinations.multiply(sweep.axes, exclude, include)
    for number in product.idle:
        sweep.notes.append(f"{name}, line {sweep.exclude[number][1]}: this entry of exclude matches nothing")
    if not sweep.axes and not include:
        return [(dict(sweep.constants), None)]
    if not product.combinations:
        raise SourceError("everything is excluded, so nothing is left to be made", name)
    return [
        ({**sweep.constants, **each}, None if number is None else sweep.include[number][1])
        for each, number in product.combinations
    ]


# ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _rows(sweep: _Sweep, found: Sequence[tuple[Cells, int | None]]) -> list[Row]:
    all_values = [_values(cells) for cells, _ in found]
    if sweep.jinja is not None:
        _fill_jinja(sweep, sweep.jinja, all_values, [line for _, line in found])
    templates = _Templates(sweep)
    rows = []
    for (cells, line), values in zip(found, all_values, strict=True):
        made: dict[str, Any] = {
            name: text
            for name in ("prompt", "key")
            if name in cells and name in values
            if (text := templates.fill(name, cells[name], values, line)) is not None
        }
        places = {each: cell.line for each, cell in cells.items()}
        rows.append(Row(line=line or sweep.line, values={**values, **made}, places=places))
    return rows


def _values(cells: Cells) -> dict[str, Any]:
    given = {name: cell.value for name, cell in cells.items() if cell.value is not None}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def _takeable(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is itself made by a template."""
    return {name: value for name, value in values.items() if name not in ("prompt", "key")}


@attrs.define
class _Templates:
    """The templates of prompts and keys, each read once; what is wrong with one is told where it stands."""

    sweep: _Sweep
    read: dict[tuple[str, int], Template | None] = attrs.field(factory=dict)

    def fill(self, name: str, cell: Cell, values: dict[str, Any], line: int | None) -> str | None:
        """Fill in a template; a fault is told at *line*, if there is one, since it is the combination that differs."""
        template = self._template(name, cell)
        if template is None:
            return None
        try:
            return template.fill(_takeable(values))
        except TemplateError as error:
            self.sweep.faults.append(Fault(f"{name}: {error}", line or cell.line))
            return None

    def _template(self, name: str, cell: Cell) -> Template | None:
        if not isinstance(cell.value, str):
            self.sweep.faults.append(Fault(f"{name}: a text is expected", cell.line))
            return None
        place = (cell.value, cell.line)
        if place not in self.read:
            self.read[place] = self._parsed(name, cell.value, cell.first)
        return self.read[place]

    def _parsed(self, name: str, text: str, first: int) -> Template | None:
        try:
            template = Template.parse(text)
        except TemplateError as error:
            self.sweep.faults.append(Fault(f"{name}: {error}", first + error.line - 1))
            return None
        self.sweep.used.update(template.names)
        return template


def _fill_jinja(sweep: _Sweep, cell: Cell, rows: list[dict[str, Any]], lines: list[int | None]) -> None:
    """Give each row the prompt that the template makes of it."""
    from cometflux.sources.jinja import fill_jinja

    try:
        filled = fill_jinja(str(cell.value), list(map(_takeable, rows)))
    except TemplateError as error:
        sweep.faults.append(Fault(f"jinja: {error}", cell.first + error.line - 1))
        return
    sweep.used.update(filled.names)
    for values, text, line in zip(rows, filled.texts, lines, strict=True):
        if isinstance(text, TemplateError):
            sweep.faults.append(Fault(f"jinja: {text}", line or cell.first + text.line - 1))
        elif not text.strip():
            sweep.faults.append(Fault("jinja: it makes an empty prompt", line or cell.line))
        else:
            values["prompt"] = text
