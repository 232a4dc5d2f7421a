"""Images of noise: real ones whose bytes do not compress away."""

import base64
import functools
import io
import random

from PIL import Image


def picture(kind="PNG", size=(32, 24)):
    """Make an image, a different one each time."""
    file = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(file, kind)
    return file.getvalue()


@functools.cache
def still(kind="PNG", mode="RGB", size=(33, 21), **options):
    """Make an image in a mode of Pillow, the same one each time; *options* are those of its format."""
    file = io.BytesIO()
    noise = Image.frombytes("L", size, random.Random(7).randbytes(size[0] * size[1]))
    image = Image.merge("RGBA", [noise.rotate(45 * n) for n in range(4)]) if mode == "RGBA" else noise.convert(mode)
    image.save(file, kind, **options)
    return file.getvalue()


def uri_of(data, media="image/png"):
    return f"data:{media};base64,{base64.b64encode(data).decode()}"
