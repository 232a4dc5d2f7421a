"""Read CSV and TSV tables strictly: every row has as many cells as the header, and every quote is closed.

Empty cells at the end of a row, which spreadsheets add, do not count. A CSV table may be separated by semicolons or
tabs, as spreadsheets of many countries write it. Between tabs a quote belongs to the text, unless all cells are quoted.
"""

import csv
import re
from collections.abc import Iterator
from itertools import chain

from cometflux.basics.plain_text import by_number
from cometflux.models.spelling import is_blank
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.formats.text_lines import take_head
from cometflux.sources.rows import Entry, Row

_LARGEST_CELL = 2**31 - 1


def read_delimiter(text: str) -> str:
    """Return a delimiter: one character that is not part of words; ``tab`` means a tab.

    Raises:
        ValueError: it cannot separate cells.
    """
    mark = "\t" if text in ("tab", "\\t") else text
    if len(mark) != 1 or mark.isalnum() or mark in '"\r\n\0':
        raise ValueError(f"{text!r} was given; must be one character, such as ; or tab")
    return mark


def read_table(
    lines: Iterator[str], name: str, delimiter: str, *, needs_prompt: bool = True, is_given: bool = False
) -> tuple[tuple[str, ...], Iterator[Entry]]:
    """Read the header of a table; return its columns, and its rows, which are read when they are taken.

    Unless the *delimiter* is given by the user, the header may show another one.

    Raises:
        SourceError: the header is not usable.
    """
    head = take_head(lines)
    if not is_given:
        delimiter = _find_delimiter(head, delimiter)
    records = _records(head, lines, delimiter)
    line, header = next(records, (1, []))
    if isinstance(header, Fault):
        raise SourceError([header], name)
    columns = tuple(cell.strip() for cell in _without_empty_end(header, 0))
    if faults := [*_check_header(columns, line, delimiter, needs_prompt=needs_prompt)]:
        raise SourceError(faults, name)
    return columns, _rows(records, columns, delimiter)


def _rows(records: "Iterator[_Record]", columns: tuple[str, ...], delimiter: str) -> Iterator[Entry]:
    width = len(columns)
    for line, cells in records:
        if isinstance(cells, Fault):
            yield cells
            return
        if len(cells) > width:
            cells = _without_empty_end(cells, width)
        if len(cells) != width:
            yield Fault(_wrong_length(cells, columns, delimiter), line)
            continue
        if values := {name: cell for name, cell in zip(columns, cells, strict=True) if not is_blank(cell)}:
            yield Row(line=line, values=values)


_Record = tuple[int, list[str] | Fault]


def _find_delimiter(head: list[str], delimiter: str) -> str:
    """Return the delimiter that the first line ``sep=;`` or the header shows; empty that line in *head*."""
    if found := re.match(r'"?sep=(.)"?(?=\r|\n)', head[0]):
        # The line stays, but empty, so that the lines keep their numbers.
        head[0] = head[0][found.end() :]
        return found[1]
    if delimiter == "," and "," not in head[-1]:
        return next((other for other in ";\t" if other in head[-1]), delimiter)
    return delimiter


def _without_empty_end(cells: list[str], least: int) -> list[str]:
    """Leave out the blank cells at the end, down to *least* cells."""
    number = len(cells)
    while number > least and is_blank(cells[number - 1]):
        number -= 1
    return cells[:number]


def _records(head: list[str], lines: Iterator[str], delimiter: str) -> Iterator[_Record]:
    """Yield the first line and the cells of each record that is not blank. A broken record is a fault, and the last."""
    lines = chain(head, lines)
    if delimiter == "\t" and not _QUOTED_HEADER.match("".join(head)):
        for number, text in enumerate(lines, 1):
            if cells := text.rstrip("\r\n"):
                yield number, cells.split("\t")
        return
    # A cell may contain a reference image as a data URI.
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            yield line, Fault(_broken_record(str(error)), line)
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
    for mark in ";\t|,":
        if mark != delimiter and any(cell.strip(' "') == "prompt" for cell in delimiter.join(columns).split(mark)):
            shown, word = ("tab", "tabs") if mark == "\t" else (f"'{mark}'", f"{mark!r}")
            return f"{missing}; it seems to be separated by {word}: set the delimiter, as in --delimiter {shown}"
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
