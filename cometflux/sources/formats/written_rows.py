"""Write jobs as rows of a prompt file, which the readers read back as the same jobs. No file is opened here."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from cometflux import flux
from cometflux.basics.plain_text import plain
from cometflux.errors import InputError
from cometflux.models.output_of import OutputOf, map_parts
from cometflux.protocol import encoding
from cometflux.sources import validation
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.formats.text_files import read_text
from cometflux.sources.rows import Format, Row
from cometflux.sources.validation import Model

_FIRST = ("key", "why", "model", "prompt")
"""The first columns of a table."""


class UnwritableError(Exception):
    """A job that no row of this format can hold. Its text is the reason."""


@attrs.frozen(kw_only=True)
class WrittenRow:
    """A job to be written."""

    key: str
    why: str
    """What became of it, for the reader of the file. No job takes it."""
    model: str
    input: Mapping[str, Any]


class RowWriter:
    """Writes rows, each of which is read back and compared before it is taken.

    Args:
        form: ``csv`` or ``jsonl``.
        folder: the folder of the file. Paths of images in it are written relative to it.
    """

    def __init__(self, form: Format, folder: Path) -> None:
        self._form = form
        self._folder = folder.absolute()
        self._rows: list[Mapping[str, Any]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: WrittenRow) -> None:
        """Add a row.

        Raises:
            UnwritableError: it would not be read back as the same job.
        """
        for name, value in row.input.items():
            if _holds_missing_bytes(value):
                raise UnwritableError(f"the image of {name} was given as bytes, which the journal does not keep")
        values = self._cells(row) if self._form is Format.CSV else self._object(row)
        self._check(row, self._text([values]))
        self._rows.append(values)

    def text(self) -> str:
        """Return the whole file."""
        return self._text(self._rows)

    def _text(self, rows: Sequence[Mapping[str, Any]]) -> str:
        if self._form is not Format.CSV:
            return "".join(f"{json.dumps(row, ensure_ascii=False, allow_nan=False)}\n" for row in rows)
        file = io.StringIO()
        columns = dict.fromkeys((*_FIRST, *(name for row in rows for name in row)))
        table = csv.DictWriter(file, [*columns], restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        return file.getvalue()

    def _object(self, row: WrittenRow) -> dict[str, Any]:
        given = map_parts(row.input, self._plain)
        return {"key": row.key, "why": row.why, "model": row.model, "input": given}

    def _cells(self, row: WrittenRow) -> dict[str, str]:
        cells = {name: self._cell(_model_of(row.model, name), name, value) for name, value in row.input.items()}
        return {**cells, "key": row.key, "why": plain(" ".join(row.why.split())), "model": row.model}

    def _cell(self, model: Model, name: str, value: Any) -> str:
        """Return the text of a cell that is read as *value*."""
        if isinstance(model, str) and model in flux.MODELS:
            raise UnwritableError(f"{model} has no parameter {name}")
        plain = map_parts(value, self._plain)
        texts = [plain] if isinstance(plain, str) else []
        for text in (*texts, json.dumps(plain, ensure_ascii=False, allow_nan=False)):
            if self._is_read_as(model, name, text, value, is_typed=False):
                return text
        raise UnwritableError(f"no cell of a table holds its {name}")

    def _plain(self, value: Any) -> Any:
        match value:
            case Path():
                is_inside = value.is_relative_to(self._folder)
                # Slashes, so that the table can be read on another system.
                return value.relative_to(self._folder).as_posix() if is_inside else str(value)
            case OutputOf(key=None):
                raise UnwritableError("it takes the image of a job that has no key")
            case OutputOf():
                return str(value)
            case _:
                return value

    def _is_read_as(self, model: Model, name: str, given: Any, value: Any, *, is_typed: bool) -> bool:
        if isinstance(given, str) and validation.find_no_value(name, given, is_prompt=name == "prompt"):
            return False
        try:
            read = validation.read_cell(model, name, given, self._folder, is_typed=is_typed)
        except InputError:
            return False
        return bool(_compared(name, read) == _compared(name, value))

    def _check(self, row: WrittenRow, text: str) -> None:
        """Read *text*, which has this row only, and compare."""
        data = text.encode("utf-8", "replace")
        try:
            entries = list(read_text(io.BytesIO(data), self._form, "").rows)
        except SourceError as error:
            raise UnwritableError(error.faults[0].text) from error
        match entries:
            case [Row(values=values) as read]:
                pass
            case [Fault() as fault, *_]:
                raise UnwritableError(fault.text)
            case _:
                raise UnwritableError("its values are not those of one row")
        given = {name: value for name, value in values.items() if name not in ("key", "why", "model")}
        if (values.get("key"), values.get("model")) != (row.key, row.model):
            raise UnwritableError("its key cannot be written")
        for name in {*given, *row.input}:
            is_there = name in given and name in row.input
            model = _model_of(row.model, name)
            if not is_there or not self._is_read_as(model, name, given[name], row.input[name], is_typed=read.is_typed):
                raise UnwritableError(f"its {name} would not be read as it is")


def _model_of(name: str, parameter: str) -> Model:
    """Return the model as the readers know it; its name if it, or the parameter, is not known."""
    model = flux.MODELS.get(name)
    return name if model is None or validation.find_parameter(model, parameter) is None else model


def _compared(name: str, value: Any) -> Any:
    return encoding.canonical({name: list(value) if isinstance(value, tuple) else value})


def _holds_missing_bytes(value: Any) -> bool:
    match value:
        case encoding.MissingBytes() | bytes():
            return True
        case list() | tuple():
            return any(map(_holds_missing_bytes, value))
        case Mapping():
            return any(map(_holds_missing_bytes, value.values()))
    return False
