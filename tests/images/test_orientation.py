"""The EXIF orientation of reference images: read from any bytes, and noted once."""

import asyncio
import base64
import io
import json
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mcp_client import opened as opened_tools
from PIL import Image

from cometflux import Job, PollPolicy, Session, flux
from cometflux.cli import main
from cometflux.images.orientation import read_orientation, turned_note
from cometflux.sources import read_jobs
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport

pytestmark = pytest.mark.slow

KINDS = ("JPEG", "PNG", "WEBP")


def picture(kind="JPEG", orientation=6, shade=80):
    file = io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x010F] = "a camera"
        exif[0x0112] = orientation
    Image.effect_noise((32, 24), shade).convert("RGB").save(file, kind, exif=exif)
    return file.getvalue()


def block(order=">", kind=3, value=6, count=1, place=8):
    head = b"MM\0*" if order == ">" else b"II*\0"
    entry = struct.pack(f"{order}HHIHH", 0x0112, kind, 1, value, 0)
    return head + struct.pack(f"{order}I", place) + struct.pack(f"{order}H", count) + entry + bytes(4)


def jpeg(exif, before=b""):
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif
    return b"\xff\xd8" + before + segment + picture(orientation=None)[2:]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_the_orientation_is_read(kind, orientation):
    data = picture(kind, orientation)
    assert orientation == Image.open(io.BytesIO(data)).getexif()[0x0112] == read_orientation(data)


@pytest.mark.parametrize("kind", [*KINDS, "GIF"])
def test_an_image_without_an_orientation_is_upright(kind):
    assert 1 == read_orientation(picture(kind, None))


class Counted(bytes):
    """Bytes that count how often parts of them are read."""

    reads = 0

    def __getitem__(self, place):
        self.reads += 1
        return super().__getitem__(place)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_read_after_the_end_of_an_image(kind):
    data = Counted(picture(kind, None))
    read_orientation(data)
    assert data.reads < 40


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        pytest.param(6, jpeg(block("<")), id="little-endian"),
        pytest.param(6, jpeg(block(count=0xFFFF)), id="a count that is too large"),
        pytest.param(6, jpeg(block(), b"\xff\xfe\0\x04ab" + b"\xff" * 9), id="after a comment and filling"),
        pytest.param(1, jpeg(block(value=0)), id="zero"),
        pytest.param(1, jpeg(block(value=9)), id="nine"),
        pytest.param(1, jpeg(block(kind=2)), id="a text"),
        pytest.param(1, jpeg(block(place=0xFFFFFFFF)), id="a directory outside"),
        pytest.param(1, jpeg(b""), id="an empty block"),
        pytest.param(1, b"", id="nothing"),
        pytest.param(1, picture(orientation=None) + jpeg(block())[2:], id="after the pixels"),
    ],
)
def test_odd_blocks(expected, data):
    assert expected == read_orientation(data)


