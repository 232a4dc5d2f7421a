"""The letters of a contact sheet: Pillow's own font, or one of the system if Pillow's lacks letters. Needs Pillow."""

import contextlib
import functools
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cometflux.basics.plain_text import plain

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_OF_SYSTEMS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "arial.ttf"),
    *("Arial Unicode.ttf", "NotoSansCJK-Regular.ttc", "msyh.ttc"),
)
"""Fonts of Linux, Windows and macOS, found by these names in the system's folders for fonts."""
_UNASSIGNED = "\U0010ffff"
"""No font has it, so a letter that is drawn like it is lacking too."""


class Letters:
    """The fonts for all *texts* of a sheet: one font for all if possible, because that looks better."""

    def __init__(self, texts: Iterable[str]) -> None:
        needed = set().union(*map(_composed, texts))
        fonts = list(_own())
        if _lacking(fonts[0], needed):
            fonts += _of_system()
        # Stable: Pillow's own font comes first among equals.
        self._fonts = sorted(fonts, key=lambda font: _lacking(font, needed))

    def font_for(self, text: str, size: int) -> tuple["FreeTypeFont", str]:
        """Return the font with the most letters of *text*, and the text for it.

        If the font lacks a letter with an accent, the text has it without. Other such letters are drawn as a box.
        """
        text = _composed(text)
        font = min(self._fonts, key=lambda font: _lacking(font, text))
        return _sized(font, size), "".join(each if _has(font, each) else _plainer(font, each) for each in text)

    def length(self, text: str, size: int) -> float:
        """Return the width of *text* in pixels."""
        font, text = self.font_for(text, size)
        return font.getlength(text)


def _composed(text: str) -> str:
    # The line layout fails at a line end.
    return unicodedata.normalize("NFC", plain(text))


def _plainer(font: "FreeTypeFont", letter: str) -> str:
    parts = [part for part in unicodedata.normalize("NFKD", letter) if _has(font, part)]
    return "".join(parts) or letter


def _lacking(font: "FreeTypeFont", letters: Iterable[str]) -> int:
    return sum(not _has(font, each) for each in letters)


@functools.lru_cache(maxsize=10_000)
def _has(font: "FreeTypeFont", letter: str) -> bool:
    return _drawn(font, letter) != _drawn(font, _UNASSIGNED)


def _drawn(font: "FreeTypeFont", letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


@functools.lru_cache(maxsize=32)
def _sized(font: "FreeTypeFont", size: int) -> "FreeTypeFont":
    return font.font_variant(size=size)


@functools.cache
def _own() -> tuple["FreeTypeFont"]:
    from PIL import ImageFont

    return (cast("FreeTypeFont", ImageFont.load_default(16)),)


@functools.cache
def _of_system() -> tuple["FreeTypeFont", ...]:
    return tuple(_found())


def _found() -> Iterator["FreeTypeFont"]:
    from PIL import ImageFont

    for name in _OF_SYSTEMS:
        with contextlib.suppress(OSError):
            # Not the name alone: that would also load a file of that name in the working directory.
            yield ImageFont.truetype(str(Path(__file__).parent / name), 16)
