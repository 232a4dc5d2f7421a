"""Outputs that go into a folder while they come: the same files as from memory, and nothing left of the others."""

import asyncio
import errno
import io
import sys
import tracemalloc
import zlib
from pathlib import Path
from struct import pack

import pytest
from PIL import Image
from socket_server import Peer, http

from cometflux.engine.saver import Saver
from cometflux.engine.savers import SaveOrder
from cometflux.errors import OutputError
from cometflux.pacing.retry import RetryPolicy
from cometflux.predictions import Prediction, Status
from cometflux.provenance.embed import embed
from cometflux.storage import spool as spools
from cometflux.storage.folder import Folder, sweep
from cometflux.transport.aiohttp import AiohttpTransport
from cometflux.transport.client import Client

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there every output is held in memory")

KIB = 1024
RECORD = {"model": "m/x", "input": {"prompt": "a boat"}, "prediction": {"id": "p1"}}
SIZES = pytest.mark.parametrize("size", [1, spools.SMALL, spools.SMALL + 1, 1500 * KIB, 5000 * KIB], ids=str)
LARGE = 3000 * KIB


def picture(kind="PNG", size=0):
    """Make a whole image; it is filled up to at least *size* bytes."""
    file = io.BytesIO()
    Image.effect_noise((32, 24), 80).convert("RGB").save(file, kind)
    # Readers ignore bytes after the end.
    return file.getvalue().ljust(size, b"\xff")


async def spooled(folder, data, step=200 * KIB, record=None):
    """Add *data* in chunks to a spool of *folder*, which embeds *record*."""
    spool = folder.spool(record)
    for place in range(0, len(data), step):
        if spool.add(data[place : place + step]):
            await spool.put_away()
    return spool


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@SIZES
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
async def test_a_spooled_output_makes_the_files_that_one_in_memory_makes(kind, size, tmp_path):
    data = picture(kind, size)
    plain = await Folder(tmp_path / "plain").write("a", data, RECORD)
    place = Folder(tmp_path / "spooled")
    image = await place.write("a", await spooled(place, data), RECORD)
    assert files(tmp_path / "plain") == files(tmp_path / "spooled")
    assert (plain.size, plain.digest, plain.mark) == (image.size, image.digest, image.mark)


@SIZES
@pytest.mark.parametrize("change", ["embeds", "is signed"])
async def test_a_spooled_output_can_be_changed(change, size, tmp_path):
    class Signer:
        def sign(self, data, _model):
            return Signed(data + b"signed")

    class Signed:
        note = {"signed": True}  # noqa: RUF012 - nobody changes it

        def __init__(self, data):
            self.data = data

    data, options = picture("PNG", size), {"embeds": True} if change == "embeds" else {"signer": Signer()}
    plain = await Folder(tmp_path / "plain").write("a", data, RECORD, **options)
    place = Folder(tmp_path / "spooled")
    assert plain.digest == (await place.write("a", await spooled(place, data), RECORD, **options)).digest
    assert files(tmp_path / "plain") == files(tmp_path / "spooled")


@SIZES
async def test_the_name_of_a_spooled_output_may_be_taken(size, tmp_path):
    place, data = Folder(tmp_path), picture(size=size)
    (tmp_path / "a.png").write_bytes(b"other")
    first = await place.write("a", await spooled(place, data), RECORD)
    again = await place.write("a", await spooled(place, data), RECORD)
    assert ("a+1.png", first) == (first.name, again)
    assert {"a.png", "a+1.png", "a+1.json"} == {*files(tmp_path)}


@SIZES
async def test_a_spooled_output_that_a_killed_run_left_is_taken(size, tmp_path):
    place, data = Folder(tmp_path), picture(size=size)
    (tmp_path / "a.png").write_bytes(data)
    assert "a.png" == (await place.write("a", await spooled(place, data), RECORD)).name
    assert {"a.png", "a.json"} == {*files(tmp_path)}


@pytest.mark.parametrize("record", [None, RECORD], ids=["plain", "embedding"])
async def test_a_part_of_a_spooled_output_is_no_image_and_leaves_nothing(record, tmp_path):
    place = Folder(tmp_path)
    for data in (b"x" * LARGE, picture()[:-1] + bytes(LARGE), long_jpeg()[:-2]):
        with pytest.raises(OutputError, match=rf"(is not an image|is cut short) \({len(data)} bytes\)"):
            await place.write("a", await spooled(place, data, record=record), RECORD, embeds=record is not None)
    assert {} == files(tmp_path)