HEADS = (b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\xff\xffWEBP")


@given(st.sampled_from([*HEADS, *map(picture, KINDS)]), st.integers(0, 2000), st.binary(max_size=200))
@example(HEADS[0][:2], 2, b"\xff" * 1_000_000)
@example(HEADS[0][:2], 2, b"\xff\xe1\0\0" * 1_000_000)
@example(HEADS[1], 8, bytes(8_000_000))
@example(HEADS[2], 12, bytes(8_000_000))
@example(HEADS[1], 8, b"\0\x7f\0\0eXIfMM\0*\0\0\0\x08\xff\xff" + bytes(8_000_000))
def test_any_bytes_have_an_orientation(start, place, hostile):
    """Bounded: a file of 8 MiB has at most 4096 parts that are looked at."""
    assert 1 <= read_orientation(start[:place] + hostile + start[place:]) <= 8


# ── the note ─────────────────────────────────────────────────────────────────────────────────────────────────────────

WORDS = "EXIF orientation, which the service may ignore"


def written(image):
    """Return an image as it stands in a row."""
    return image if isinstance(image, str) else str(image)


def as_path(data, folder):
    path = folder / "cat.jpg"
    path.write_bytes(data)
    return path


def as_uri(data, folder):
    return f"data:;base64,{base64.b64encode(data).decode()}"


@pytest.fixture
def polling_at_once(monkeypatch):
    for name in ("floor", "ceiling"):
        monkeypatch.setitem(PollPolicy.__init__.__kwdefaults__, name, 0.02)


@pytest.mark.parametrize("orientation", [6, 1], ids=["turned", "upright"])
@pytest.mark.parametrize("spell", [as_path, as_uri, lambda data, folder: data], ids=["a path", "a data URI", "bytes"])
@pytest.mark.parametrize("kind", KINDS)
async def test_python_is_warned_once_of_an_image_that_many_jobs_share(
    kind, spell, orientation, service, tmp_path, caplog
):
    image = spell(picture(kind, orientation), tmp_path)
    typed = [flux.KontextPro(prompt=f"boat {number}", input_image=image) for number in range(2)]
    raw = Job(model=flux.Flux2Pro.model, input={"prompt": "a boat", "input_images": [image]})
    async with Session(AiohttpTransport(service.key, service.url)) as session:
        assert all([outcome.ok async for outcome in session.generate([*typed, raw])])
    assert (orientation != 1) == sum(WORDS in message for message in caplog.messages)
    assert 3 == len(service.bills)


FACES = {
    "csv": lambda image: ("a.csv", f'prompt,input_image\na,"{image}"\nb,"{image}"\n'),
    "jsonl": lambda image: ("a.jsonl", "\n".join(json.dumps({"prompt": "a", "input_image": image}) for _ in "ab")),
    "yaml": lambda image: ("a.yaml", f'prompt: [a, b]\ninput_image: "{image}"\n'),
    "option": lambda image: ("a.txt", "a\nb\n"),
}


@pytest.mark.parametrize("orientation", [6, 1], ids=["turned", "upright"])
@pytest.mark.parametrize("spell", [as_path, as_uri], ids=["a path", "a data URI"])
@pytest.mark.parametrize("face", FACES)
def test_the_command_notes_a_turned_image_once(
    face, spell, orientation, polling_at_once, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    image = spell(picture(orientation=orientation), tmp_path)
    name, text = FACES[face](written(image))
    Path(name).write_text(text)
    options = ["--input-image", written(image)] if face == "option" else []
    with LocalService.in_thread(latency=0.0, pixels=1024) as service:
        monkeypatch.setenv("COMETFLUX_BASE_URL", service.url)
        monkeypatch.setenv("COMETAPI_KEY", service.key)
        assert 0 == main(["batch", name, "--model", "kontext-pro", "--yes", *options])
        assert 2 == len(service.bills)
    said = " ".join(capsys.readouterr().err.split())
    assert (orientation != 1) == said.count(WORDS)
    assert (orientation != 1) == said.count("note: ")


async def test_the_tool_server_warns_its_operator_once(service, tmp_path, caplog):
    references = [as_uri(picture(), tmp_path)]
    arguments = {"model": "flux-kontext-pro", "reference_images": references}
    async with opened_tools(service, tmp_path / "tools") as client:
        for prompt in ("a boat", "a house"):
            result = await client.call_tool("generate_image", {"prompt": prompt, **arguments})
            assert not result.is_error
    assert 1 == sum(WORDS in message for message in caplog.messages)


async def test_a_script_that_reads_a_file_is_warned_once(service, tmp_path, caplog):
    as_path(picture(), tmp_path)
    (tmp_path / "a.csv").write_text("prompt,input_image\na,cat.jpg\nb,cat.jpg\n")
    jobs = await asyncio.to_thread(read_jobs, tmp_path / "a.csv", model="kontext-pro")
    async with Session(AiohttpTransport(service.key, service.url)) as session:
        assert all([outcome.ok async for outcome in session.generate(jobs)])
    assert 1 == sum(WORDS in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("count", "subject"),
    [
        (1, "0.jpg is turned by its EXIF"),
        (3, "0.jpg, 1.jpg and 2.jpg are turned by their EXIF"),
        (5, "0.jpg, 1.jpg, 2.jpg and 2 more are turned by their EXIF"),
    ],
)
def test_many_turned_images_are_one_note(count, subject):
    assert turned_note([f"{number}.jpg" for number in range(count)]).startswith(subject)
