"""Images are decoded within bounds, and a thumbnail is what a viewer would show."""

import io

import pytest
from PIL import Image

from cometflux.images.decode import MOST_PIXELS, UndecodableError, opened, thumbnail

RED, BLUE = (255, 0, 0), (0, 0, 255)


def data_of(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def halves(left=RED, right=BLUE, size=(40, 20)):
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def grey(mode):
    if mode == "I;16":
        return Image.new(mode, (400, 200), 200 * 256)
    return Image.new("L", (400, 200), 200).convert(mode)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "I;16")),
        *(("JPEG", mode) for mode in ("RGB", "L", "CMYK")),
        *(("WEBP", mode) for mode in ("RGB", "RGBA")),
        *(("GIF", mode) for mode in ("L", "P")),
    ],
)
def test_an_image_of_any_kind_becomes_a_small_one(kind, mode):
    small = thumbnail(data_of(grey(mode), kind), (100, 100))
    assert ("RGB", (100, 50)) == (small.mode, small.size)
    assert all(abs(shade - 200) < 4 for shade in small.getpixel((50, 25)))


def test_a_small_image_stays_as_it_is():
    assert (40, 20) == thumbnail(data_of(halves()), (100, 100)).size


def test_what_is_transparent_is_white():
    assert (255, 255, 255) == thumbnail(data_of(Image.new("RGBA", (9, 9), (0, 0, 0, 0))), (9, 9)).getpixel((4, 4))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_viewers_turn_it(orientation, kind):
    exif = Image.Exif()
    exif[274] = orientation
    stored = halves(size=(80, 40))
    stored.paste((255, 255, 255), (0, 20, 80, 40))
    small = thumbnail(data_of(stored, kind, exif=exif), (60, 30))
    # The corner that has the stored image's first pixel, as the EXIF standard names it, and the size.
    x, y = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]
    width, height = small.size
    assert ((60, 30) if orientation < 5 else (15, 30)) == (width, height)
    red, _, blue = small.getpixel((2 + x * (width - 5), 2 + y * (height - 5)))
    assert red > 180 > 80 > blue


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "its file is not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "its file is not an image"),
        (data_of(halves(), "BMP"), "its file is not an image"),
        (data_of(halves())[:60], "its file is damaged"),
        (data_of(halves(), "JPEG")[:40], "its file is damaged"),
        (data_of(halves(), "WEBP")[:40], "its file is damaged"),
        (data_of(Image.new("1", (MOST_PIXELS // 1000, 1001))), "it has too many pixels: 80000 by 1001"),
        (data_of(Image.new("1", (20_000, 20_000))), "it has too many pixels"),
    ],
    ids=["empty", "a program", "another format", "cut", "a cut JPEG", "a cut WebP", "too large", "a bomb"],
)
def test_what_cannot_be_decoded_is_one_error_that_says_why(data, words):
    with pytest.raises(UndecodableError) as caught:
        thumbnail(data, (50, 50))
    assert words == str(caught.value)


def test_an_error_of_the_caller_within_the_image_is_one_of_the_image():
    with pytest.raises(UndecodableError, match="damaged"), opened(data_of(halves()), (9, 9)):
        raise EOFError
