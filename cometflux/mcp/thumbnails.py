"""Prepare pictures for a reply: small ones unchanged, larger ones reduced."""

import io
from collections.abc import Sequence
from pathlib import Path

import attrs

from cometflux.basics.regular_files import read_regular
from cometflux.images import decode, formats

MOST_BYTES = 700_000
"""Most bytes of pictures in a reply. Base64 adds a third, and several clients accept at most 1 MB."""
_SIDES = (1024, 768, 512, 256)
_LARGEST_FILE = 32 * 2**20
"""The largest file that is decoded, in bytes: Pillow holds parts of a PNG several times."""
_MOST_PIXELS = 16_000_000
"""Most pixels of a picture that is decoded. An animated WebP needs the most memory: about 16 bytes per pixel."""


@attrs.frozen(kw_only=True)
class Thumbnail:
    """One picture as a reply shows it."""

    name: str
    media_type: str
    """The file's media type."""
    size: int
    """The file's size in bytes."""
    data: bytes | None
    """The picture, reduced if needed; None if it cannot be shown."""
    shown_type: str
    """The media type of `data`."""
    is_original: bool
    fault: str = ""
    """Why `data` is None."""


class _UnshownError(Exception):
    """A picture cannot be shown. The text says why."""


def show(paths: Sequence[Path], most: int = MOST_BYTES) -> list[Thumbnail]:
    """Read pictures, and reduce those larger than their share of *most* bytes. Blocks, so call it in a thread.

    Raises nothing, whatever is under their names by now: the reply has the id of a prediction that is paid for.
    """
    share = most // max(len(paths), 1)
    return [_show(path, share) for path in paths]


def _show(path: Path, share: int) -> Thumbnail:
    data, media_type = b"", "application/octet-stream"
    try:
        data = _read(path)
        media_type = formats.media_type(data) or media_type
        is_original = len(data) <= share
        shown, fault = data if is_original else _reduce(data, share), ""
    except _UnshownError as error:
        is_original, shown, fault = False, None, str(error)
    return Thumbnail(
        name=path.name,
        media_type=media_type,
        size=len(data),
        data=shown,
        shown_type=media_type if is_original else "image/webp",
        is_original=is_original,
        fault=fault,
    )


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, formats.LARGEST_OUTPUT)
    except (OSError, ValueError) as error:
        raise _UnshownError("which can no longer be read") from error


def _reduce(data: bytes, most: int) -> bytes:
    if len(data) > _LARGEST_FILE:
        raise _UnshownError(_TOO_LARGE)
    try:
        with decode.opened(data, (_SIDES[0], _SIDES[0]), _MOST_PIXELS) as image:
            picture = image.convert("RGBA" if "A" in image.getbands() else "RGB")
    except decode.TooLargeError as error:
        raise _UnshownError(_TOO_LARGE) from error
    except decode.UndecodableError as error:
        raise _UnshownError("which cannot be decoded, so it is not shown here") from error
    for side in _SIDES:
        picture.thumbnail((side, side))
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=80)
        if len(buffer.getvalue()) <= most:
            return buffer.getvalue()
    raise _UnshownError(_TOO_LARGE)


_TOO_LARGE = "too large to show here"
