import hashlib
import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from cometflux.images.formats import ImageFile, is_whole, media_type
from cometflux.images.summaries import describe_input
from cometflux.testing.artwork.draw import draw


def noise(size=(24, 16), mode="RGB"):
    """Make a picture that does not compress away."""
    return Image.effect_noise(size, 80).convert(mode)


def encoded(kind, picture=None, **options):
    file = io.BytesIO()
    (noise() if picture is None else picture).save(file, kind, **options)
    return file.getvalue()


def with_a_thumbnail(thumbnail, jpeg):
    """Put a whole file into the head of a JPEG, as cameras do."""
    note = b"Exif\0\0" + thumbnail
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + jpeg[2:]


def png_with_text(text):
    notes = PngImagePlugin.PngInfo()
    notes.add(b"prVt", text)
    return encoded("PNG", pnginfo=notes)


def in_pieces(png):
    """Spread the pixels of a PNG over many chunks, the last of them empty."""
    start = png.index(b"IDAT") - 4
    size = int.from_bytes(png[start : start + 4])
    pixels = png[start + 8 : start + 8 + size]
    parts = [*(pixels[n : n + 100] for n in range(0, size, 100)), b""]
    chunks = [
        struct.pack(">I", len(part)) + b"IDAT" + part + struct.pack(">I", zlib.crc32(b"IDAT" + part)) for part in parts
    ]
    return png[:start] + b"".join(chunks) + png[start + 12 + size :]


SMALL_PNG = encoded("PNG", noise((2, 2)))
SMALL_JPEG = encoded("JPEG", noise((8, 8)))
MOVING = {"save_all": True, "append_images": [noise(), noise()], "duration": 100}
WHOLE = {
    "png": encoded("PNG"),
    "png with a palette": encoded("PNG", noise(mode="P")),
    "png in pieces": in_pieces(encoded("PNG")),
    "png that moves": encoded("PNG", **MOVING),
    "png that holds a png": png_with_text(SMALL_PNG),
    "png as the service draws it": draw("a boat", seed=1, number=0, width=32, height=32, format="png"),
    "jpeg": encoded("JPEG"),
    "jpeg in grey": encoded("JPEG", noise(mode="L")),
    "progressive jpeg": encoded("JPEG", progressive=True),
    "jpeg with restarts": encoded("JPEG", restart_marker_blocks=1),
    "jpeg with the end in its comment": encoded("JPEG", comment=b"\xff\xd9" * 20),
    "jpeg with a thumbnail": with_a_thumbnail(SMALL_JPEG, encoded("JPEG")),
    "progressive jpeg with a thumbnail": with_a_thumbnail(SMALL_JPEG, encoded("JPEG", progressive=True)),
    "jpeg with filled markers": SMALL_JPEG[:2] + b"\xff\xff\xff" + SMALL_JPEG[2:-2] + b"\xff\xff" + SMALL_JPEG[-2:],
    "webp": encoded("WEBP"),
    "lossless webp": encoded("WEBP", lossless=True),
    "webp that moves": encoded("WEBP", **MOVING),
    "webp with metadata": encoded("WEBP", exif=b"Exif\0\0" + SMALL_JPEG, xmp=b"<x/>"),
    "gif": encoded("GIF"),
    "gif that moves": encoded("GIF", **MOVING),
    "gif with the end in its comment": encoded("GIF", comment=b";\0;" * 100),
    "gif of one colour": encoded("GIF", Image.new("L", (24, 16))),
}
every_image = pytest.mark.parametrize("data", WHOLE.values(), ids=list(WHOLE))


@every_image
def test_an_image_is_whole(data):
    Image.open(io.BytesIO(data)).load()
    assert is_whole(data)


@pytest.mark.slow
@every_image
def test_an_image_cut_at_any_byte_is_not_whole(data):
    assert [] == [length for length in range(len(data)) if is_whole(data[:length])]


@pytest.mark.slow
@every_image
def test_an_image_cut_and_filled_up_is_not_whole(data):
    """As on a disk that allocated the file first. A WebP has its size only at its start."""
    if media_type(data) == "image/webp":
        data = data[:4] + bytes(4) + data[8:]
        assert not is_whole(data)
    assert [] == [n for n in range(0, len(data) - 12, 7) if is_whole(data[:n] + b"\0" * (len(data) - n))]


@pytest.mark.slow
@every_image
@pytest.mark.parametrize("behind", [b"\0", b"\0" * 5000, b"\xff\xd9", b"; IEND \xff\xd8\xff", SMALL_PNG])
def test_bytes_after_the_end_do_not_matter(data, behind):
    assert is_whole(data + behind)


@pytest.mark.parametrize("size", [0, 1, 2**32 - 1], ids=["none", "too little", "too much"])
def test_a_webp_with_a_wrong_size_is_not_whole(size):
    data = WHOLE["webp"]
    assert not is_whole(data[:4] + struct.pack("<I", size) + data[8:])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(SMALL_PNG[:33] + SMALL_PNG[-12:], id="png"),
        pytest.param(b"\xff\xd8\xff\xd9", id="jpeg"),
        pytest.param(b"\xff\xd8\xff\xe0\0\2\xff\xd9", id="jpeg with a segment"),
        pytest.param(b"RIFF\4\0\0\0WEBP", id="webp"),
        pytest.param(b"RIFF\x0c\0\0\0WEBPEXIF\0\0\0\0", id="webp with metadata only"),
        pytest.param(b"GIF89a\1\0\1\0\0\0\0;", id="gif"),
        *(pytest.param(data, id=repr(data)) for data in (b"", b"a text", b"<svg/>", b"GIF87a", b"RIFF\0\0\0\0WAVE")),
    ],
)
def test_an_image_without_pixels_is_not_whole(data):
    assert not is_whole(data)


HEADS = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x40\0\0\0WEBP", b"GIF89a", b""]


@pytest.mark.slow
@given(st.sampled_from(HEADS), st.binary(max_size=200))
def test_any_bytes_get_an_answer(head, data):
    assert is_whole(head + data) in (True, False)


def test_a_large_image_takes_no_time():
    pixels = b"\xff\0\xd9;" * 2_000_000
    head, tail = SMALL_JPEG[:-2], SMALL_JPEG[-2:]
    assert is_whole(head + pixels + tail)
    assert not is_whole(head + pixels)


def test_a_file_is_known_by_its_size_and_digest():
    digest = hashlib.sha256(SMALL_PNG).hexdigest()
    expected = ImageFile(path=Path("a.png"), size=len(SMALL_PNG), digest=digest)
    assert expected == ImageFile.of(Path("a.png"), SMALL_PNG)


def test_an_image_in_a_mapping_is_described_as_well():
    uri = "data:image/gif;base64,R0lGODlh"
    digest = {"type": "image/gif", "bytes": 6, "sha256": hashlib.sha256(b"GIF89a").hexdigest()}
    assert {"a": {"b": [digest], "c": 1}} == describe_input({"a": {"b": [uri], "c": 1}})
