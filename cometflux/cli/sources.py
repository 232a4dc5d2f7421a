"""Prompt files: bytes become rows, strictly, with line numbers. No file is opened here.

Whatever the bytes, the answer is a `Source` or one `SourceError` that lists what is wrong.
"""

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import attrs

from cometflux.cli.faults import Fault, SourceError
from cometflux.cli.tables import read_table


class Format(StrEnum):
    """How rows are written."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    TEXT = "text"


SUFFIXES: Mapping[str, Format] = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".txt": Format.TEXT,
}
"""The format that the end of a file's name stands for."""


@attrs.frozen(kw_only=True)
class Row:
    """One row: a prompt and what goes with it."""

    line: int | None = None
    """Where the row begins, from 1; None where it stands in no file."""
    values: Mapping[str, Any]
    """What is given, by column: text, or JSON values where *is_typed*. What is empty is left out."""
    is_typed: bool = False


@attrs.frozen(kw_only=True)
class Source:
    """What a prompt file holds."""

    name: str = ""
    """What messages call it; empty for prompts that stand in no file."""
    rows: tuple[Row, ...]
    columns: tuple[str, ...] = ()
    """The names in the header, in order; empty for formats without one."""


def read_source(data: bytes, format: Format, name: str) -> Source:  # noqa: A002 - what the option is called
    """Read the rows of a prompt file.

    Raises:
        SourceError: it is not what *format* says, or holds no prompt.
    """
    text = _decode(data, name)
    if not text.strip():
        raise SourceError("it is empty; give one prompt per row", name)
    if "\0" in text:
        line = len(_LINE_END.findall(text[: text.index("\0")])) + 1
        raise SourceError([Fault("it holds a NUL byte, which no text has; save it as UTF-8 text", line)], name)
    faults: list[Fault] = []
    columns, rows = _READERS[format](text, faults)
    if faults:
        raise SourceError(faults, name)
    if not rows:
        raise SourceError("it holds no prompt; give one per row", name)
    return Source(name=name, rows=tuple(rows), columns=columns)


def _decode(data: bytes, name: str) -> str:
    for mark, what in _MARKS.items():
        if data.startswith(mark):
            raise SourceError(f"it is {what}", name)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # error.object, because utf-8-sig counts from behind a BOM.
        line = len(_LINE_END.findall(error.object[: error.start].decode("latin-1"))) + 1
        fault = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise SourceError([Fault(fault, line)], name) from error


# The longer first: the mark of UTF-16 begins that of UTF-32.
_MARKS = {
    b"\xff\xfe\0\0": "UTF-32; save it as UTF-8",
    b"\0\0\xfe\xff": "UTF-32; save it as UTF-8",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"PK\x03\x04": "a spreadsheet or a ZIP archive; save the table as CSV, in UTF-8",
    b"\x1f\x8b": "compressed with gzip; unpack it first",
}

# Not what splitlines takes: U+2028 may stand raw within a prompt or a JSON string.
_LINE_END = re.compile(r"\r\n|\r|\n")

_Read = tuple[tuple[str, ...], list[Row]]


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_text(text: str, faults: list[Fault]) -> _Read:
    lines = enumerate(map(str.strip, _LINE_END.split(text)), 1)
    return (), [Row(line=number, values={"prompt": line}) for number, line in lines if line and line[0] != "#"]


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_csv(text: str, faults: list[Fault]) -> _Read:
    return _read_table(text, faults, ",")


def _read_tsv(text: str, faults: list[Fault]) -> _Read:
    return _read_table(text, faults, "\t")


def _read_table(text: str, faults: list[Fault], delimiter: str) -> _Read:
    columns, lines = read_table(text, faults, delimiter)
    return columns, [Row(line=line, values=values) for line, values in lines]


# ── JSON lines ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_jsonl(text: str, faults: list[Fault]) -> _Read:
    if _is_json_list(text):
        faults.append(Fault("it is one JSON list; write each of its objects on a line of its own", 1))
        return (), []
    rows = []
    for number, line in enumerate(_LINE_END.split(text), 1):
        if not line.strip():
            continue
        try:
            rows.append(Row(line=number, values=_read_object(line), is_typed=True))
        except ValueError as error:
            faults.append(Fault(str(error), number))
    return (), rows


def _is_json_list(text: str) -> bool:
    if not text.lstrip().startswith("["):
        return False
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return text.strip() == "[" or text.lstrip().startswith(("[\n", "[\r", "[{"))


def _read_object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(
            line, parse_constant=_refuse_constant, parse_int=_read_integer, object_pairs_hook=_read_pairs
        )
    except json.JSONDecodeError as error:
        raise ValueError(
            f"it is not JSON ({error.msg} at character {error.pos + 1}); each line is one object"
        ) from error
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f'{_JSON_NAMES[type(value)]} stands where an object is expected, as in {{"prompt": "a fox"}}')
    if _is_deep(value):
        raise ValueError("the JSON is nested too deeply")
    return {name: part for name, part in value.items() if not _is_empty(part)}


def _is_deep(value: Any, most: int = 32) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return most < 0 or any(_is_deep(part, most - 1) for part in parts)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


_JSON_NAMES = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _read_integer(word: str) -> int:
    if len(word) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(word)} digits, and no parameter takes one of more than {_MOST_DIGITS}")
    return int(word)


_MOST_DIGITS = 1000


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON; leave the value out")


def _read_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return values


_READERS: Mapping[Format, Callable[[str, list[Fault]], _Read]] = {
    Format.CSV: _read_csv,
    Format.TSV: _read_tsv,
    Format.JSONL: _read_jsonl,
    Format.TEXT: _read_text,
}
