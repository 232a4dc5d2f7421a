"""Write a prompt on a picture, as large as it fits."""
# ruff: noqa: RUF001 - this module maps letters that look alike

import hashlib
import math
import re
import unicodedata

from PIL import Image, ImageDraw, ImageFont

from cometflux.testing.artwork.palettes import Colour, Palette

_MARGIN = 0.065
_SMALLEST = 9
"""The smallest legible font size, in pixels."""
_LONGEST_WORD = 24
_LONGEST_TEXT = 1200
_PLAIN = str.maketrans({"–": "-", "—": "-", "−": "-", "×": "x", "→": ">", "•": "·", "ß": "ss", "ø": "o", "Ø": "O"})
_PLAIN |= str.maketrans({"ł": "l", "Ł": "L", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "đ": "d", "ı": "i"})
_LEGIBLE = "“”‘’…·©"
_FOREIGN = "\ufffd"
_SCRIPTS = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def legible(text: str) -> str:
    """Return *text* in the letters of Pillow's own font; dots replace other letters.

    A text that is entirely in another script becomes the name of the script, with a hash to distinguish such texts.
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    bare = "".join(each for each in decomposed if not unicodedata.combining(each))
    known = "".join(each if each.isascii() or each in _LEGIBLE else _FOREIGN for each in " ".join(bare.split()))
    dotted = re.sub(f"{_FOREIGN}( ?{_FOREIGN})*", "…", known)
    plain = "".join(each for each in dotted if each.isprintable())
    if re.search(r"\w", plain):
        return plain
    script = next((unicodedata.name(each, "").split()[0] for each in bare if each.isalpha()), None)
    if script is None:
        return plain
    mark = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:4]
    return f"A prompt in {_SCRIPTS.get(script, script.title())} letters ({mark})"


def letter(image: Image.Image, prompt: str, caption: str, palette: Palette) -> None:
    """Write *prompt* across the sky and *caption* along the bottom."""
    brush = ImageDraw.Draw(image, "RGBA")
    unit, scale = min(image.size), math.sqrt(image.width * image.height)
    margin = round(unit * _MARGIN)
    _write_caption(brush, image, caption, margin, palette)
    landscape = image.width / image.height
    wide = image.width * (0.94 if landscape < 1.15 else 0.8 if landscape < 1.6 else 0.66) - 2 * margin
    high = image.height * 0.34
    largest, smallest = round(min(0.096 * scale, 0.14 * unit)), max(_SMALLEST, round(scale * 0.022))
    if largest < smallest:
        return
    lines, font, size = _fit(legible(prompt), wide, high, largest, smallest)
    y = float(margin)
    for line in lines:
        # The font has no bold, so a thin edge in the same ink imitates it.
        brush.text((margin, y), line, font=font, fill=palette.ink, stroke_width=size // 48)
        y += size * 1.18


def _write_caption(brush: ImageDraw.ImageDraw, image: Image.Image, caption: str, margin: int, palette: Palette) -> None:
    size = round(math.sqrt(image.width * image.height) * 0.023)
    if size < _SMALLEST:
        return
    font = ImageFont.load_default(size=size)
    colour: Colour = palette.paper
    brush.text((margin, image.height - margin * 0.55), caption, font=font, fill=(*colour, 215), anchor="ls")


def _fit(text: str, wide: float, high: float, largest: int, smallest: int) -> tuple[list[str], Font, int]:
    """Break *text* into lines at the largest size at which all of them fit. At the smallest size, cut the rest."""
    # Long words are broken, and a long text is cut first, to bound the time.
    words = re.sub(rf"(\S{{{_LONGEST_WORD}}})(?=\S)", r"\1 ", text[:_LONGEST_TEXT]).split()
    for size in range(largest, smallest - 1, -max(1, largest // 12)):
        font = ImageFont.load_default(size=size)
        most = max(1, int(high / (size * 1.18)))
        lines = _wrap(words, font, wide)
        if len(lines) <= most and all(font.getlength(line) <= wide for line in lines):
            return lines, font, size
    if len(lines) > most:
        lines = [*lines[: most - 1], _shorten(lines[most - 1], font, wide)]
    return lines, font, size


def _wrap(words: list[str], font: Font, wide: float) -> list[str]:
    lines = [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > wide:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _shorten(line: str, font: Font, wide: float) -> str:
    while len(line) > 1 and font.getlength(f"{line}…") > wide:
        line = line[:-1]
    return f"{line.rstrip()}…"
