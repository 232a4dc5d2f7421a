"""Draw the pages of a contact sheet, one picture in memory at a time. Needs Pillow."""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs

from cometflux.gallery.sheet import (
    HEAD,
    LINE,
    MARGIN,
    PROMPT_LINES,
    TEXT,
    TITLE,
    VALUE_LINES,
    Cell,
    Layout,
    wrap,
)
from cometflux.gallery.sheet_fonts import Letters
from cometflux.images.decode import UndecodableError, thumbnail

if TYPE_CHECKING:
    from PIL.Image import Image

SOFTWARE = "cometflux contact sheet"
"""The text of the chunk ``Software`` of our sheets, the first one after the header."""
_DOTS_PER_INCH = 300
_INK, _GREY, _PALE, _EMPTY = "#1b1b1f", "#62626b", "#d9d9de", "#f3f3f5"

Read = Callable[[str], bytes]
"""Reads the file of a picture. Raises OSError or ValueError."""


@attrs.frozen(kw_only=True)
class Heading:
    """The texts at the top of a page."""

    title: str
    corner: str
    """How many pictures, and which page it is."""
    about: str = ""
    """What all pictures have in common."""


@attrs.frozen(kw_only=True)
class Caption:
    """The lines below a picture."""

    title: list[str]
    more: list[str]

    @classmethod
    def of(cls, cell: Cell, width: int, letters: Letters) -> "Caption":
        """Break the texts of a cell into lines of at most *width* pixels."""

        def broken(text: str, most: int) -> list[str]:
            return wrap(text, most, lambda part: letters.length(part, TEXT) <= width)

        values = [line.removesuffix(" ·") for line in broken(" · ".join(cell.values), VALUE_LINES)]
        return cls(title=broken(cell.title, 1), more=broken(cell.prompt, PROMPT_LINES) + values)

    @property
    def lines(self) -> int:
        """How many lines there are."""
        return len(self.title) + len(self.more)


@attrs.frozen
class Drawn:
    """A cell with its caption in lines."""

    cell: Cell
    caption: Caption


def draw_page(
    layout: Layout, cells: Sequence[Drawn], heading: Heading, letters: Letters, read: Read
) -> tuple[bytes, dict[str, str]]:
    """Return a page as a PNG file, and why pictures are not shown, by their names. Blocks."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    page = Image.new("RGB", layout.page_size(len(cells)), "white")
    pen = _Pen(page, letters)
    _draw_heading(pen, heading)
    faults = {}
    for number, drawn in enumerate(cells):
        fault = _draw_cell(pen, layout, layout.place(number), drawn, read)
        if fault is not None:
            faults[drawn.cell.name] = fault
    known = PngInfo()
    known.add_text("Software", SOFTWARE)
    file = io.BytesIO()
    page.save(file, "PNG", pnginfo=known, dpi=(_DOTS_PER_INCH, _DOTS_PER_INCH))
    return file.getvalue(), faults


class _Pen:
    """Writes on a page."""

    def __init__(self, page: "Image", letters: Letters) -> None:
        self.page = page
        self.letters = letters

    def line(self, place: tuple[int, int], text: str, size: int, colour: str, width: int) -> None:
        """Write a line of text below *place*. Whatever the letters are, they stay in their line."""
        from PIL import Image, ImageDraw

        height = size * LINE // TEXT
        strip = Image.new("L", (width, height))
        font, text = self.letters.font_for(text, size)
        ImageDraw.Draw(strip).text((0, height * 3 // 4), text, fill=255, font=font, anchor="ls")
        self.page.paste(colour, (place[0], place[1], place[0] + width, place[1] + height), strip)

    def fitting(self, text: str, size: int, width: int, most: int = 1) -> list[str]:
        """Break *text* into lines of at most *width* pixels."""
        return wrap(text, most, lambda part: self.letters.length(part, size) <= width)

    def frame(self, place: tuple[int, int], size: tuple[int, int], fill: str | None = None) -> None:
        """Draw a rectangle around *size* pixels."""
        from PIL import ImageDraw

        x, y = place
        corners = (x - 1, y - 1, x + size[0], y + size[1])
        ImageDraw.Draw(self.page).rectangle(corners, outline=_PALE, fill=fill)


def _draw_heading(pen: _Pen, heading: Heading) -> None:
    width = pen.page.width - 2 * MARGIN
    corner = int(pen.letters.length(heading.corner, TEXT)) + 1
    free = width - corner - MARGIN
    for text in pen.fitting(heading.title, TITLE, free):
        pen.line((MARGIN, MARGIN - 20), text, TITLE, _INK, free)
    pen.line((MARGIN + width - corner, MARGIN + 4), heading.corner, TEXT, _GREY, corner)
    for text in pen.fitting(heading.about, TEXT, width):
        pen.line((MARGIN, MARGIN + HEAD // 2 - 10), text, TEXT, _GREY, width)


def _draw_cell(pen: _Pen, layout: Layout, place: tuple[int, int], drawn: Drawn, read: Read) -> str | None:
    """Draw a picture with its caption; return why the picture is not shown, None if it is."""
    x, y = place
    width, height = layout.box
    picture = _picture(drawn.cell, layout.box, read)
    if isinstance(picture, str):
        _draw_empty(pen, place, layout.box, picture)
    else:
        # Just above its caption.
        corner = (x, y + height - picture.height)
        pen.frame(corner, picture.size)
        pen.page.paste(picture, corner)
    y += height + LINE // 2
    for lines, colour in ((drawn.caption.title, _INK), (drawn.caption.more, _GREY)):
        for text in lines:
            pen.line((x, y), text, TEXT, colour, width)
            y += LINE
    return picture if isinstance(picture, str) else None


def _picture(cell: Cell, size: tuple[int, int], read: Read) -> "Image | str":
    """Return a picture in its small form, or why there is none."""
    if cell.fault is not None:
        return cell.fault
    try:
        return thumbnail(read(cell.name), size)
    except UndecodableError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return f"its file cannot be read: {getattr(error, 'strerror', None) or error}"


def _draw_empty(pen: _Pen, place: tuple[int, int], size: tuple[int, int], fault: str) -> None:
    pen.frame(place, size, _EMPTY)
    width = size[0] - 2 * LINE
    lines = pen.fitting(fault, TEXT, width, 4)
    y = place[1] + (size[1] - len(lines) * LINE) // 2
    for number, text in enumerate(lines):
        free = width - int(pen.letters.length(text, TEXT))
        pen.line((place[0] + LINE + free // 2, y + number * LINE), text, TEXT, _GREY, width - free // 2)
