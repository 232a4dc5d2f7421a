"""Images that a person should look at: blank, black, damaged, and nearly equal ones."""

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance

from cometflux.images.looks import NEAR, Flaw, Look, find_near, look_at


def drawn(seed=1, size=(400, 300)):
    chance = random.Random(seed)
    image = Image.new("RGB", size, (200, 220, 240))
    draw = ImageDraw.Draw(image)
    for _ in range(30):
        x, y = chance.randrange(size[0]), chance.randrange(size[1])
        draw.ellipse((x - 40, y - 40, x + 40, y + 40), tuple(chance.randbytes(3)))
    return image


def data_of(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize(
    ("shade", "flaw"),
    [((0, 0, 0), Flaw.BLACK), ((9, 12, 10), Flaw.BLACK), ((255, 255, 255), Flaw.BLANK), ((90, 20, 200), Flaw.BLANK)],
    ids=str,
)
def test_an_image_of_one_colour_is_black_or_blank(kind, shade, flaw):
    image = Image.new("RGB", (640, 360), shade)
    assert flaw is look_at(data_of(image, kind)).flaw


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_picture_has_no_flaw(kind, mode):
    image = drawn().convert(mode)
    assert look_at(data_of(image.convert("RGB") if kind == "JPEG" else image, kind)).flaw is None


def test_a_light_picture_of_16_bits_has_no_flaw():
    shades = Image.linear_gradient("L").convert("I").point(lambda shade: 30_000 + 100 * shade)
    assert look_at(data_of(shades.convert("I;16"))).flaw is None


def test_a_dark_picture_with_a_light_in_it_is_not_black():
    image = Image.new("RGB", (800, 800))
    ImageDraw.Draw(image).ellipse((700, 700, 730, 730), (255, 240, 200))
    assert look_at(data_of(image)).flaw is None


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_counts_as_it_is_stored(mode):
    assert Flaw.BLACK is look_at(data_of(Image.new(mode, (90, 90)))).flaw


@pytest.mark.parametrize(
    "data",
    [b"", b"no image", data_of(drawn())[:800], data_of(drawn(), "JPEG")[:40]],
    ids=["empty", "text", "cut", "head"],
)
def test_an_image_that_cannot_be_decoded_is_damaged(data):
    assert Look(flaw=Flaw.DAMAGED, hash=0) == look_at(data)


def test_an_image_of_too_many_pixels_is_not_decoded():
    data = data_of(Image.new("1", (9_000, 9_000)))
    assert Flaw.DAMAGED is look_at(data).flaw


# ── nearly equal ─────────────────────────────────────────────────────────────────────────────────────────────────────


def looks(*images):
    return [(str(number), look_at(data_of(image))) for number, image in enumerate(images)]


def test_another_size_quality_or_brightness_is_nearly_equal():
    image = drawn()
    worse = Image.open(io.BytesIO(data_of(image, "JPEG", quality=30)))
    brighter = ImageEnhance.Brightness(image).enhance(1.1)
    assert {"1": "0", "2": "0", "3": "0"} == find_near(looks(image, image.resize((200, 150)), worse, brighter))


@pytest.mark.slow
def test_other_pictures_are_not_nearly_equal():
    assert {} == find_near(looks(*map(drawn, range(60))))


def test_flawed_pictures_are_not_called_equal():
    assert {} == find_near(looks(*[Image.new("RGB", (50, 50), (shade,) * 3) for shade in (0, 0, 255, 255)]))


@pytest.mark.slow
@given(
    st.integers(0, 2**64 - 1),
    st.sets(st.integers(0, 63), max_size=9),
)
def test_at_most_four_different_bits_are_nearly_equal(code, places):
    other = code ^ sum(1 << place for place in places)
    near = find_near([("a", Look(flaw=None, hash=code)), ("b", Look(flaw=None, hash=other))])
    assert ({"b": "a"} if len(places) <= NEAR else {}) == near
