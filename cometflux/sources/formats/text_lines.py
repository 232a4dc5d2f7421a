"""Decode a file line by line, so that a file of any length takes little memory. No file is opened here."""

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from cometflux.sources.errors import Fault, SourceError

# splitlines would split at U+2028, which a prompt or a JSON string may contain.
LINE_END = re.compile(r"\r\n|\r|\n")

LARGEST_FILE = 1024 * 1024 * 1024
"""Most bytes that are read of a prompt file."""
_PIECE = 2**18
"""How many bytes are read at once. More are read while a line is longer."""

# The longer marks first: the mark of UTF-32 begins with the mark of UTF-16.
_MARKS = {
    b"\xff\xfe\0\0": "UTF-32; save it as UTF-8",
    b"\0\0\xfe\xff": "UTF-32; save it as UTF-8",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"PK\x03\x04": "a spreadsheet or a ZIP archive; save the table as CSV, in UTF-8",
    b"\x1f\x8b": "compressed with gzip; unpack it first",
}


def read_whole(file: BinaryIO, name: str) -> bytes:
    """Read a file to its end, which a pipe or a device may not have.

    Raises:
        SourceError: it is too large.
        OSError: it cannot be read.
    """
    pieces, parts = _Pieces(file, name), list[bytes]()
    while not pieces.is_over:
        parts.append(pieces.read(_PIECE))
    return b"".join(parts)


class _Pieces:
    """Reads a file piece by piece, up to `LARGEST_FILE` bytes."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._size = 0
        self.is_over = False

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._size += len(data)
        if self._size > LARGEST_FILE:
            raise SourceError(f"it has more than {LARGEST_FILE} bytes, the most that is read", self._name)
        # Not a further read: at a terminal that would need a second Ctrl-D.
        self.is_over = len(data) < size
        return data


def read_lines(file: BinaryIO, name: str) -> Iterator[str]:
    """Yield the lines of a text file, each with its line end.

    Raises:
        SourceError: the file is not UTF-8 text, or has no visible text.
        OSError: the file cannot be read.
    """
    lines = _lines(file, name)
    head = take_head(lines)
    if not head or not head[-1].strip():
        raise SourceError("it is empty; give one prompt per row", name)
    yield from head
    yield from lines


def take_head(lines: Iterator[str]) -> list[str]:
    """Take the blank lines at the beginning, and the line after them."""
    head = []
    for line in lines:
        head.append(line)
        if line.strip():
            break
    return head


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    pieces, number, rest, is_first = _Pieces(file, name), 0, "", True
    while not pieces.is_over:
        # As much as is left over, so that a very long line is not copied for each piece.
        data = pieces.read(max(_PIECE, len(rest)))
        if is_first:
            _check_mark(data, name)
        text = rest + _decode(decoder, data, name, number, rest, is_last=pieces.is_over)
        if "\0" in text:
            line = _line_after(number, text[: text.index("\0")])
            raise SourceError([Fault("it contains a NUL byte; save it as UTF-8 text", line)], name)
        lines = io.StringIO(text, newline="").readlines()
        # The last line may go on: with text, or with the second character of its end.
        rest = lines.pop() if lines and not pieces.is_over else ""
        yield from lines
        number, is_first = number + len(lines), False


def _decode(
    decoder: codecs.IncrementalDecoder, data: bytes, name: str, number: int, rest: str, *, is_last: bool
) -> str:
    """Decode what follows *number* lines and the text *rest*."""
    try:
        return decoder.decode(data, final=is_last)
    except UnicodeDecodeError as error:
        # error.object, because utf-8-sig counts from after a BOM.
        before = error.object[: error.start].decode("latin-1")
        fault = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise SourceError([Fault(fault, _line_after(number, rest + before))], name) from error


def _line_after(number: int, text: str) -> int:
    return number + len(LINE_END.findall(text)) + 1


def _check_mark(data: bytes, name: str) -> None:
    for mark, advice in _MARKS.items():
        if data.startswith(mark):
            raise SourceError(f"it is {advice}", name)
