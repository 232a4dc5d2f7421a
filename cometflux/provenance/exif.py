"""EXIF blocks: add a user comment to a block, and read it again. piexif puts the block into the file.

Data is only appended to a block, so that offsets in it, such as those in a camera's own notes, stay valid. piexif would
parse the block and write only the parts that it knows.
"""

import importlib.util
import io
import struct
from collections.abc import Mapping
from typing import Any

import attrs

HEAD = b"Exif\0\0"
"""The bytes before a block in a JPEG."""
_EXIF_PART, _USER_COMMENT = 0x8769, 0x9286
_LONG, _UNDEFINED = 4, 7
_ASCII, _UNICODE = b"ASCII\0\0\0", b"UNICODE\0"


class UnsuitableError(ValueError):
    """An image cannot hold a record, or embedding one would damage it. The text says why."""


def is_available() -> bool:
    """Whether piexif is installed."""
    return importlib.util.find_spec("piexif") is not None


def make(text: str) -> bytes:
    """Make a block that holds only *text*, as the user comment."""
    # Not with piexif: it writes the data after a directory four bytes too early, over the offset of the next directory.
    return add(b"MM\0*\0\0\0\x08\0\0\0\0\0\0", text)


def insert(block: bytes, image: bytes) -> bytes:
    """Put a block into a JPEG or WebP. Needs piexif."""
    import piexif

    file = io.BytesIO()
    piexif.insert(HEAD + block, image, file)
    return file.getvalue()


def add(block: bytes, text: str) -> bytes:
    """Add *text* to a block as the user comment. Everything in the block keeps its offset.

    Raises:
        UnsuitableError: the block already has a user comment, or is damaged.
    """
    main = _Part.read(block, _first_place(block))
    exif = _find_exif(block, main)
    if exif is not None and _USER_COMMENT in exif.entries:
        raise UnsuitableError("its EXIF block has a comment already")
    order = _order(block)
    grown = bytearray(block)
    comment = _comment(text, order)
    place = _append(grown, comment)
    exif = (exif or _Part()).having(_USER_COMMENT, struct.pack(f"{order}HII", _UNDEFINED, len(comment), place))
    place = _append(grown, exif.written(order))
    main = main.having(_EXIF_PART, struct.pack(f"{order}HII", _LONG, 1, place))
    grown[4:8] = struct.pack(f"{order}I", _append(grown, main.written(order)))
    return bytes(grown)


def find_comment(block: bytes) -> str | None:
    """Read the user comment of a block; None if there is no readable comment."""
    try:
        exif = _find_exif(block, _Part.read(block, _first_place(block)))
        if exif is None or _USER_COMMENT not in exif.entries:
            return None
        order = _order(block)
        _, size, place = struct.unpack(f"{order}HII", exif.entries[_USER_COMMENT])
        head, body = block[place : place + 8], block[place + 8 : place + size]
        if head == _UNICODE:
            return body.decode("utf-16-be" if order == ">" else "utf-16-le")
        return body.decode("ascii") if head == _ASCII else None
    except ValueError:
        return None


def _comment(text: str, order: str) -> bytes:
    if text.isascii():
        return _ASCII + text.encode()
    return _UNICODE + text.encode("utf-16-be" if order == ">" else "utf-16-le")


# ── the parts of a block ─────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen(kw_only=True)
class _Part:
    """One directory of a block."""

    entries: Mapping[int, bytes] = attrs.field(factory=dict)
    """By tag: the raw bytes of type, count, and the value or its offset."""
    next: bytes = b"\0\0\0\0"
    """The offset of the next directory, as raw bytes."""

    @classmethod
    def read(cls, block: bytes, place: int) -> "_Part":
        order = _order(block)
        (count,) = _unpack(f"{order}H", block, place)
        entries: dict[int, bytes] = {}
        for number in range(count):
            start = place + 2 + 12 * number
            (tag,) = _unpack(f"{order}H", block, start)
            if tag in entries:
                raise UnsuitableError("its EXIF block is damaged")
            entries[tag] = block[start + 2 : start + 12]
        end = place + 2 + 12 * count
        _unpack("4s", block, end)
        return cls(entries=entries, next=block[end : end + 4])

    def having(self, tag: int, value: bytes) -> "_Part":
        return _Part(entries={**self.entries, tag: value}, next=self.next)

    def written(self, order: str) -> bytes:
        lines = [struct.pack(f"{order}H", tag) + value for tag, value in sorted(self.entries.items())]
        return struct.pack(f"{order}H", len(lines)) + b"".join(lines) + self.next


def _order(block: bytes) -> str:
    match block[:4]:
        case b"MM\0*":
            return ">"
        case b"II*\0":
            return "<"
        case _:
            raise UnsuitableError("its EXIF block is damaged")


def _first_place(block: bytes) -> int:
    (place,) = _unpack(f"{_order(block)}I", block, 4)
    return int(place)


def _find_exif(block: bytes, main: _Part) -> _Part | None:
    entry = main.entries.get(_EXIF_PART)
    if entry is None:
        return None
    _, _, place = struct.unpack(f"{_order(block)}HII", entry)
    return _Part.read(block, place)


def _append(grown: bytearray, data: bytes) -> int:
    """Append *data* at an even offset, and return the offset."""
    grown.extend(b"\0" * (len(grown) % 2))
    place = len(grown)
    grown.extend(data)
    return place


def _unpack(shape: str, block: bytes, place: int) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(shape, block, place)
    except struct.error:
        raise UnsuitableError("its EXIF block is damaged") from None
