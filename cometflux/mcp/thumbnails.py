"""Prepare pictures for a reply: small ones unchanged, larger ones reduced."""

import io
from collections.abc import Sequence
from pathlib import Path

import attrs

from cometflux.images import formats

MOST_BYTES = 700_000
"""Most bytes of pictures in a reply. Base64 adds a third, and several clients accept at most 1 MB."""
_SIDES = (1024, 768, 512, 256)


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


def show(paths: Sequence[Path], most: int = MOST_BYTES) -> list[Thumbnail]:
    """Read pictures, and reduce those larger than their share of *most* bytes. Blocks, so call it in a thread.

    Raises:
        OSError: a file cannot be read.
    """
    share = most // max(len(paths), 1)
    return [_show(path, share) for path in paths]


def _show(path: Path, share: int) -> Thumbnail:
    data = path.read_bytes()
    media_type = formats.media_type(data) or "application/octet-stream"
    is_original = len(data) <= share
    return Thumbnail(
        name=path.name,
        media_type=media_type,
        size=len(data),
        data=data if is_original else _reduce(data, share),
        shown_type=media_type if is_original else "image/webp",
        is_original=is_original,
    )


def _reduce(data: bytes, most: int) -> bytes | None:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            picture = opened.convert("RGBA" if "A" in opened.getbands() else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    for side in _SIDES:
        picture.thumbnail((side, side))
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=80)
        if len(buffer.getvalue()) <= most:
            return buffer.getvalue()
    return None
