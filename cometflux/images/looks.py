"""Look at images by machine: find blank and almost black ones, and ones that are nearly equal. Needs Pillow.

An image is made small first, so that looking takes about as long as decoding. Nothing is removed because of a look.
"""

from collections.abc import Iterable
from enum import StrEnum

import attrs

from cometflux.errors import MissingExtraError, needs_extra
from cometflux.images.decode import UndecodableError, opened

NEAR = 4
"""Nearly equal images differ in at most so many of the 64 bits of their hashes."""
_SIDE = 64
"""An image is made so many pixels wide and high."""
_DARK = 24
"""No part of an almost black image is lighter than this, of 255."""
_EVEN = 6
"""No two parts of a blank image differ by more than this, of 255."""
_BAND = 13
"""Bits of one band of a hash. Of five bands at least one is equal if at most four bits differ."""


class Flaw(StrEnum):
    """A reason to look at an image oneself."""

    BLACK = "black"
    """It is almost black, as services return it in place of an image that they filtered."""
    BLANK = "blank"
    """It is of one colour."""
    DAMAGED = "damaged"
    """It cannot be decoded."""


FLAW_WORDS = {Flaw.BLACK: "almost black", Flaw.BLANK: "of one colour", Flaw.DAMAGED: "damaged"}
"""The flaws in words."""


@attrs.frozen(kw_only=True)
class Look:
    """What an image looks like."""

    flaw: Flaw | None
    hash: int
    """A difference hash of 64 bits: each says whether a part is lighter than the part to its left."""


def check_extra(feature: str) -> None:
    """Refuse to look at images if Pillow is missing.

    Raises:
        MissingExtraError: it is missing.
    """
    with needs_extra(feature, "images", "PIL"):
        import PIL.Image  # noqa: F401


def can_look() -> bool:
    """Whether Pillow is installed."""
    try:
        check_extra("")
    except MissingExtraError:
        return False
    return True


def look_at(data: bytes) -> Look:
    """Look at an image, at the first frame of an animation. Blocks for some milliseconds a megapixel."""
    from PIL.Image import Resampling

    try:
        with opened(data, (2 * _SIDE, 2 * _SIDE)) as image:
            flat = image if image.mode in ("L", "RGB") else image.convert("RGBA").convert("RGB")
            small = flat.resize((_SIDE, _SIDE), Resampling.BOX).convert("L")
            grid = small.resize((9, 8), Resampling.BOX).tobytes()
    except UndecodableError:
        return Look(flaw=Flaw.DAMAGED, hash=0)
    darkest, lightest = min(small.tobytes()), max(small.tobytes())
    flaw = None
    if lightest <= _DARK:
        flaw = Flaw.BLACK
    elif lightest - darkest <= _EVEN:
        flaw = Flaw.BLANK
    pairs = (grid[row * 9 + column] < grid[row * 9 + column + 1] for row in range(8) for column in range(8))
    return Look(flaw=flaw, hash=sum(is_lighter << place for place, is_lighter in enumerate(pairs)))


def find_near(looks: Iterable[tuple[str, Look]]) -> dict[str, str]:
    """Return each name whose image is nearly equal to an earlier one, with the name of the first such image.

    Flawed images are left out, because all of them look alike.
    """
    firsts: dict[tuple[int, int], list[tuple[int, str]]] = {}
    near: dict[str, str] = {}
    for name, look in looks:
        if look.flaw is not None:
            continue
        bands = [(place, look.hash >> place & (1 << _BAND) - 1) for place in range(0, 64, _BAND)]
        seen = (first for band in bands for first in firsts.get(band, ()))
        first = next((other for code, other in seen if (code ^ look.hash).bit_count() <= NEAR), None)
        if first is not None:
            near[name] = first
            continue
        for band in bands:
            firsts.setdefault(band, []).append((look.hash, name))
    return near
