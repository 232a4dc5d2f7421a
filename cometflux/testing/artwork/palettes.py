"""The colours of the pictures."""

import attrs

Colour = tuple[int, int, int]


def _colour(code: str) -> Colour:
    red, green, blue = bytes.fromhex(code)
    return red, green, blue


def _colours(codes: str) -> tuple[Colour, ...]:
    return tuple(map(_colour, codes.split()))


@attrs.frozen
class Palette:
    """Colours that fit together. The ink is legible on the upper half of the sky, the paper on the near colour."""

    sky: tuple[Colour, ...] = attrs.field(converter=_colours)
    """From the top to the horizon."""
    sun: Colour = attrs.field(converter=_colour)
    far: Colour = attrs.field(converter=_colour)
    near: Colour = attrs.field(converter=_colour)
    accent: Colour = attrs.field(converter=_colour)
    ink: Colour = attrs.field(converter=_colour)
    paper: Colour = attrs.field(converter=_colour)


PALETTES = (
    # dawn, lagoon, desert, mist
    Palette("1f2a5a 3d3b78 6a4c93 f08a7b ffd8a8", "fff1cf", "b56b8a", "1d1b3a", "ff6b6b", "fff6e9", "fff6e9"),
    Palette("0b3c5d 14607a 2a7f92 8fd3c8 f4f1de", "fffbe6", "5fb0a8", "0b2f3a", "f2a65a", "f7fff7", "f7fff7"),
    Palette("f9e8c9 fbdcb4 f9cba0 f4a373 ef8354", "c8553d", "e0905a", "4a2c2a", "2f6690", "3b2320", "fdf0dc"),
    Palette("e6efe9 d3e3da bdd5c8 a3c4b3 8fb8a5", "fff8e1", "86ab97", "16302b", "d98e5f", "16302b", "eef5f0"),
    # night, candy, ember, arctic
    Palette("050a1f 0c1530 14213d 283e6b 6b6fb0", "f5f3e7", "46568c", "070b1c", "f2c14e", "f5f3e7", "f5f3e7"),
    Palette("ffe5ec ffd3de ffc2d1 d9bff0 b8c0ff", "ff7096", "b9a3ee", "4a2f78", "ffd166", "4a2360", "fff0f5"),
    Palette("2b0f1f 4a1530 6d1a36 d1495b edae49", "ffe8a3", "a63446", "1c0a14", "f79256", "fff0d9", "fff0d9"),
    Palette("eef7fb d6ebf6 bcdff0 9dcae4 7fb7d8", "ffffff", "8dbcd8", "1b4965", "ef7b45", "12324a", "f2f9fd"),
    # citrus, violet, meadow
    Palette("fff3b0 fde293 f9cf73 f1b34f e8973a", "b23a2e", "d08a45", "335c67", "9e2a2b", "3d2b1f", "fff6cf"),
    Palette("10002b 240046 3c096c 7b2cbf e0aaff", "fdd9ff", "9d4edd", "14002e", "4cc9f0", "f8edff", "f8edff"),
    Palette("cfeaf7 c0e4ee b4dfe0 d2e8c0 f3f3c4", "fff7b2", "8fc18a", "1f4d3a", "e4572e", "163a3a", "f4fbe9"),
    # coral, plum, pine, dusk, clay
    Palette("fde8e0 fcd5c8 fabfae f28f7e e56b6f", "fff4e6", "d98880", "355070", "eaac8b", "40242f", "fff1e6"),
    Palette("3d1f47 4f2757 643368 b5567a f2a07b", "ffe5b4", "8a4a72", "220f2b", "f6bd60", "fff2e2", "fff2e2"),
    Palette("06262d 0a3840 104b52 2f8f83 a9dbb0", "fdf6c9", "2d7f77", "031a1f", "ff9f5a", "effaf0", "effaf0"),
    Palette("1a1d3a 232a52 2d376a 5b6bb0 f4b6c2", "ffe3e8", "5a66a6", "101226", "ff7f7f", "f3f1ff", "f3f1ff"),
    Palette("243b4a 34505f 4a6572 c38e70 efc7a0", "ffe6c7", "b07a5c", "2a1d1a", "e76f51", "fdf3e7", "fdf3e7"),
)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Blend two colours. A *share* of 0 gives the first, 1 the other."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
