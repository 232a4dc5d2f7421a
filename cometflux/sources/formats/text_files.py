"""Read the bytes of a text, CSV or JSON Lines file into rows with line numbers. No file is opened here.

Any bytes give either a `Source` or one `SourceError` that lists all mistakes.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from cometflux import flux
from cometflux.models.spelling import is_blank
from cometflux.protocol.decoding import kind_of
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.formats.csv_tables import read_table
from cometflux.sources.rows import RESERVED, Format, Row, Source


def read_text(data: bytes, written: Format, name: str, *, needs_prompt: bool = True, comments: bool = False) -> Source:
    """Read the rows of a prompt file. A table must have a column ``prompt`` if *needs_prompt*.

    With *comments*, the lines of a text file that begin with ``#`` are left out.

    Raises:
        SourceError: the file is not in the format *written*, has mistakes, or contains no prompt.
    """
    text = decode(data, name)
    faults: list[Fault] = []
    columns, rows = _readers(needs_prompt, comments)[written](text, faults)
    if faults:
        raise SourceError(faults, name)
    if not rows:
        raise SourceError("it holds no prompt; give one per row", name)
    return Source(name=name, rows=tuple(rows), columns=columns)


def decode(data: bytes, name: str) -> str:
    """Decode the text of a file.

    Raises:
        SourceError: the file is not UTF-8 text, or is empty.
    """
    text = _decode(data, name)
    if not text.strip():
        raise SourceError("it is empty; give one prompt per row", name)
    if "\0" in text:
        line = len(_LINE_END.findall(text[: text.index("\0")])) + 1
        raise SourceError([Fault("it contains a NUL byte; save it as UTF-8 text", line)], name)
    return text


def _decode(data: bytes, name: str) -> str:
    for mark, advice in _MARKS.items():
        if data.startswith(mark):
            raise SourceError(f"it is {advice}", name)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # error.object, because utf-8-sig counts from after a BOM.
        line = len(_LINE_END.findall(error.object[: error.start].decode("latin-1"))) + 1
        fault = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise SourceError([Fault(fault, line)], name) from error


# The longer marks first: the mark of UTF-32 begins with the mark of UTF-16.
_MARKS = {
    b"\xff\xfe\0\0": "UTF-32; save it as UTF-8",
    b"\0\0\xfe\xff": "UTF-32; save it as UTF-8",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"PK\x03\x04": "a spreadsheet or a ZIP archive; save the table as CSV, in UTF-8",
    b"\x1f\x8b": "compressed with gzip; unpack it first",
}

# splitlines would split at U+2028, which a prompt or a JSON string may contain.
_LINE_END = re.compile(r"\r\n|\r|\n")

_Read = tuple[tuple[str, ...], list[Row]]


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_text(text: str, faults: list[Fault], *, comments: bool) -> _Read:
    rows = [
        Row(line=number, values={"prompt": line})
        for number, line in enumerate(map(str.strip, _LINE_END.split(text)), 1)
        if not is_blank(line) and not (comments and line[0] == "#")
    ]
    if rows and _is_header(rows[0].values["prompt"]):
        fault = "it is the header of a table; name the file .csv, or give its format, so that each column is read"
        faults.append(Fault(fault, rows[0].line))
    return (), rows


def _is_header(line: str) -> bool:
    names = {name.strip().strip('"') for name in _SEPARATOR.split(line)}
    known = {each.name for model in flux.MODELS.values() for each in flux.parameters(model)}
    return "prompt" in names and names <= {*RESERVED, *known}


_SEPARATOR = re.compile("[,;\t|]")


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_table(text: str, faults: list[Fault], delimiter: str, *, needs_prompt: bool) -> _Read:
    columns, lines = read_table(text, faults, delimiter, needs_prompt=needs_prompt)
    return columns, [Row(line=line, values=values) for line, values in lines]


# ── JSON lines ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_jsonl(text: str, faults: list[Fault]) -> _Read:
    if _is_json_list(text):
        faults.append(Fault("it is one JSON list; write each object on its own line", 1))
        return (), []
    rows = []
    for number, line in enumerate(_LINE_END.split(text), 1):
        if not line.strip():
            continue
        try:
            values = _read_object(line)
            is_body = isinstance(values.get("input"), dict)
            rows.append(Row(line=number, values=_flat(values) if is_body else values, is_typed=True, is_body=is_body))
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
            f"it is not JSON ({error.msg} at character {error.pos + 1}); each line must be one object"
        ) from error
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f'expected an object, as in {{"prompt": "a fox"}}, not {kind_of(value)}')
    if _is_deep(value):
        raise ValueError("the JSON is nested too deeply")
    return {name: part for name, part in value.items() if not _is_empty(part)}


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a row that is written as a request body, ``{"input": {…}}``."""
    beside = {name: value for name, value in values.items() if name != "input"}
    for name in beside:
        if name not in ("model", "key"):
            raise ValueError(f"{name!r} stands beside 'input'; put it into 'input', where the parameters are")
    for name in ("model", "key"):
        if name in values["input"]:
            raise ValueError(f"{name!r} stands in 'input'; put it beside 'input'")
    return beside | {name: value for name, value in values["input"].items() if not _is_empty(value)}


def _is_deep(value: Any, most: int = 32) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return most < 0 or any(_is_deep(part, most - 1) for part in parts)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and is_blank(value))


def _read_integer(word: str) -> int:
    if len(word) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(word)} digits, and no parameter takes more than {_MOST_DIGITS}")
    return int(word)


_MOST_DIGITS = 1000


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON; leave the value out")


def _read_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} appears twice in one object")
    return values


def _readers(needs_prompt: bool, comments: bool) -> Mapping[Format, Callable[[str, list[Fault]], _Read]]:
    return {
        Format.CSV: functools.partial(_read_table, delimiter=",", needs_prompt=needs_prompt),
        Format.TSV: functools.partial(_read_table, delimiter="\t", needs_prompt=needs_prompt),
        Format.JSONL: _read_jsonl,
        Format.TEXT: functools.partial(_read_text, comments=comments),
    }
