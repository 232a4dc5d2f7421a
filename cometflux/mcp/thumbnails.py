"""Prepare pictures for a reply: small ones unchanged, larger ones reduced."""

import io
from collections.abc import Sequence
from pathlib import Path

import attrs

from cometflux.images import formats

MOST_BYTES = 700_000
"""Most bytes of pictures in a reply. Base64 adds a third, and several clients accept at most 1 MB."""
_SIDES = (1024, 768, 512, 256)
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
            # From the header, before anything is decoded.
            if opened.width * opened.height > _MOST_PIXELS:
                return None
            opened.load()
            picture = opened.convert("RGBA" if "A" in opened.getbands() else "RGB")
    # Pillow raises whatever a damaged file led to, as an EOFError for a WebP, or its warning of a bomb.
    except Exception:  # noqa: BLE001 - the reply tells a paid prediction's id
        return None
    for side in _SIDES:
        picture.thumbnail((side, side))
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=80)
        if len(buffer.getvalue()) <= most:
            return buffer.getvalue()
    return None
