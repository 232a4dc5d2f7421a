"""Records in the form of version 0.1, which are only read: a text chunk of a PNG, or the user comment of EXIF."""

import struct
from typing import Any

_TEXT_CHUNK = b"iTXtcometflux\0\0\0\0\0"
_EXIF_HEAD = b"Exif\0\0"
_EXIF_PART, _USER_COMMENT = 0x8769, 0x9286
_ASCII, _UNICODE = b"ASCII\0\0\0", b"UNICODE\0"


def find_record(part: bytes) -> str | None:
    """Find the JSON in a part of an image; None if there is none that can be read.

    In EXIF the record is its field ``cometflux``, because other programs leave comments there, too.
    """
    if part.startswith(_TEXT_CHUNK, 4):
        return part[4 + len(_TEXT_CHUNK) : -4].decode("utf-8", "replace")
    # In a JPEG the block follows the head of its segment, in a WebP that of its chunk.
    start = 4 if part.startswith(_EXIF_HEAD, 4) else 8
    try:
        return _find_comment(part[start:].removeprefix(_EXIF_HEAD))
    except (struct.error, ValueError):
        return None


def _find_comment(block: bytes) -> str | None:
    """Read the user comment of an EXIF block.

    Raises:
        struct.error: it is damaged.
        ValueError: it cannot be decoded.
    """
    order = {b"MM\0*": ">", b"II*\0": "<"}.get(block[:4])
    if order is None:
        return None
    (place,) = struct.unpack_from(f"{order}I", block, 4)
    if (entry := _find_entry(block, place, _EXIF_PART, order)) is None:
        return None
    if (entry := _find_entry(block, entry[1], _USER_COMMENT, order)) is None:
        return None
    size, place = entry
    head, body = block[place : place + 8], block[place + 8 : place + size]
    if head == _UNICODE:
        return body.decode("utf-16-be" if order == ">" else "utf-16-le")
    return body.decode("ascii") if head == _ASCII else None


def _find_entry(block: bytes, place: int, tag: int, order: str) -> tuple[Any, Any] | None:
    """Return the count and the value, or its offset, of an entry of the directory at *place*."""
    (count,) = struct.unpack_from(f"{order}H", block, place)
    for number in range(count):
        found, _, size, value = struct.unpack_from(f"{order}HHII", block, place + 2 + 12 * number)
        if found == tag:
            return size, value
    return None
