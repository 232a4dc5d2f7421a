"""Images as bytes and as texts: their types, data URIs, and what stands for them in a record."""

import base64
import binascii
import hashlib
import urllib.parse
from collections.abc import Mapping
from typing import Any

from cometflux.errors import InputError

LARGEST_IMAGE_INPUT = 8 * 1024 * 1024
"""The most bytes of an image sent within a job."""


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


def data_uri(field: str, data: bytes) -> str:
    """Write an image as a data URI.

    Raises:
        InputError: it is larger than 8 MiB, or not a PNG, JPEG, WebP or GIF.
    """
    if len(data) > LARGEST_IMAGE_INPUT:
        raise InputError(field, data, "the most that is sent with a job is 8 MiB; give a URL for a larger image")
    kind = media_type(data)
    if kind is None:
        raise InputError(field, data, "allowed is a PNG, JPEG, WebP or GIF image")
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def read_data_uri(uri: str) -> bytes:
    """Read the bytes in a data URI.

    Raises:
        ValueError: it is not one.
    """
    head, comma, payload = uri.partition(",")
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
        case list() | tuple():
            return [_described(part) for part in value]
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
