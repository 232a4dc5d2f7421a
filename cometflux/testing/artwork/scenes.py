"""The eight scenes of the pictures, each with random shapes in the colours of a palette.

All leave the upper part of the sky free for the prompt.
"""

import math
from collections.abc import Callable

from cometflux.testing.artwork.canvas import Canvas
from cometflux.testing.artwork.palettes import mix


def hills(canvas: Canvas) -> None:
    """Draw five rows of hills under a sun."""
    canvas.light(canvas.between(0.55, 0.85), canvas.between(0.5, 0.58), canvas.between(0.09, 0.15))
    _rows(canvas, 5, 0.62)


def balloons(canvas: Canvas) -> None:
    """Draw balloons over hills."""
    _rows(canvas, 4, 0.74)
    across = canvas.between(0.58, 0.8)
    _balloon(canvas, across, 0.53, 0.115)
    _balloon(canvas, across - canvas.between(0.28, 0.4), canvas.between(0.6, 0.68), 0.06)
    _balloon(canvas, min(0.94, across + canvas.between(0.16, 0.24)), canvas.between(0.64, 0.72), 0.04)


def peaks(canvas: Canvas) -> None:
    """Draw snowy mountains with woods in the foreground."""
    canvas.light(canvas.between(0.5, 0.85), 0.53, canvas.between(0.08, 0.12))
    colours = canvas.palette
    count = max(4, round(5 / canvas.wide))
    for each in canvas.chance.sample(range(count), count):
        middle = (each + canvas.between(0.2, 0.8)) / count
        depth = canvas.chance.random()
        _mountain(canvas, middle, 0.62 - 0.17 * depth * canvas.tall, depth)
    canvas.ground(canvas.ridge(0.82, 0.02, 1.5 / canvas.wide), mix(colours.far, colours.near, 0.75))
    _woods(canvas, 0.88, 0.07, colours.near)


def sea(canvas: Canvas) -> None:
    """Draw a boat and a sunset at sea."""
    colours, horizon, across = canvas.palette, 0.64, canvas.between(0.55, 0.75)
    canvas.light(across, horizon - 0.02, canvas.between(0.14, 0.19))
    deep = mix(colours.far, colours.near, 0.35)
    bands = 24
    for band in range(bands):
        top = horizon + (1 - horizon) * band / bands
        canvas.box(0, top, 1, top + (1 - horizon) / bands, mix(deep, colours.near, band / bands))
    for row in range(11):
        y = horizon + 0.012 + 0.028 * row
        half = canvas.between(0.05, 0.16) * (1 - row / 14) * canvas.wide
        shift = canvas.between(-0.03, 0.03) * canvas.wide
        canvas.box(across + shift - half, y, across + shift + half, y + 0.009, colours.sun, 0.75 - row * 0.05)
    _boat(canvas, across - canvas.between(0.22, 0.34), canvas.between(0.73, 0.77), canvas.between(0.12, 0.16))
    canvas.ground(canvas.ridge(0.93, 0.008, 3 / canvas.wide), colours.near)


def forest(canvas: Canvas) -> None:
    """Draw four rows of firs, the far ones in haze."""
    canvas.light(canvas.between(0.45, 0.8), 0.55, canvas.between(0.1, 0.15))
    for row in range(4):
        depth = row / 3
        colour = mix(canvas.palette.far, canvas.palette.near, depth)
        _woods(canvas, 0.68 + 0.085 * row, 0.07 + 0.06 * depth, colour)
    canvas.box(0, 0.925, 1, 1, canvas.palette.near)


def skyline(canvas: Canvas) -> None:
    """Draw a town in three rows, with lit windows."""
    colours = canvas.palette
    canvas.light(canvas.between(0.5, 0.85), 0.55, canvas.between(0.13, 0.2))
    for row in range(3):
        colour = mix(colours.far, colours.near, row / 2)
        x = -canvas.between(0, 0.05)
        while x < 1:
            wide = canvas.between(0.05, 0.1) * canvas.wide
            top = canvas.between(0.52, 0.7) + 0.09 * row
            canvas.box(x, top, x + wide, 1, colour)
            if canvas.chance.random() < 0.25:
                spire = x + wide / 2
                canvas.polygon([(x, top), (spire, top - 0.05), (x + wide, top)], colour)
            if row:
                _windows(canvas, x, top, wide)
            x += wide * canvas.between(0.98, 1.25)
    canvas.box(0, 0.925, 1, 1, colours.near)


def arches(canvas: Canvas) -> None:
    """Draw overlapping rainbows, as if cut from paper."""
    colours = canvas.palette
    canvas.light(canvas.between(0.45, 0.65), 0.53, canvas.between(0.07, 0.1))
    rings = (colours.near, colours.accent, colours.sun, colours.far)
    count = max(3, round(3 / canvas.wide))
    rows = max(1, round(1.4 / canvas.tall))
    for row in range(rows):
        foot = 0.92 - 0.17 * (rows - 1 - row)
        for each in canvas.chance.sample(range(count + 1), count + 1):
            x = (each + canvas.between(-0.2, 0.2)) / count
            size, turn = canvas.between(0.2, 0.36), canvas.chance.randrange(4)
            for ring in range(6):
                canvas.arch(x, foot, size * (1 - ring / 6), rings[(ring + turn) % 4])
        canvas.box(0, foot, 1, 1, colours.near)


def tiles(canvas: Canvas) -> None:
    """Draw a floor of random quarter circles."""
    colours = canvas.palette
    shades = (colours.near, colours.far, colours.accent, colours.sun, mix(colours.far, colours.near, 0.5))
    rows = 3
    high = 0.42 / rows
    across = max(3, round(canvas.width / (high * canvas.height)))
    for row in range(rows):
        for column in range(across):
            _tile(canvas, column / across, 0.5 + row * high, 1 / across, high, canvas.chance.sample(shades, 3))
    canvas.box(0, 0.92, 1, 1, colours.near)


