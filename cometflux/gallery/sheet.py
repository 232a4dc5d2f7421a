"""The layout of a contact sheet: its pages, the places of the pictures on them, and the captions. Draws nothing."""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Self

import attrs

from cometflux.basics.plain_text import plain
from cometflux.gallery.cards import Card

MOST_PICTURES = 5000
"""The most pictures of a folder's sheets: up to 170 pages."""
MARGIN, GAP = 90, 40
TEXT, LINE = 26, 34
"""The size of the letters of a caption, and the distance of its lines."""
TITLE, HEAD = 56, 160
"""The size of the letters of the title, and the height of the head of a page."""
PROMPT_LINES = VALUE_LINES = 2
ELSEWHERE = "it is kept elsewhere"
"""The fault of a picture in an object store."""
_WIDEST, _TALLEST = 2400, 3400
"""The largest page: about A4 at 300 dots per inch."""
_LARGEST_BOX = 1024
_MOST_COLUMNS = 6
_NARROW, _WIDE = 0.6, 1.8
"""Limits of the shape of a box: its width, divided by its height."""
_LONGEST = 600


@attrs.frozen(kw_only=True)
class Cell:
    """A picture on the sheet, with its caption."""

    name: str
    """Its name in the folder."""
    title: str
    prompt: str = ""
    model: str = ""
    values: tuple[str, ...] = ()
    """The parameters that differ among the jobs, as in ``guidance 3.5``."""
    size: tuple[int, int] | None = None
    """Width and height; None if unknown."""
    fault: str | None = None
    """Why it cannot be shown; None if it can."""


def cells_of(card: Card, differing: Sequence[str]) -> Iterator[Cell]:
    """Yield the cells of a job's pictures. Their captions have the parameters that are *differing* among the jobs."""
    given = dict(card.parameters)
    values = tuple(f"{name} {_value(given[name])}" for name in differing if name != "prompt" and name in given)
    title = card.key or (card.pictures[0].name if card.pictures else "")
    count = len(card.pictures)
    for number, picture in enumerate(card.pictures, 1):
        yield Cell(
            name=picture.file or picture.name,
            title=title,
            prompt=card.prompt,
            model=(card.model or "").rpartition("/")[2],
            values=values if count == 1 else (f"{number} of {count}", *values),
            size=picture.size,
            fault=picture.fault or (None if picture.address and picture.is_here else ELSEWHERE),
        )


def _value(text: str) -> str:
    return json.loads(text) if text.startswith('"') else text


# ── the places ───────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen(kw_only=True)
class Layout:
    """The places of a sheet, in pixels."""

    columns: int
    ratio: float
    """The shape of a box: its width, divided by its height."""
    lines: int = 1 + PROMPT_LINES + VALUE_LINES
    """How many lines the longest caption has."""

    @classmethod
    def of(cls, sizes: Sequence[tuple[int, int] | None]) -> Self:
        """Lay out pictures of these *sizes*: few of them large, and many on several pages."""
        shapes = [width / height for width, height in filter(None, sizes)]
        ratio = min(max(median(shapes or [1]), _NARROW), _WIDE)
        for columns in range(1, _MOST_COLUMNS):
            found = cls(columns=columns, ratio=ratio)
            if columns * min(columns, found.rows) >= len(sizes):
                return found
        return cls(columns=_MOST_COLUMNS, ratio=ratio)

    @property
    def box(self) -> tuple[int, int]:
        """Width and height of the place of a picture."""
        free = _WIDEST - 2 * MARGIN - (self.columns - 1) * GAP
        width = min(free // self.columns, _LARGEST_BOX)
        return width, round(width / self.ratio)

    @property
    def rows(self) -> int:
        """How many rows a page has at most."""
        free = _TALLEST - 2 * MARGIN - HEAD + GAP
        return max(free // self._row, 1)

    @property
    def _row(self) -> int:
        return self.box[1] + LINE // 2 + self.lines * LINE + GAP

    @property
    def most(self) -> int:
        """How many pictures a page has at most."""
        return self.columns * self.rows

    def page_size(self, pictures: int) -> tuple[int, int]:
        """Return width and height of a page with so many *pictures*."""
        rows = -(-pictures // self.columns)
        width = 2 * MARGIN + self.columns * (self.box[0] + GAP) - GAP
        return width, 2 * MARGIN + HEAD + rows * self._row - GAP

    def place(self, number: int) -> tuple[int, int]:
        """Return the left upper corner of a picture on its page; 0 is the first."""
        row, column = divmod(number, self.columns)
        return MARGIN + column * (self.box[0] + GAP), MARGIN + HEAD + row * self._row


# ── the captions ─────────────────────────────────────────────────────────────────────────────────────────────────────


def wrap(text: str, most: int, fits: Callable[[str], bool]) -> list[str]:
    """Break *text* into at most so many lines that fit; the last one ends with an ellipsis if the text is longer."""
    rest = plain(" ".join(text[:_LONGEST].split()))
    lines: list[str] = []
    while rest and len(lines) < most:
        if fits(rest):
            return [*lines, rest]
        end = _fitting(rest, fits)
        if len(lines) == most - 1:
            end = _fitting(rest, lambda part: fits(f"{part}…"))
            return [*lines, f"{rest[:end].rstrip()}…"]
        space = rest.rfind(" ", 1, end + 1)
        end = space if space > 0 else end
        lines.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return lines


def _fitting(text: str, fits: Callable[[str], bool]) -> int:
    """Return how many letters of *text* fit, at least one."""
    return max(bisect_left(range(1, len(text) + 1), True, key=lambda count: not fits(text[:count])), 1)
