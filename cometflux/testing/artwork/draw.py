"""Draw the pictures of the local service: posters with the prompt, equal for the same prompt and seed."""

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
"""The maximum number of pixels of a picture that is drawn at twice its size, for smooth edges."""


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
    """Draw picture *number* of a prediction and return its file.

    The prompt decides the colours. The prompt, the seed and the number decide the scene.

    Args:
        prompt: the text on the picture.
        seed: the seed of the random shapes.
        number: the number of the picture within its prediction, from 0.
        width: in pixels.
        height: in pixels.
        format: ``webp``, ``jpg`` or ``png``.
        quality: from 0 to 100; has no effect on png.
        model: the model, whose name is written at the bottom with the seed.
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
            # The fastest method, because a service for tests does not have to save bytes.
            image.save(file, "WEBP", quality=quality, method=1)
    return file.getvalue()