async def test_a_temporary_file_does_not_look_like_an_image_and_closing_removes_it(tmp_path):
    spool = await spooled(Folder(tmp_path), picture(size=LARGE))
    (name,) = files(tmp_path)
    assert name.startswith(".cometflux-")
    await spool.aclose()
    await spool.aclose()
    assert {} == files(tmp_path)


async def test_a_spooled_output_outlives_a_run_that_sweeps_beside_it(tmp_path):
    place, data = Folder(tmp_path), picture(size=LARGE)
    spool = await spooled(place, data)
    assert 1 == sweep(tmp_path)
    await place.write("a", spool, RECORD)
    assert (data, 2) == (files(tmp_path)["a.png"], len(files(tmp_path)))


@pytest.mark.parametrize("record", [None, RECORD], ids=["plain", "embedding"])
async def test_a_file_system_that_maps_no_files_will_do(record, tmp_path, monkeypatch):
    class Unmapped(spools.Spooled):
        def __new__(cls, *_, **__):
            raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(spools, "Spooled", Unmapped)
    place, data, embeds = Folder(tmp_path / "spooled"), picture(size=LARGE), record is not None
    await Folder(tmp_path / "plain").write("a", data, RECORD, embeds=embeds)
    await place.write("a", await spooled(place, data, record=record), RECORD, embeds=embeds)
    assert files(tmp_path / "plain") == files(tmp_path / "spooled")


async def test_a_disk_without_room_is_an_output_error(tmp_path):
    class NoRoom(type(Path())):
        """A path at which no file can be made."""

        def open(self, *_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match=r"could not be written to '.*': No space left on device") as caught:
        await spooled(Folder(NoRoom(tmp_path)), bytes(LARGE))
    assert caught.value.is_disk
    assert {} == files(tmp_path)


@pytest.mark.parametrize("record", [None, RECORD], ids=["plain", "embedding"])
async def test_a_large_output_takes_little_memory(record, tmp_path):
    place, data = Folder(tmp_path), memoryview(picture(size=30 * KIB * KIB))
    chunks = (bytes(data[place : place + 100 * KIB]) for place in range(0, len(data), 100 * KIB))
    tracemalloc.start()
    try:
        spool = place.spool(record)
        for chunk in chunks:
            if spool.add(chunk):
                await spool.put_away()
        image = await place.write("a", spool, RECORD, embeds=record is not None)
        assert tracemalloc.get_traced_memory()[1] < 4 * KIB * KIB
    finally:
        tracemalloc.stop()
    assert (record is not None) == (len(data) < image.size)


# ── with a record embedded ───────────────────────────────────────────────────────────────────────────────────────────


def long_jpeg():
    """Make a JPEG of some megabytes whose pixels are long."""
    file = io.BytesIO()
    Image.effect_noise((1600, 1600), 80).save(file, "JPEG", quality=100)
    return file.getvalue()


def with_chunk(body):
    """Make a large PNG with a chunk behind its pixels."""
    data = picture()
    chunk = pack(">I", len(body) - 4) + body + pack(">I", zlib.crc32(body))
    return (data[:-12] + chunk + data[-12:]).ljust(LARGE, b"\0")


ODD = {
    "signed": with_chunk(b"caBXjumb"),
    "has XMP": with_chunk(b"iTXtXML:com.adobe.xmp\0\0\0\0\0<x/>"),
    "has a part before its header": picture()[:8] + b"\0\0\0\0CgBI\0\0\0\0" + picture(size=LARGE)[8:],
    "is a GIF": picture("GIF", LARGE),
    "is of more than 32 MiB": picture(size=33 * KIB * KIB),
    "announces a size of its own": picture("WEBP", LARGE)[:4] + pack("<I", LARGE + 7) + picture("WEBP", LARGE)[8:],
}


@pytest.mark.slow
@SIZES
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("step", [200, 30 * KIB, 2000 * KIB])
async def test_a_record_is_embedded_while_the_output_comes_as_in_memory(kind, size, step, tmp_path):
    data = picture(kind, size)
    plain = await Folder(tmp_path / "plain").write("a", data, RECORD, embeds=True)
    place = Folder(tmp_path / "spooled")
    image = await place.write("a", await spooled(place, data, step, RECORD), RECORD, embeds=True)
    assert files(tmp_path / "plain") == files(tmp_path / "spooled")
    assert (plain.size, plain.digest, plain.mark) == (image.size, image.digest, image.mark)


