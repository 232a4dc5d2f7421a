"""Image files: recognize their types, and check that they are complete."""

import hashlib
import re
from mmap import mmap
from pathlib import Path
from typing import Self

import attrs

from cometflux.locations import StoredImage

Data = bytes | mmap
"""The bytes of an image: in memory, or in a file that is mapped."""
LARGEST_OUTPUT = 256 * 1024 * 1024
"""Most bytes of an image that is downloaded, unless a session has another limit, and of one that is read again."""


@attrs.frozen(kw_only=True)
class ImageFile:
    """An image on disk, with its size and digest to recognize it by."""

    path: Path
    size: int
    """In bytes."""
    digest: str
    """The SHA-256 of its bytes, in hexadecimal."""
    mark: str | None = attrs.field(default=None, eq=False)
    """``signed``, ``marked`` or ``bare``: what it says about where it comes from. None if that was not looked at."""
    name: str = attrs.field(eq=False, repr=False)
    """Its name in its place: relative, with ``/`` between the parts."""

    @name.default
    def _last_part(self) -> str:
        return self.path.name

    @classmethod
    def of(cls, path: Path, data: bytes) -> Self:
        """Describe the file at *path* that holds *data*."""
        return cls(path=path, size=len(data), digest=hashlib.sha256(data).hexdigest())


Image = ImageFile | StoredImage


def media_type(data: Data) -> str | None:
    """Return the media type of an image from its first bytes; None unless models accept or produce this type."""
    start = data[:12]
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if start.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return "image/webp"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return None


# ── complete images ──────────────────────────────────────────────────────────────────────────────────────────────────
#
# Each function follows the structure of the file, because an end marker may also occur in a thumbnail, a comment or
# the pixels. Bytes after the end do not matter, because viewers ignore them.


def is_whole(data: Data) -> bool:
    """Whether an image is complete."""
    match media_type(data):
        case "image/png":
            return _is_whole_png(data)
        case "image/jpeg":
            return _is_whole_jpeg(data)
        case "image/webp":
            return _is_whole_webp(data)
        case "image/gif":
            return _is_whole_gif(data)
        case _:
            return False


def _is_whole_png(data: Data) -> bool:
    place, has_pixels = 8, False
    while place < len(data):
        size, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        place += size + 12
        if kind == b"IEND":
            return has_pixels and data[place - 12 : place] == b"\0\0\0\0IEND\xaeB`\x82"
        has_pixels |= kind == b"IDAT"
    return False


def _is_whole_jpeg(data: Data) -> bool:
    # Markers that cannot occur within the pixels.
    marker = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
    place, has_pixels = 2, False
    while found := marker.search(data, place):
        place = found.end()
        if found[0] == b"\xff\xd9":
            return has_pixels
        has_pixels |= found[0] == b"\xff\xda"
        place += int.from_bytes(data[place : place + 2])
    return False


def _is_whole_webp(data: Data) -> bool:
    end = int.from_bytes(data[4:8], "little") + 8
    place, has_pixels = 12, False
    while place + 8 <= end <= len(data):
        has_pixels |= data[place : place + 4] in {b"VP8 ", b"VP8L", b"ANMF"}
        place += int.from_bytes(data[place + 4 : place + 8], "little") + 8
        if place > end:
            return False
        # A part of odd length is padded.
        place += place % 2
    return has_pixels


def _is_whole_gif(data: Data) -> bool:
    place, has_pixels = 13 + _palette_size(data[10:11]), False
    while place < len(data):
        match data[place]:
            case 0x3B:
                return has_pixels
            case 0x2C:
                has_pixels = True
                place = _after_blocks(data, place + 11 + _palette_size(data[place + 9 : place + 10]))
            case 0x21:
                place = _after_blocks(data, place + 2)
            case 0:
                # Some encoders pad with zeros.
                place += 1
            case _:
                return False
    return False


def _palette_size(flags: bytes) -> int:
    return 6 << (flags[0] & 7) if flags and flags[0] & 0x80 else 0


def _after_blocks(data: Data, place: int) -> int:
    while place < len(data) and data[place]:
        place += data[place] + 1
    return place + 1
