"""The EXIF orientation of an image: how a viewer turns or flips the pixels that are stored."""

import re
from typing import Literal

from cometflux.basics.plain_text import by_number
from cometflux.images.formats import media_type
from cometflux.models.words import listed

UPRIGHT = 1
"""The pixels are shown as they are stored."""
_TAG, _SHORT = 0x0112, 3
_MOST_PARTS = 4096
"""A file with more parts, or a directory with more entries, is not read further."""
_HEAD = b"Exif\0\0"
_MARKER = re.compile(rb"\xff+([\xc0-\xfe])")


def turned_note(names: list[str]) -> str:
    """Return a warning about images that are not upright."""
    shown = names if len(names) <= 3 else [*names[:3], f"{len(names) - 3} more"]
    verb = by_number(len(names), "is turned by its", "are turned by their")
    advice = "which the service may ignore; turn the pixels themselves to be sure"
    return f"{listed(shown, 'and')} {verb} EXIF orientation, {advice}"


def read_orientation(data: bytes) -> int:
    """Read the orientation of a PNG, JPEG or WebP, from 1 to 8; 1 if there is none or it cannot be read. Never raises.

    Source of the numbers: the EXIF standard, tag 274.
    """
    block = _find_block(data)
    order = _ORDERS.get(block[:4])
    if order is None:
        return UPRIGHT
    place = int.from_bytes(block[4:8], order)
    count = int.from_bytes(block[place : place + 2], order)
    for start in range(place + 2, place + 2 + 12 * min(count, _MOST_PARTS), 12):
        tag, kind = (int.from_bytes(block[at : at + 2], order) for at in (start, start + 2))
        if tag == _TAG:
            value = int.from_bytes(block[start + 8 : start + 10], order)
            return value if kind == _SHORT and 1 <= value <= 8 else UPRIGHT
    return UPRIGHT


_ORDERS: dict[bytes, Literal["big", "little"]] = {b"MM\0*": "big", b"II*\0": "little"}


def _find_block(data: bytes) -> bytes:
    """Return the EXIF block of an image; empty if it has none."""
    match media_type(data):
        case "image/jpeg":
            return _find_in_jpeg(data)
        case "image/png":
            return _find_in_png(data)
        case "image/webp":
            return _find_in_webp(data)
        case _:
            return b""


def _find_in_jpeg(data: bytes) -> bytes:
    place = 2
    for _ in range(_MOST_PARTS):
        found = _MARKER.match(data, place)
        if found is None or found[1] == b"\xda":
            break
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
        if found[1] == b"\xe1" and data.startswith(_HEAD, found.end() + 2):
            return data[found.end() + 2 + len(_HEAD) : place]
    return b""


def _find_in_png(data: bytes) -> bytes:
    place = 8
    for _ in range(_MOST_PARTS):
        size, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        if not kind:
            break
        if kind == b"eXIf":
            return data[place + 8 : place + 8 + size]
        place += size + 12
    return b""


def _find_in_webp(data: bytes) -> bytes:
    place = 12
    for _ in range(_MOST_PARTS):
        kind, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if not kind:
            break
        if kind == b"EXIF":
            # Some programs write the head of a JPEG's block, too.
            return data[place + 8 : place + 8 + size].removeprefix(_HEAD)
        # A part of odd length is padded.
        place += 8 + size + size % 2
    return b""
