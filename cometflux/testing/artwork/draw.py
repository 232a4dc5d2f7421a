"""Draws the pictures of the local service: posters with the prompt on them, the same for the same prompt and seed."""

import hashlib
import io
import random

from cometflux.errors import needs_extra

with needs_extra("the local service", "local", "PIL"):
    from PIL import Image

from cometflux.testing.artwork.canvas import Canvas
from cometflux.testing.artwork.lettering import letter
from cometflux.testing.artwork.palettes import PALETTES
from cometflux.testing.artwork.scenes import SCENES

_MOST_FINE = 2_500_000
"""Up to how many pixels a picture is drawn at twice its size, for smooth edges."""


def draw(
    prompt: str,
    *,
    seed: int,
    number: int,
    width: int,
    height: int,
    format: str = "webp",  # noqa: A002 - the service's own word
    quality: int = 80,
    model: str = "",
) -> bytes:
    """Draw the *number*-th picture for *prompt* and return its file.

    The prompt decides the colours; prompt, seed and number decide what is shown.

    Args:
        prompt: what is written on it.
        seed: where chance starts.
        number: which picture of its prediction it is, from 0.
        width: in pixels.
        height: in pixels.
        format: ``webp``, ``jpg`` or ``png``.
        quality: from 0 to 100; without effect on png.
        model: what is written at its foot, beside the seed.
    """
    palette = PALETTES[_number(prompt) % len(PALETTES)]
    start = _number(f"{seed}:{prompt}")
    chance = random.Random(start + number)  # noqa: S311 - chance, not secrecy
    fine = 2 if width * height <= _MOST_FINE else 1
    canvas = Canvas.prepare(width * fine, height * fine, palette, chance)
    # The pictures of one prediction show different scenes.
    SCENES[(start + number) % len(SCENES)](canvas)
    image = canvas.image.reduce(fine) if fine > 1 else canvas.image
    named = model.rpartition("/")[2]
    letter(image, prompt, "  ·  ".join(filter(None, [named, f"seed {seed}", f"no. {number + 1}"])), palette)
    return _encode(image, format, quality)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8])


def _encode(image: Image.Image, kind: str, quality: int) -> bytes:
    file = io.BytesIO()
    match kind:
        case "jpg":
            image.save(file, "JPEG", quality=max(quality, 1))
        case "png":
            image.save(file, "PNG", compress_level=2)
        case _:
            # The fastest method: a service for tests need not save bytes.
            image.save(file, "WEBP", quality=quality, method=1)
    return file.getvalue()
