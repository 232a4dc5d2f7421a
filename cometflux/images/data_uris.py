"""Images as data URIs: write them, read them, and check an image before it is sent."""

import base64
import binascii
import urllib.parse

from cometflux.errors import InputError
from cometflux.images.formats import is_whole, media_type

LARGEST_IMAGE_INPUT = 8 * 1024 * 1024
"""Maximum bytes of an image that is sent with a job."""

CUT = "the image is cut short: its end is missing; copy or download the file again"
_whole: set[tuple[int, int]] = set()
"""The images that were whole, by size and hash: many jobs may share one."""
_MOST_KNOWN = 1024


def _is_whole(data: bytes) -> bool:
    mark = (len(data), hash(data))
    if mark in _whole:
        return True
    if not is_whole(data):
        return False
    if len(_whole) >= _MOST_KNOWN:
        _whole.clear()
    _whole.add(mark)
    return True


# ── images as texts ──────────────────────────────────────────────────────────────────────────────────────────────────


def check_input(field: str, data: bytes) -> str:
    """Return the media type of an image that will be sent with a job.

    Raises:
        InputError: it is larger than 8 MiB, cut short, or not a PNG, JPEG, WebP or GIF.
    """
    if len(data) > LARGEST_IMAGE_INPUT:
        raise InputError(field, data, "at most 8 MiB are sent with a job; give a URL for a larger image")
    kind = media_type(data)
    if kind is None:
        raise InputError(field, data, "must be a PNG, JPEG, WebP or GIF image")
    if not _is_whole(data):
        raise InputError(field, data, CUT)
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
