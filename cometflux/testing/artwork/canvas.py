"""A canvas for the scenes. Positions are fractions of the picture, and shapes vary at random."""

import math
import random
from collections.abc import Callable, Iterable

import attrs
from PIL import Image, ImageDraw

from cometflux.testing.artwork.palettes import Colour, Palette

Point = tuple[float, float]
Ridge = Callable[[float], float]
"""A function from x to the y of the ground, both as fractions of the picture, from its top left corner."""

_SKY = 0.74
"""The lower end of the sky, as a fraction of the height."""


@attrs.frozen(kw_only=True)
class Canvas:
    """An unfinished picture. Positions are fractions of width and height; sizes are fractions of `unit`."""

    image: Image.Image
    brush: ImageDraw.ImageDraw
    glaze: ImageDraw.ImageDraw
    """Blends a colour with the picture, which takes several times as long as covering it."""
    chance: random.Random
    palette: Palette

    @classmethod
    def prepare(cls, width: int, height: int, palette: Palette, chance: random.Random) -> "Canvas":
        """Create a canvas with only the sky."""
        sky = Image.new("RGB", (1, len(palette.sky)))
        for row, colour in enumerate(palette.sky):
            sky.putpixel((0, row), colour)
        column = Image.new("RGB", (1, height), palette.sky[-1])
        column.paste(sky.resize((1, max(1, round(height * _SKY))), Image.Resampling.BILINEAR))
        image = column.resize((width, height), Image.Resampling.NEAREST)
        brush, glaze = ImageDraw.Draw(image), ImageDraw.Draw(image, "RGBA")
        return cls(image=image, brush=brush, glaze=glaze, chance=chance, palette=palette)

    @property
    def width(self) -> int:
        """In pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """In pixels."""
        return self.image.height

    @property
    def unit(self) -> float:
        """The shorter side, in pixels. Sizes are fractions of it."""
        return float(min(self.image.size))

    @property
    def tall(self) -> float:
        """One unit as a fraction of the height."""
        return self.unit / self.height

    @property
    def wide(self) -> float:
        """One unit as a fraction of the width."""
        return self.unit / self.width

    def between(self, least: float, most: float) -> float:
        """Return a random number from *least* to *most*."""
        return self.chance.uniform(least, most)

    def polygon(self, points: Iterable[Point], colour: Colour) -> None:
        """Fill a polygon."""
        self.brush.polygon([(x * self.width, y * self.height) for x, y in points], fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour, opacity: float = 1.0) -> None:
        """Fill a circle; *radius* is a fraction of the unit."""
        across, down, size = x * self.width, y * self.height, radius * self.unit
        corners = (across - size, down - size, across + size, down + size)
        if opacity < 1:
            self.glaze.ellipse(corners, fill=(*colour, round(255 * opacity)))
        else:
            self.brush.ellipse(corners, fill=colour)

    def box(self, x: float, y: float, x2: float, y2: float, colour: Colour, opacity: float = 1.0) -> None:
        """Fill a rectangle."""
        corners = (x * self.width, y * self.height, x2 * self.width, y2 * self.height)
        if opacity < 1:
            self.glaze.rectangle(corners, fill=(*colour, round(255 * opacity)))
        else:
            self.brush.rectangle(corners, fill=colour)

    def arch(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill the upper half of a circle."""
        across, down, size = x * self.width, y * self.height, radius * self.unit
        corners = (across - size, down - size, across + size, down + size)
        self.brush.pieslice(corners, 180, 360, fill=colour)

    def ridge(self, level: float, swing: float, waves: float) -> Ridge:
        """Return a soft line of about *waves* hills around *level*."""
        parts = [
            (swing / (each + 1), waves * (each + 1) * self.between(0.7, 1.2), self.between(0, math.tau))
            for each in range(3)
        ]
        return lambda x: level + sum(size * math.sin(math.tau * often * x + shift) for size, often, shift in parts)

    def ground(self, ridge: Ridge, colour: Colour) -> None:
        """Fill the picture below *ridge*."""
        steps = max(16, self.width // 24)
        line = [(step / steps, ridge(step / steps)) for step in range(steps + 1)]
        self.polygon([*line, (1, 1), (0, 1)], colour)

    def light(self, x: float, y: float, radius: float) -> None:
        """Draw a sun with its glow. The sun is larger in a tall picture."""
        radius *= min(1.4, math.sqrt(max(1.0, self.height / self.width)))
        for spread, opacity in ((2.3, 0.10), (1.75, 0.14), (1.35, 0.20)):
            self.disc(x, y, radius * spread, self.palette.sun, opacity)
        self.disc(x, y, radius, self.palette.sun)
