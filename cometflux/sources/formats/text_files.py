"""Read a text, CSV or JSON Lines file into rows with line numbers, line by line. No file is opened here.

Any bytes give rows and faults, or one `SourceError`.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from cometflux import flux
from cometflux.models.spelling import is_blank
from cometflux.protocol.decoding import kind_of
from cometflux.sources.errors import Fault
from cometflux.sources.formats.csv_tables import read_table
from cometflux.sources.formats.text_lines import LINE_END, read_lines, take_head
from cometflux.sources.rows import RESERVED, Entry, Format, Row, Source


def read_text(
    file: BinaryIO,
    written: Format,
    name: str,
    *,
    needs_prompt: bool = True,
    comments: bool = False,
    delimiter: str | None = None,
) -> Source:
    """Read a prompt file. Its rows are read when they are taken.

    A table must have a column ``prompt`` if *needs_prompt*. Its cells are separated by *delimiter*, or if that is None,
    as the format and the header say. With *comments*, the lines of a text file that begin with
    ``#`` are left out.

    Raises:
        SourceError: the file is not text, or has no usable header. Its rows raise it too.
    """
    lines = read_lines(file, name)
    match written:
        case Format.CSV | Format.TSV:
            usual = "," if written is Format.CSV else "\t"
            columns, rows = read_table(
                lines, name, delimiter or usual, needs_prompt=needs_prompt, is_given=delimiter is not None
            )
            return Source(name=name, rows=rows, columns=columns)
        case Format.JSONL:
            return Source(name=name, rows=_read_jsonl(lines))
    return Source(name=name, rows=_read_prompts(lines, comments=comments))


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_prompts(lines: Iterator[str], *, comments: bool) -> Iterator[Entry]:
    is_first = True
    for number, line in enumerate(map(str.strip, lines), 1):
        if is_blank(line) or (comments and line[0] == "#"):
            continue
        if is_first and _is_header(line):
            fault = "it is the header of a table; name the file .csv, or give its format, so that each column is read"
            yield Fault(fault, number)
        is_first = False
        yield Row(line=number, values={"prompt": line})


def _is_header(line: str) -> bool:
    names = {name.strip().strip('"') for name in _SEPARATOR.split(line)}
    known = {each.name for model in flux.MODELS.values() for each in flux.parameters(model)}
    return "prompt" in names and names <= {*RESERVED, *known}


_SEPARATOR = re.compile("[,;\t|]")


# ── JSON lines ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_jsonl(lines: Iterator[str]) -> Iterator[Entry]:
    head = take_head(lines)
    if head[-1].lstrip().startswith("["):
        # It is read whole, because only its end shows what it is.
        text = "".join([*head, *lines])
        if _is_json_list(text):
            yield Fault("it is one JSON list; write each object on its own line", 1)
            return
        head, lines = LINE_END.split(text), iter(())
    for number, line in enumerate(itertools.chain(head, lines), 1):
        if line.isspace() or not line:
            continue
        try:
            values = _read_object(line.rstrip("\r\n"))
            is_body = isinstance(values.get("input"), dict)
            yield Row(line=number, values=_flat(values) if is_body else values, is_typed=True, is_body=is_body)
        except ValueError as error:
            yield Fault(str(error), number)


def _is_json_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return text.strip() == "[" or text.lstrip().startswith(("[\n", "[\r", "[{"))


def _read_object(line: str) -> dict[str, Any]:
    try:
        value = _decode(line)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"it is not JSON ({error.msg} at character {error.pos + 1}); each line must be one object"
        ) from error
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f'expected an object, as in {{"prompt": "a fox"}}, not {kind_of(value)}')
    # Each level opens a bracket: few of them settle it.
    if line.count("{") + line.count("[") > _DEEPEST and _is_deep(value):
        raise ValueError("the JSON is nested too deeply")
    return {name: part for name, part in value.items() if not _is_empty(part)}


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a row that is written as a request body, ``{"input": {…}}``."""
    beside = {name: value for name, value in values.items() if name != "input"}
    for name in beside:
        if name not in ("model", "key", "why"):
            raise ValueError(f"{name!r} is next to 'input'; put it into 'input', with the other parameters")
    for name in ("model", "key"):
        if name in values["input"]:
            raise ValueError(f"{name!r} is in 'input'; put it next to 'input'")
    return beside | {name: value for name, value in values["input"].items() if not _is_empty(value)}


_DEEPEST = 32
"""How deep a row may be nested."""


def _is_deep(value: Any, most: int = _DEEPEST) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    # Most parts are texts and numbers.
    nested = [part for part in parts if type(part) in (dict, list)]
    return most < 0 or any(_is_deep(part, most - 1) for part in nested)


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


# Made once: json.loads would make a decoder for each line.
_decode = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_read_integer, object_pairs_hook=_read_pairs
).decode
