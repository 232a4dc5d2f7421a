"""Read a sweep, a YAML file with a matrix of values in the syntax of CI files, into rows.

Prompts and keys are templates. The number of jobs is checked before any combination is made.
"""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import attrs

from cometflux.basics.plain_text import by_number, count_of
from cometflux.models.kinds import guess, prompt_text
from cometflux.models.output_of import map_parts
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.formats import yaml_documents
from cometflux.sources.formats.text_lines import read_lines
from cometflux.sources.formats.yaml_documents import read_document
from cometflux.sources.rows import FROM_TAG, Most, Row, Source
from cometflux.sources.sweeps import matrix
from cometflux.sources.sweeps.image_files import Images, find_images
from cometflux.sources.sweeps.syntax import Cell, Cells, PromptObject, Sweep, read_words
from cometflux.sources.templates.braces import Template, TemplateError


def read_sweep(
    data: bytes,
    name: str,
    most: Most,
    *,
    folder: Path = Path(),
    needs_prompt: bool = True,
    has_wildcards: bool = False,
) -> Source:
    """Read a sweep and make a row for each combination. If it *has_wildcards*, they stay in the prompts.

    Its images are relative to *folder*.

    Raises:
        SourceError: the sweep has mistakes, or makes too many jobs.
        ConfigError: the extra ``batch`` is missing.
    """
    if len(data) > yaml_documents.LARGEST:
        raise SourceError(f"it has {len(data)} bytes, and a sweep has at most 1 MiB; a table may be larger", name)
    sweep = read_words(read_document("".join(read_lines(io.BytesIO(data), name)), name))
    images = find_images(sweep.images, folder, sweep.faults)
    _check(sweep, name)
    if images:
        sweep.axes = {IMAGES: tuple(Cell(each, sweep.images[0].line) for each in images), **sweep.axes}
    sweep.notes += [f"{name}, line {line}: the prompt ends before the #; {_IN_QUOTES}" for line in sweep.commented]
    _check_size(sweep, name, most)
    found = _multiply(sweep, name)
    if len(found) * most.copies > most.jobs:
        raise SourceError(f"it makes {len(found) * most.copies} jobs; {_at_most(most)}", name)
    if needs_prompt and not any("prompt" in cells for cells, _ in found):
        raise SourceError("it has no prompt; add one, as in prompt: a fox", name)
    rows = _rows(sweep, found, images, has_wildcards=has_wildcards)
    _check(sweep, name)
    _check_held(rows, name, most)
    places = {each: cell.line for cells, _ in reversed(found) for each, cell in cells.items()}
    return Source(
        name=name,
        rows=tuple(rows),
        columns=tuple(each for each in places if not (images and each == IMAGES)),
        places=places,
        used=frozenset(sweep.used),
        pictures=IMAGES,
        notes=tuple(sweep.notes),
    )


IMAGES = "images"
"""The keyword of the images, and the name of their axis."""
_MOST_HELD = 256 * 2**20
_IN_QUOTES = "put it in quotes if the # belongs to it"


def _check(sweep: Sweep, name: str) -> None:
    if sweep.faults:
        raise SourceError(dict.fromkeys(sorted(sweep.faults, key=lambda fault: fault.line or 0)), name)


# ── the combinations ─────────────────────────────────────────────────────────────────────────────────────────────────


def _check_size(sweep: Sweep, name: str, most: Most) -> None:
    number = matrix.count(sweep.axes, sweep.beside)
    if number * most.copies > most.jobs:
        rows = [len(cells) for cells in sweep.beside.values()][:1]
        factors = " x ".join(map(str, [*rows, *map(len, sweep.axes.values())]))
        copies = f", each {most.copies} times" if most.copies > 1 else ""
        raise SourceError(
            [Fault(f"it makes {count_of(number, 'job')} ({factors}){copies}; {_at_most(most)}", None)], name
        )
    entries = len(sweep.exclude) + len(sweep.include)
    if number * entries > matrix.MOST_COMPARISONS:
        raise SourceError(
            f"include and exclude have {entries} entries for {count_of(number, 'combination')}; write a table", name
        )


def _at_most(most: Most) -> str:
    return f"at most {most.jobs} {by_number(most.jobs, 'is', 'are')} allowed; raise {most.label} for more"