@pytest.mark.slow
@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
async def test_an_output_that_takes_no_record_is_saved_as_it_came(data, tmp_path):
    outcomes = []
    for name, record in (("plain", None), ("spooled", RECORD)):
        place = Folder(tmp_path / name)
        try:
            await place.write("a", await spooled(place, data, record=record), RECORD, embeds=True)
            outcomes.append(sorted(files(tmp_path / name).items()))
            assert data in files(tmp_path / name).values()
        except OutputError as error:
            outcomes.append(error.message)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("left", ["plain", "embedded", "with its own record"])
async def test_what_an_earlier_run_left_is_taken_though_the_record_is_in_the_output_already(left, tmp_path):
    place, data = Folder(tmp_path), picture(size=LARGE)
    (tmp_path / "a.png").write_bytes(embed(data, RECORD).data if left == "embedded" else data)
    if left == "with its own record":
        await place.write("a", data, RECORD)
    image = await place.write("a", await spooled(place, data, record=RECORD), RECORD, embeds=True)
    assert (("a.png", {"a.png", "a.json"}), left == "embedded") == (
        (image.name, {*files(tmp_path)}),
        image.size > LARGE,
    )


async def test_a_record_is_embedded_beside_a_run_that_sweeps(tmp_path):
    place, data = Folder(tmp_path), picture(size=LARGE)
    spool = await spooled(place, data, record=RECORD)
    assert 1 == sweep(tmp_path)
    await place.write("a", spool, RECORD, embeds=True)
    assert (embed(data, RECORD).data, 2) == (files(tmp_path)["a.png"], len(files(tmp_path)))


# ── fetched by the saver ─────────────────────────────────────────────────────────────────────────────────────────────


async def save(peer, folder, *, tries=2, transport=AiohttpTransport, embeds=False):
    """Save the output of *peer*."""
    sender = transport("sk-key", peer.url)
    prediction = Prediction(id="p1", status=Status.SUCCEEDED, output=(f"{peer.url}/a.png",))
    order = SaveOrder(prediction=prediction, place=Folder(folder), stem="a", record=RECORD)
    try:
        return await Saver(Client(sender), RetryPolicy(tries=tries), embeds=embeds).save(order)
    finally:
        await sender.aclose()


async def test_a_stream_that_breaks_is_fetched_again_and_leaves_nothing(tmp_path):
    data = picture(size=LARGE)
    answers = iter([None, http(200, data[:-1], length=LARGE), http(200, data)])

    async def respond(_, writer):
        if (answer := next(answers)) is not None:
            writer.write(answer)
            await writer.drain()

    async with Peer(respond) as peer:
        saved = await save(peer, tmp_path, tries=1)
        assert (True, {}) == (saved.error.is_transient, files(tmp_path))
        assert (await save(peer, tmp_path)).error is None
    assert (data, 2) == (files(tmp_path)["a.png"], len(files(tmp_path)))


@pytest.mark.parametrize("embeds", [False, True], ids=["plain", "embedding"])
async def test_a_save_that_is_cancelled_leaves_nothing(embeds, tmp_path):
    has_stopped = asyncio.Event()

    async def respond(_, writer):
        writer.write(http(200, picture(size=LARGE), length=LARGE + 1))
        await writer.drain()
        has_stopped.set()
        await asyncio.sleep(1e6)

    async with Peer(respond) as peer:
        saving = asyncio.ensure_future(save(peer, tmp_path, embeds=embeds))
        await has_stopped.wait()
        await asyncio.sleep(1)
        assert 1 == len(files(tmp_path))
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
    assert {} == files(tmp_path)


async def test_a_stream_that_breaks_is_embedded_in_anew(tmp_path):
    data = picture(size=LARGE)
    answers = iter([http(200, data[:-1], length=LARGE), http(200, data)])
    async with Peer(lambda _: next(answers)) as peer:
        saved = await save(peer, tmp_path, embeds=True)
    assert (None, embed(data, RECORD).data) == (saved.error, files(tmp_path)["a.png"])


async def test_a_compressed_output_is_saved_unpacked(tmp_path):
    import gzip

    data = picture(size=LARGE)
    async with Peer(lambda _: http(200, gzip.compress(data), "Content-Encoding: gzip")) as peer:
        await save(peer, tmp_path)
    assert data == files(tmp_path)["a.png"]


async def test_a_transport_that_changes_outputs_has_its_way(tmp_path):
    class Changing(AiohttpTransport):
        async def download(self, url):
            return await super().download(url) + b"changed"

    data = picture(size=LARGE)
    async with Peer(lambda _: http(200, data)) as peer:
        await save(peer, tmp_path, transport=Changing)
    assert data + b"changed" == files(tmp_path)["a.png"]
