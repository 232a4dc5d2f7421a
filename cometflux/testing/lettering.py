"""Sets a prompt on a picture, as large as it fits."""

import math
import re
import unicodedata

from PIL import Image, ImageDraw, ImageFont

from cometflux.testing.palettes import Colour, Palette

_MARGIN = 0.065
_SMALLEST = 9
"""Below this size, in pixels, there is no point in writing."""
_PLAIN = str.maketrans({"–": "-", "—": "-", "−": "-", "×": "x", "→": ">", "•": "·", "ß": "ss", "ø": "o", "Ø": "O"})
_PLAIN |= str.maketrans({"ł": "l", "Ł": "L", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "đ": "d", "ı": "i"})
_LEGIBLE = "“”‘’…·©"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def legible(text: str) -> str:
    """Return *text* in the letters that Pillow's own font has; what they cannot say becomes dots.

    A text wholly in another script becomes the name of the script.
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    bare = "".join(each for each in decomposed if not unicodedata.combining(each))
    known = "".join(each if each.isascii() or each in _LEGIBLE else "\x00" for each in bare)
    dotted = re.sub(r"\x00(?:[\x00\s]*\x00)?", "…", known)
    plain = " ".join(dotted.split())
    plain = "".join(each for each in plain if each.isprintable())
    if re.search(r"\w", plain):
        return plain
    letter = next((each for each in bare if each.isalpha()), "")
    script = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0].title()
    return f"A prompt in {'CJK' if script == 'Cjk' else script} letters" if script else plain


def letter(image: Image.Image, prompt: str, caption: str, palette: Palette) -> None:
    """Write *prompt* across the sky and *caption* along the bottom."""
    brush = ImageDraw.Draw(image, "RGBA")
    unit, scale = min(image.size), math.sqrt(image.width * image.height)
    margin = round(unit * _MARGIN)
    _write_caption(brush, image, caption, margin, palette)
    landscape = image.width / image.height
    wide = image.width * (0.94 if landscape < 1.15 else 0.8 if landscape < 1.6 else 0.66) - 2 * margin
    high = image.height * 0.36
    largest, smallest = round(min(0.096 * scale, 0.14 * unit)), max(_SMALLEST, round(scale * 0.022))
    if largest < _SMALLEST:
        return
    lines, font, size = _fit(legible(prompt), wide, high, largest, smallest)
    y = float(margin)
    for line in lines:
        # The font has no bold; a thin edge in the same ink makes one.
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
    """Break *text* into lines at the largest size at which all of them fit, and cut what still does not."""
    size = largest
    while True:
        font = ImageFont.load_default(size=size)
        most = max(1, int(high / (size * 1.18)))
        lines = _wrap(text, font, wide, most + 1)
        if len(lines) <= most or size <= smallest:
            break
        size = max(smallest, int(size * 0.88))
    if len(lines) > most:
        lines = [*lines[: most - 1], _shorten(lines[most - 1], font, wide)]
    return lines, font, size


def _wrap(text: str, font: Font, wide: float, most: int) -> list[str]:
    """Break *text* into at most *most* lines; the rest is left out."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= wide:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        while font.getlength(word) > wide and len(word) > 1:
            cut = _cut(word, font, wide)
            lines[-1], word = word[:cut], word[cut:]
            lines.append("")
        lines[-1] = word
        if len(lines) > most:
            break
    return lines[:most]


def _cut(word: str, font: Font, wide: float) -> int:
    average = font.getlength(word[:64]) / len(word[:64])
    cut = max(1, min(len(word) - 1, int(wide / average)))
    while cut > 1 and font.getlength(word[:cut]) > wide:
        cut -= 1
    return cut


def _shorten(line: str, font: Font, wide: float) -> str:
    while len(line) > 1 and font.getlength(f"{line}…") > wide:
        line = line[:-1]
    return f"{line.rstrip()}…"