SCENES: tuple[Callable[[Canvas], None], ...] = (hills, sea, peaks, skyline, balloons, forest, arches, tiles)


def _rows(canvas: Canvas, count: int, first: float) -> None:
    for row in range(count):
        depth = row / (count - 1)
        ridge = canvas.ridge(first + (0.92 - first) * depth, 0.045 * (1 - 0.6 * depth), canvas.between(0.6, 1.3))
        canvas.ground(ridge, mix(canvas.palette.far, canvas.palette.near, depth**0.8))


def _balloon(canvas: Canvas, x: float, y: float, size: float) -> None:
    colours, wide, tall = canvas.palette, canvas.wide, canvas.tall
    neck = y + 1.35 * size * tall
    for skin, width in ((colours.accent, 1.0), (colours.paper, 0.62), (colours.near, 0.26)):
        half = size * width * wide
        steps = [math.pi * (step / 24 - 0.02) for step in range(26)]
        crown = [(x - half * math.cos(turn), y - size * tall * math.sin(turn)) for turn in steps]
        canvas.polygon([*crown, (x + half * 0.18, neck), (x - half * 0.18, neck)], skin)
    basket = size * 0.16
    canvas.box(x - basket * wide, neck + basket * tall, x + basket * wide, neck + 2.6 * basket * tall, colours.near)


def _mountain(canvas: Canvas, x: float, top: float, depth: float) -> None:
    colours = canvas.palette
    half, bottom = canvas.between(0.26, 0.4) * canvas.wide, 0.9
    foot = x + canvas.between(-0.08, 0.08) * canvas.wide
    lit = mix(colours.far, colours.near, 0.15 + 0.3 * depth)
    canvas.polygon([(x, top), (x - half, bottom), (x + half, bottom)], mix(lit, colours.near, 0.4))
    canvas.polygon([(x, top), (x - half, bottom), (foot, bottom)], lit)
    snow = 0.28
    left, right = (x - half * snow, top + (bottom - top) * snow), (x + half * snow, top + (bottom - top) * snow)
    middle = (left[0] + right[0]) / 2, left[1] - 0.03
    teeth = [(x - half * snow * 0.45, left[1] - 0.035), (middle[0], left[1] + 0.012), (x + half * 0.13, middle[1])]
    canvas.polygon([(x, top), left, *teeth, right], colours.paper)
    canvas.polygon([(x, top), teeth[1], teeth[2], right], mix(colours.paper, lit, 0.35))


def _woods(canvas: Canvas, level: float, size: float, colour: tuple[int, int, int]) -> None:
    ridge = canvas.ridge(level, 0.02, canvas.between(0.7, 1.4) / canvas.wide)
    canvas.ground(ridge, colour)
    x = -0.02
    while x < 1.02:
        tall = size * canvas.between(0.6, 1.5)
        half, foot = tall * 0.26 * canvas.wide, ridge(x) + 0.01
        for share in (0.0, 0.3, 0.55):
            peak = foot - tall * canvas.tall * (1 - share * 0.55)
            brim = foot - tall * canvas.tall * (0.62 - share * 0.95)
            wide = half * (0.55 + share * 0.8)
            canvas.polygon([(x, peak), (x - wide, min(brim, foot)), (x + wide, min(brim, foot))], colour)
        x += half * canvas.between(0.9, 2.6)


def _boat(canvas: Canvas, x: float, y: float, size: float) -> None:
    colours, wide, tall = canvas.palette, size * canvas.wide, size * canvas.tall
    hull = [(x - 0.55 * wide, y), (x + 0.6 * wide, y), (x + 0.36 * wide, y + 0.2 * tall)]
    canvas.polygon([*hull, (x - 0.36 * wide, y + 0.2 * tall)], colours.near)
    canvas.polygon([(x, y - 1.25 * tall), (x, y - 0.08 * tall), (x + 0.52 * wide, y - 0.08 * tall)], colours.paper)
    canvas.polygon(
        [(x - 0.05 * wide, y - 1.0 * tall), (x - 0.05 * wide, y - 0.08 * tall), (x - 0.44 * wide, y - 0.08 * tall)],
        colours.accent,
    )


def _windows(canvas: Canvas, x: float, top: float, wide: float) -> None:
    across, down = 3, 0.03
    cell = wide / (across + 1)
    for row in range(int((0.9 - top) / down)):
        for column in range(across):
            if canvas.chance.random() < 0.45:
                left, high = x + cell * (column + 0.7), top + down * (row + 0.6)
                canvas.box(left, high, left + cell * 0.55, high + down * 0.45, canvas.palette.sun, 0.85)


def _tile(canvas: Canvas, x: float, y: float, wide: float, high: float, shades: list[tuple[int, int, int]]) -> None:
    ground, one, other = shades
    canvas.box(x, y, x + wide, y + high, ground)
    corner = canvas.chance.randrange(4)
    left, upper = x + wide * (corner in (1, 2)), y + high * (corner in (2, 3))
    # The centre of the circle is a corner of the tile, and the quarter circle lies inside the tile.
    start = (0, 90, 180, 270)[corner]
    for share, shade in ((1.0, one), (0.5, other)):
        steps = [math.radians(start + 90 * step / 24) for step in range(25)]
        rim = [(left + share * wide * math.cos(turn), upper + share * high * math.sin(turn)) for turn in steps]
        canvas.polygon([(left, upper), *rim], shade)
