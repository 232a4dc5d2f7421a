"""Read CSV and TSV tables strictly: every row has as many cells as the header, and every quote is closed.

Empty cells at the end of a row, which spreadsheets add, do not count. A CSV table may be separated by semicolons or
tabs, as spreadsheets of many countries write it. Between tabs a quote belongs to the text, unless all cells are quoted.
"""

import csv
import io
import re
from collections.abc import Iterator

from cometflux.models.spelling import is_blank
from cometflux.plain_text import by_number
from cometflux.sources.errors import Fault

_LARGEST_CELL = 2**31 - 1


def read_table(
    text: str, faults: list[Fault], delimiter: str, *, needs_prompt: bool = True
) -> tuple[tuple[str, ...], list[tuple[int, dict[str, str]]]]:
    """Read a table with a header.

    Returns the columns, and for each row its line and its cells that are not empty. Mistakes are added to *faults*.
    """
    text, delimiter = _find_delimiter(text, delimiter)
    records = _records(text, faults, delimiter)
    line, header = next(records, (1, []))
    columns = tuple(cell.strip() for cell in _without_empty_end(header, 0))
    if not faults:
        faults += _check_header(columns, line, delimiter, needs_prompt=needs_prompt)
    if faults:
        return columns, []
    rows = []
    for line, given in records:
        cells = _without_empty_end(given, len(columns))
        if len(cells) != len(columns):
            faults.append(Fault(_wrong_length(cells, columns, delimiter), line))
        elif values := {name: cell for name, cell in zip(columns, cells, strict=True) if not is_blank(cell)}:
            rows.append((line, values))
    return columns, rows


def _find_delimiter(text: str, delimiter: str) -> tuple[str, str]:
    """Return the text without a first line ``sep=;``, and the delimiter that this line or the header shows."""
    if found := re.match(r'"?sep=(.)"?(?=\r|\n)', text):
        # The line stays, but empty, so that the lines keep their numbers.
        return text[found.end() :], found[1]
    header = next((line for line in re.split(r"\r\n?|\n", text) if line.strip()), "")
    if delimiter == "," and "," not in header:
        delimiter = next((other for other in ";\t" if other in header), delimiter)
    return text, delimiter


def _without_empty_end(cells: list[str], least: int) -> list[str]:
    """Leave out the blank cells at the end, down to *least* cells."""
    number = len(cells)
    while number > least and is_blank(cells[number - 1]):
        number -= 1
    return cells[:number]


def _records(text: str, faults: list[Fault], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each record that is not blank. Stops at a broken record."""
    if delimiter == "\t" and not _QUOTED_HEADER.match(text):
        for line, record in enumerate(re.split(r"\r\n?|\n", text), 1):
            if record:
                yield line, record.split("\t")
        return
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


_QUOTED_HEADER = re.compile(r'\s*"[^"\t\r\n]*"(\t"[^"\t\r\n]*")*\t*[\r\n]')


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
    if len(columns) == 1 and delimiter == "\t" and (other := re.search("[,;]", columns[0])):
        word = "commas" if other[0] == "," else "semicolons"
        return f"{missing}; it seems to be separated by {word} (name it .csv)"
    close = next((name for name in columns if name.lower() in {"prompt", "prompts", "text"}), None)
    if close:
        return f"{missing}; rename {close!r}"
    found = ", ".join(map(repr, columns[:8]))
    return f"{missing}; the first row names the columns, and they are {found[:200]}"


def _wrong_length(cells: list[str], columns: tuple[str, ...], delimiter: str) -> str:
    word = by_number(len(cells), "cell", "cells")
    counts = f"the row has {len(cells)} {word} and the header {len(columns)}"
    if len(cells) < len(columns):
        return f"{counts}; leave a cell empty, but keep its separator"
    if delimiter == "\t":
        return f"{counts}; take tabs and line ends out of the cells, or put every cell and every name in quotes"
    return f"{counts}; put a cell that contains a {'comma' if delimiter == ',' else 'semicolon'} in quotes"
