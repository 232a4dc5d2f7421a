"""Images as bytes and as texts: their types, where they end, data URIs, and what stands for them in a record."""

import base64
import binascii
import hashlib
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs

from cometflux.errors import InputError
from cometflux.locations import StoredImage
from cometflux.values import Value

LARGEST_IMAGE_INPUT = 8 * 1024 * 1024
"""The most bytes of an image sent within a job."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ImageFile(Value):
    """An image on disk, and by what it is known again."""

    path: Path
    size: int
    """In bytes."""
    digest: str
    """The SHA-256 of its bytes, in hexadecimal."""

    @classmethod
    def of(cls, path: Path, data: bytes) -> Self:
        """Describe the file at *path* that holds *data*."""
        return cls(path=path, size=len(data), digest=hashlib.sha256(data).hexdigest())


Image = ImageFile | StoredImage


def media_type(data: bytes) -> str | None:
    """Name the type of an image by its first bytes; None unless it is one that the models take or make."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return None


# ── where an image ends ──────────────────────────────────────────────────────────────────────────────────────────────
#
# Each walk follows the container's own structure: the mark of an end may also stand in a thumbnail, a comment or the
# pixels. What stands behind the end is no matter, as viewers pass over it.


def is_whole(data: bytes) -> bool:
    """Whether an image goes on to its end."""
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


def _is_whole_png(data: bytes) -> bool:
    place, has_pixels = 8, False
    while place < len(data):
        size, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        place += size + 12
        if kind == b"IEND":
            return has_pixels and data[place - 12 : place] == b"\0\0\0\0IEND\xaeB`\x82"
        has_pixels |= kind == b"IDAT"
    return False


def _is_whole_jpeg(data: bytes) -> bool:
    # A marker that cannot stand within the pixels.
    marker = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
    place, has_pixels = 2, False
    while found := marker.search(data, place):
        place = found.end()
        if found[0] == b"\xff\xd9":
            return has_pixels
        has_pixels |= found[0] == b"\xff\xda"
        place += int.from_bytes(data[place : place + 2])
    return False


def _is_whole_webp(data: bytes) -> bool:
    end = int.from_bytes(data[4:8], "little") + 8
    place, has_pixels = 12, False
    while place + 8 <= end <= len(data):
        has_pixels |= data[place : place + 4] in {b"VP8 ", b"VP8L", b"ANMF"}
        place += int.from_bytes(data[place + 4 : place + 8], "little") + 8
        if place > end:
            return False
        # A part of odd length is filled up.
        place += place % 2
    return has_pixels


def _is_whole_gif(data: bytes) -> bool:
    place, has_pixels = 13 + _palette_size(data[10:11]), False
    while place < len(data):
        match data[place]:
            case 0x3B:
                return has_pixels
            case 0x2C:
                has_pixels = True
                place = _behind_blocks(data, place + 11 + _palette_size(data[place + 9 : place + 10]))
            case 0x21:
                place = _behind_blocks(data, place + 2)
            case 0:
                # Some encoders fill up with it.
                place += 1
            case _:
                return False
    return False


def _palette_size(flags: bytes) -> int:
    return 6 << (flags[0] & 7) if flags and flags[0] & 0x80 else 0


def _behind_blocks(data: bytes, place: int) -> int:
    while place < len(data) and data[place]:
        place += data[place] + 1
    return place + 1


# ── images as texts ──────────────────────────────────────────────────────────────────────────────────────────────────


def check_input(field: str, data: bytes) -> str:
    """Return the type of an image that is to be sent within a job.

    Raises:
        InputError: it is larger than 8 MiB, or not a PNG, JPEG, WebP or GIF.
    """
    if len(data) > LARGEST_IMAGE_INPUT:
        raise InputError(field, data, "the most that is sent with a job is 8 MiB; give a URL for a larger image")
    kind = media_type(data)
    if kind is None:
        raise InputError(field, data, "allowed is a PNG, JPEG, WebP or GIF image")
    return kind


def data_uri(field: str, data: bytes) -> str:
    """Write an image as a data URI.

    Raises:
        InputError: it is larger than 8 MiB, or not a PNG, JPEG, WebP or GIF.
    """
    kind = check_input(field, data)
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def read_data_uri(uri: str) -> bytes:
    """Read the bytes in a data URI.

    Raises:
        ValueError: it is not one.
    """
    head, comma, payload = uri.partition(",")
    head = head.lower()
    if not head.startswith("data:") or not comma:
        raise ValueError("not a data URI")
    raw = urllib.parse.unquote_to_bytes(payload)
    if not head.endswith(";base64"):
        return raw
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error as error:
        raise ValueError("the data URI's base64 is broken") from error


def describe_bytes(data: bytes) -> dict[str, Any]:
    """Stand in for an image where it is written about: its type, size in bytes and digest."""
    return {"type": media_type(data), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def describe_input(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy an input for a record, with images that it carries replaced by their digests."""
    return {name: _described(value) for name, value in values.items()}


def _described(value: Any) -> Any:
    match value:
        # A prompt may begin with the same word.
        case str() if value.startswith("data:") and ";base64," in value[:200]:
            try:
                return describe_bytes(read_data_uri(value))
            except ValueError:
                return value
        case str():
            return value  # most are
        case list() | tuple():
            return [_described(part) for part in value]
        case Mapping():
            return describe_input(value)
        case _:
            return value


def is_heavy(value: Any) -> bool:
    """Whether a value of an input is an image of some size, or holds one."""
    if isinstance(value, list):
        return any(map(is_heavy, value))
    return isinstance(value, str) and len(value) > 1000 and value.startswith("data:")


def measure(value: Any) -> int:
    """Count the characters of the texts in an input: about its size in bytes, which is that of its images."""
    match value:
        case str():
            return len(value)
        case list() | tuple():
            return sum(map(measure, value))
        case Mapping():
            return sum(map(measure, value.values()))
        case _:
            return 0
