"""Read CSV and TSV tables strictly: every row has as many cells as the header, and every quote is closed."""

import csv
import io
from collections.abc import Iterator

from cometflux.sources.errors import Fault

_LARGEST_CELL = 2**31 - 1


def read_table(
    text: str, faults: list[Fault], delimiter: str, *, needs_prompt: bool = True
) -> tuple[tuple[str, ...], list[tuple[int, dict[str, str]]]]:
    """Read a table with a header.

    Returns the columns, and for each row its line and its cells that are not empty. Mistakes are added to *faults*.
    """
    records = _records(text, faults, delimiter)
    line, header = next(records, (1, []))
    columns = tuple(cell.strip() for cell in header)
    if not faults:
        faults += _check_header(columns, line, delimiter, needs_prompt=needs_prompt)
    if faults:
        return columns, []
    rows = []
    for line, cells in records:
        if len(cells) != len(columns):
            faults.append(Fault(_wrong_length(cells, columns, delimiter), line))
        elif values := {name: cell for name, cell in zip(columns, cells, strict=True) if cell.strip()}:
            rows.append((line, values))
    return columns, rows


def _records(text: str, faults: list[Fault], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each record that is not blank. Stops at a broken record."""
    # A cell may contain a reference image as a data URI.
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            faults.append(Fault(_broken_record(str(error)), line))
            return
        if record is None:
            return
        if record:
            yield line, record


def _broken_record(reason: str) -> str:
    if "unexpected end of data" in reason:
        return "a quote is never closed"
    if "expected after" in reason:
        return 'text follows a closing quote; write a quote inside a quoted cell twice, ""'
    return f"the row cannot be read ({reason})"


def _check_header(columns: tuple[str, ...], line: int, delimiter: str, *, needs_prompt: bool) -> Iterator[Fault]:
    if needs_prompt and "prompt" not in columns:
        yield Fault(_no_prompt(columns, delimiter), line)
        return
    for number, name in enumerate(columns, 1):
        if not name:
            yield Fault(f"column {number} has no name", line)
        elif columns.index(name) + 1 < number:
            yield Fault(f"column {name!r} appears twice, as number {columns.index(name) + 1} and {number}", line)


def _no_prompt(columns: tuple[str, ...], delimiter: str) -> str:
    missing = "no column is named 'prompt'"
    if len(columns) == 1:
        for other, word in {";": "semicolons", "\t": "tabs (name it .tsv)", ",": "commas (name it .csv)"}.items():
            if other != delimiter and other in columns[0]:
                return f"{missing}; it seems to be separated by {word}"
    close = next((name for name in columns if name.lower() in {"prompt", "prompts", "text"}), None)
    if close:
        return f"{missing}; rename {close!r}"
    found = ", ".join(map(repr, columns[:8]))
    return f"{missing}; the first row names the columns, and they are {found[:200]}"


def _wrong_length(cells: list[str], columns: tuple[str, ...], delimiter: str) -> str:
    word = "cell" if len(cells) == 1 else "cells"
    counts = f"the row has {len(cells)} {word} and the header {len(columns)}"
    if len(cells) < len(columns):
        return f"{counts}; leave a cell empty, but keep its separator"
    return f"{counts}; put a cell that contains a {'comma' if delimiter == ',' else 'tab'} in quotes"
