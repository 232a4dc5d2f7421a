"""Decode images that may be anything: within bounds, and with one error for all that can go wrong. Needs Pillow."""

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cometflux.images.formats import media_type
from cometflux.images.orientation import read_orientation

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 80_000_000
"""An image with more pixels is not decoded. Pillow itself warns of somewhat more."""


class UndecodableError(ValueError):
    """An image cannot be decoded. The text says why, as in ``its file is damaged``."""


class TooLargeError(UndecodableError):
    """An image has too many pixels to be decoded."""


@contextlib.contextmanager
def opened(data: bytes, size: tuple[int, int], most_pixels: int = MOST_PIXELS) -> Iterator["Image"]:
    """Open an image, at its first frame; a JPEG is decoded at about *size*. Use it inside the block only.

    Raises:
        TooLargeError: it has more than *most_pixels*.
        UndecodableError: it is not an image, or is damaged.
    """
    from PIL import Image

    kind = (media_type(data) or "").removeprefix("image/").upper()
    if not kind:
        raise UndecodableError("its file is not an image")
    try:
        # Pillow's other formats are not what the service makes, and some of them start programs.
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            # From the header, before anything is decoded.
            if image.width * image.height > most_pixels:
                raise TooLargeError(f"it has too many pixels: {image.width} by {image.height}")
            image.draft("RGB", size)
            # The conversion of 16 bits to 8 would cut the lighter values off.
            yield image.point(lambda value: value / 256, "L") if image.mode == "I;16" else image
    except UndecodableError:
        raise
    # The last is raised only if warnings are errors.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLargeError("it has too many pixels") from error
    # Pillow raises anything for a damaged file, such as an EOFError for a WebP.
    except Exception as error:
        raise UndecodableError("its file is damaged") from error


def thumbnail(data: bytes, size: tuple[int, int]) -> "Image":
    """Return an image of at most *size*, upright and on white. An image that is smaller is not made larger.

    Blocks for some milliseconds a megapixel.

    Raises:
        UndecodableError: see `opened`.
    """
    from PIL import Image

    turn = _TURNS.get(read_orientation(data))
    stored = size[::-1] if turn in _SIDEWAYS.values() else size
    with opened(data, stored) as image:
        # Colours of a palette cannot be mixed.
        flat = image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGBA")
        flat.thumbnail(stored, reducing_gap=2.0)
        small = flat.convert("RGBA")
    if turn is not None:
        small = small.transpose(Image.Transpose[turn])
    white = Image.new("RGBA", small.size, "white")
    return Image.alpha_composite(white, small).convert("RGB")


_SIDEWAYS = {5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
_TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", **_SIDEWAYS}
"""The orientations of EXIF that are not upright, and Pillow's name of the turn that undoes each."""