def _multiply(sweep: Sweep, name: str) -> list[tuple[Cells, int | None]]:
    """Return the combinations with the constants, each with the line of the *include* entry that made it, or None."""
    exclude, include = ([entry for entry, _ in entries] for entries in (sweep.exclude, sweep.include))
    product = matrix.multiply(sweep.axes, exclude, include, sweep.beside)
    for number in product.idle:
        sweep.notes.append(f"{name}, line {sweep.exclude[number][1]}: this entry of exclude matches nothing")
    if not sweep.lists and not include:
        return [(dict(sweep.constants), None)]
    if not product.combinations:
        raise SourceError("exclude removes every combination, so no job is left", name)
    return [
        ({**sweep.constants, **each}, None if number is None else sweep.include[number][1])
        for each, number in product.combinations
    ]


# ── the rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _rows(sweep: Sweep, found: Sequence[tuple[Cells, int | None]], images: Images, *, has_wildcards: bool) -> list[Row]:
    templates = _Templates(sweep, has_wildcards=has_wildcards)
    rows = []
    for cells, line in found:
        values = _values(cells)
        image = str(values.pop(IMAGES)) if images and IMAGES in values else None
        if image is not None and image not in images:
            fault = f"include: images: {image!r} is not one of the images"
            sweep.faults.append(Fault(fault, line or cells[IMAGES].line))
            continue
        stem = {} if image is None else {"image": str(PurePosixPath(image).with_suffix(""))}
        made: dict[str, Any] = {
            name: text
            for name in ("prompt", "key")
            if name in cells and name in values
            if (text := templates.fill(name, cells[name], {**stem, **values}, line)) is not None
        }
        places = {each: cell.line for each, cell in cells.items()}
        row = Row(line=line or sweep.line, values={**values, **made}, places=places)
        rows.append(row if image is None else attrs.evolve(row, tags={FROM_TAG: image}, picture=images[image]))
    return rows


def _check_held(rows: Sequence[Row], name: str, most: Most) -> None:
    """Raise if the images of zips, which the journal keeps for each job, are too many bytes.

    Raises:
        SourceError: they are.
    """
    size = sum(len(row.picture) for row in rows if isinstance(row.picture, str)) * most.copies
    if size > _MOST_HELD:
        held = f"the journal would keep {size >> 20} MiB of zipped images, and keeps {_MOST_HELD >> 20} MiB"
        raise SourceError(f"{held}; unpack the zip, and give its folder", name)


def _values(cells: Cells) -> dict[str, Any]:
    given = {name: cell.value for name, cell in cells.items() if cell.value is not None}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def _template_values(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out the prompt and the key, which are themselves made by templates."""
    return {name: value for name, value in values.items() if name not in ("prompt", "key")}


@attrs.define
class _Templates:
    """The templates of prompts and keys. Each is parsed once, so its mistakes are reported once, on their own line."""

    sweep: Sweep
    has_wildcards: bool
    read: dict[tuple[str, int], Template | None] = attrs.field(factory=dict)

    def fill(self, name: str, cell: Cell, values: dict[str, Any], line: int | None) -> str | None:
        """Fill in a template. A fault is reported at *line*, if given, because that entry made the combination."""
        try:
            if isinstance(cell.value, PromptObject):
                known = _template_values(values)
                return str(prompt_text(map_parts(guess(cell.value.text), partial(self._filled, known))))
            template = self._template(name, cell)
            return None if template is None else template.fill(_template_values(values))
        except TemplateError as error:
            self.sweep.faults.append(Fault(f"{name}: {error}", line or cell.line))
            return None

    def _filled(self, known: dict[str, Any], part: Any) -> Any:
        """Fill in a text of an object.

        Raises:
            TemplateError: it is not a template, or cannot be filled.
        """
        if not isinstance(part, str):
            return part
        template = Template.parse(part, has_wildcards=self.has_wildcards)
        self.sweep.used.update(template.names)
        return template.fill(known)

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
            template = Template.parse(text, has_wildcards=self.has_wildcards and name == "prompt")
        except TemplateError as error:
            self.sweep.faults.append(Fault(f"{name}: {error}", first + error.line - 1))
            return None
        self.sweep.used.update(template.names)
        return template
