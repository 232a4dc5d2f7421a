"""Images as data URIs: write them, read them, and check an image before it is sent."""

import base64
import binascii
import urllib.parse
from typing import TypeGuard

import attrs

from cometflux.errors import InputError
from cometflux.images.formats import is_whole, media_type
from cometflux.images.orientation import UPRIGHT, read_orientation
from cometflux.jobs import Job
from cometflux.models.image_kinds import read_image_uri
from cometflux.models.model import image_parameters

LARGEST_IMAGE_INPUT = 8 * 1024 * 1024
"""Maximum bytes of an image that is sent with a job."""

_CUT = "the image is cut short: its end is missing; copy or download the file again"
_UNDECLARED = ("", "application/octet-stream")
_SPELLINGS = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}

# ── before an image is sent ──────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen(kw_only=True)
class Examined:
    """What is known about an image that is to be sent."""

    media_type: str = ""
    """Read from its bytes; empty if they are not an image."""
    fault: str | None = None
    """Why it cannot be sent; None if it can."""
    is_turned: bool = False
    """Whether its EXIF orientation turns or flips the stored pixels. The service may ignore that."""


_known: dict[tuple[type, int, int], Examined] = {}
"""By size and hash, not by the image itself: it may have megabytes."""
_MOST_KNOWN = 1024


def examine(image: bytes | str) -> Examined:
    """Examine the bytes of an image, or its data URI. An image that many jobs share is examined once."""
    mark = (type(image), len(image), hash(image))
    found = _known.get(mark)
    if found is None:
        found = _examine_uri(image) if isinstance(image, str) else _examine_bytes(image)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[mark] = found
    return found


def _examine_bytes(data: bytes) -> Examined:
    kind = media_type(data)
    if kind is None:
        return Examined(fault="must be a PNG, JPEG, WebP or GIF image")
    if len(data) > LARGEST_IMAGE_INPUT:
        return Examined(media_type=kind, fault="at most 8 MiB are sent with a job; give a URL for a larger image")
    if not is_whole(data):
        return Examined(media_type=kind, fault=_CUT)
    return Examined(media_type=kind, is_turned=read_orientation(data) != UPRIGHT)


def _examine_uri(uri: str) -> Examined:
    try:
        declared, data = read_image_uri(uri)
    except ValueError as error:
        return Examined(fault=str(error))
    found = examine(data)
    is_declared = declared in _UNDECLARED or _SPELLINGS.get(declared, declared) == found.media_type
    if found.fault is None and not is_declared:
        return Examined(fault=f"the data URI declares {declared}, and its bytes are {found.media_type}")
    return found


def check_input(field: str, data: bytes) -> str:
    """Return the media type of an image that will be sent with a job.

    Raises:
        InputError: it is larger than 8 MiB, cut short, or not a PNG, JPEG, WebP or GIF.
    """
    found = examine(data)
    if found.fault is not None:
        raise InputError(field, data, found.fault)
    return found.media_type


def check_data_uri(field: str, uri: str) -> None:
    """Check the image in a data URI that will be sent with a job.

    Raises:
        InputError: its base64 is broken, it does not have the type that it declares, or `check_input` refuses it.
    """
    if (fault := examine(uri).fault) is not None:
        raise InputError(field, uri, fault)


def is_data_uri(value: object) -> TypeGuard[str]:
    """Whether a value for a reference image is a data URI, and not a URL, a path or bytes."""
    return isinstance(value, str) and value[:5].lower() == "data:"


def find_uris(job: Job) -> list[tuple[str, str]]:
    """Return the data URIs that must be checked before a job is sent, each with the name of its parameter.

    None of a model whose parameters are not known, and none if the job says that its input is not to be checked.
    """
    found: list[tuple[str, str]] = []
    if not job.validate:
        return found
    for name in image_parameters(job.model) if job.schema is None else job.schema.image_parameters:
        value = job.input.get(name)
        images = value if isinstance(value, list) else [value]
        found += [(name, image) for image in images if is_data_uri(image)]
    return found


# ── images as texts ──────────────────────────────────────────────────────────────────────────────────────────────────


def data_uri(field: str, data: bytes) -> str:
    """Write an image as a data URI.

    Raises:
        InputError: it is larger than 8 MiB, cut short, or not a PNG, JPEG, WebP or GIF.
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
