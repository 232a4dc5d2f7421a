"""A record goes into an image and comes out again, and nothing else of the image changes."""

import functools
import io
import json
import shutil
import struct
import subprocess
import tracemalloc
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from noise_images import still
from PIL import Image, ImageSequence
from PIL.PngImagePlugin import PngInfo

from cometflux.images import formats
from cometflux.provenance import embed as embedding
from cometflux.provenance import xmp
from cometflux.provenance.embed import Embedder, Mark, extract, is_same_picture, mark_of
from cometflux.provenance.portable import portable_record

PROMPTS = {
    "plain": "a boat",
    "nul": "a\0boat",
    "right to left": "סירה \u202e אדומה",
    "emoji": "⛵ 👩‍👩‍👧 \U0001f9ff",
    "lines": "a\nboat\r\n\u2028of\x85paper",
    "quotes": '"]}\\u0000 </script> %s {x}',
    "empty": "",
}
MODES = {
    "PNG": ["1", "L", "LA", "I;16", "P", "RGB", "RGBA"],
    "JPEG": ["L", "RGB", "CMYK"],
    "WEBP": ["RGB", "RGBA"],
}
EVERY_KIND = [(kind, mode) for kind, modes in MODES.items() for mode in modes]


def record(prompt="a boat", **values):
    prediction = {"id": "p1", "status": "succeeded", "metrics": {"predict_time": 0.5}, "logs": "Using seed: 7\n"}
    return {"key": "a", "index": 3, "model": "m/x", "input": {"prompt": prompt, **values}, "prediction": prediction}


@functools.cache
def moving(kind, mode="RGBA"):
    """An animation whose frames are smaller than the whole."""
    frames = [Image.new(mode, (40, 30), (9, 9, 9, 0)[: len(mode)]) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.paste((200, 10 * number, 30, 128)[: len(mode)], (5 * number, 4, 5 * number + 6, 9))
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=[40, 50, 60], lossless=True)
    return file.getvalue()


def decoded(data):
    """The decoded content of a file, without the embedded record."""
    with Image.open(io.BytesIO(data)) as image:
        frames = [
            (frame.mode, frame.size, frame.tobytes(), frame.getpalette()) for frame in ImageSequence.Iterator(image)
        ]
        kept = ("icc_profile", "transparency", "duration", "loop", "background", "gamma", "jfif_version")
        return frames, {name: image.info[name] for name in kept if name in image.info}


def embed(data, told):
    """Embed a record in an image, after a check that it is embedded the same way while the bytes come."""
    whole = embedding.embed(data, told)
    for first, step in ((len(data), 1), (50, 7000), (len(data) // 2, max(len(data) - 9, 1)), (7, 50_000)):
        embedder, pieces = Embedder(told), [data[:first]]
        pieces += [data[at : at + step] for at in range(first, len(data), step)]
        turns = (pieces[at : at + 2] for at in range(0, len(pieces), 2))
        written = b"".join(bytes(made) for turn in turns for made in embedder.change(turn))
        assert data == embedder.undo(written)
        assert len(written) == len(data) + embedder.growth
        if embedder.is_done(written):
            # A part of an image is refused by whoever saves it.
            assert written == whole.data or not formats.is_whole(data)
            assert formats.is_whole(written) == formats.is_whole(data)
        elif first == len(data):
            assert whole.reason is not None
    return whole


def check(data, told=None, **values):
    """Check that embedding a record leaves the image the same; return the new image."""
    told = record(**values) if told is None else told
    grown = embed(data, told)
    assert {"embedded": True} == grown.note
    assert portable_record(told) == extract(grown.data)
    assert decoded(data) == decoded(grown.data)
    assert is_same_picture(data, grown.data)
    return grown.data


def refused(data, reason, told=None):
    unchanged = embed(data, told or record())
    assert data == unchanged.data
    assert {"embedded": False, "not_embedded": reason} == unchanged.note


# ── what goes in comes out ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mode"), EVERY_KIND)
@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_a_record_comes_out_as_it_went_in(kind, mode, prompt):
    check(still(kind, mode), prompt=prompt)


@given(
    kind=st.sampled_from(EVERY_KIND),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    lossless=st.booleans(),
    progressive=st.booleans(),
    quality=st.integers(1, 100),
    prompt=st.text(max_size=60),
)
def test_whatever_the_picture_its_pixels_stay(kind, size, lossless, progressive, quality, prompt):
    options = {"WEBP": {"lossless": lossless, "quality": quality}, "JPEG": {"progressive": progressive}}
    check(still(*kind, size=size, **options.get(kind[0], {})), prompt=prompt)


@pytest.mark.parametrize(("kind", "mode"), [("WEBP", "RGB"), ("WEBP", "RGBA"), ("PNG", "RGBA")])
def test_an_animation_stays_whole(kind, mode):
    check(moving(kind, mode))


@pytest.mark.parametrize("size", [(16383, 1), (1, 16383)], ids=str)
@pytest.mark.parametrize("lossless", [True, False])
def test_the_largest_webp_keeps_its_size(size, lossless):
    check(still("WEBP", size=size, lossless=lossless))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("place", [1000, 65535, 65536, 65537, 140_000, 199_999])
def test_a_large_picture_with_another_byte_is_not_the_same(kind, place):
    data = still(kind, "RGB").ljust(200_000, b"x")
    grown = check(data)
    other = bytearray(data)
    other[place] ^= 1
    assert not is_same_picture(bytes(other), grown)
    assert not is_same_picture(data + b"x", grown)
    assert not is_same_picture(data[:-1], grown)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_bytes_after_the_end_stay_there(kind):
    tail = b"behind the end" * 9
    assert check(still(kind) + tail).endswith(tail)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_profile_resolution_and_exif_stay(kind):
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    data = still(kind, icc_profile=b"a profile" * 20, dpi=(300, 300), exif=exif.tobytes())
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(check(data))) as after:
        assert before.info.get("dpi") == after.info.get("dpi")
        assert before.info["exif"] == after.info["exif"]


def test_the_header_of_an_extended_webp_announces_the_packet_and_keeps_its_other_flags():
    animated, transparent, has_xmp = 0x02, 0x10, 0x04
    assert animated | transparent | has_xmp == check(moving("WEBP"))[20]


# ── what others read ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_readers_of_xmp_find_the_marks_of_iptc_and_the_record(kind):
    with Image.open(io.BytesIO(check(still(kind), prompt="ein <Boot> & 船"))) as image:
        # Without the pixels having been read.
        root = ElementTree.fromstring(image.info["xmp"])
    packet = {element.tag.rpartition("}")[2]: element.text for element in root.iter()}
    assert "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia" == packet["DigitalSourceType"]
    assert ("m/x", "ein <Boot> & 船") == (packet["AISystemUsed"], packet["AIPromptInformation"])
    assert "ein <Boot> & 船" == json.loads(packet["Record"])["input"]["prompt"]


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exiftool_reads_the_packet_and_may_write_it_anew(kind, tmp_path):
    path = tmp_path / f"boat.{kind.lower()}"
    told = record("a boat, for exiftool", seed=7) | {"tags": {"prompt_writer": "Ada"}}
    told["prediction"]["version"] = "v7"
    path.write_bytes(check(still(kind), told))
    read = subprocess.run(["exiftool", "-j", "-XMP:all", path], capture_output=True, check=True)
    (found,) = json.loads(read.stdout)
    wanted = {
        "DigitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        "AISystemUsed": "m/x",
        "AISystemVersionUsed": "v7",
        "AIPromptInformation": "a boat, for exiftool",
        "AIPromptWriterName": "Ada",
    }
    assert wanted.items() <= found.items()
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-XMP-dc:Title=mine", path], check=True)
    assert b"mine" in path.read_bytes()
    assert portable_record(told) == extract(path.read_bytes())
    assert Mark.MARKED == mark_of(path.read_bytes())


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_a_packet_is_xml_and_gives_the_record_back(prompt):
    packet = xmp.write_packet(record(prompt), prompt)
    ElementTree.fromstring(packet)
    assert record(prompt) == json.loads(xmp.find_record(packet))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_packets_of_others_hold_no_record(data):
    packet = xmp.write_packet(record())
    assert xmp.find_record(data) is None
    assert xmp.find_record(packet[:300] + data) is None


@pytest.mark.parametrize(
    "harm",
    [
        b'<!DOCTYPE x [<!ENTITY a "b">]>',
        b"<a>" * 200_000,
        b'<?xml version="1.0" encoding="nobody-knows"?>',
    ],
    ids=["a document type", "without end", "an encoding that nobody knows"],
)
def test_a_packet_that_is_made_to_harm_holds_no_record(harm):
    assert xmp.find_record(harm + xmp.write_packet(record())) is None


def with_xmp(kind, packet):
    if kind == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        return still(kind, pnginfo=info)
    return still(kind, xmp=packet)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_with_xmp_of_its_own_is_left_as_it_is(kind):
    refused(with_xmp(kind, b"<x:xmpmeta/>"), "it has XMP of its own")


# ── records in the form of version 0.1 ───────────────────────────────────────────────────────────────────────────────

OLD = Path(__file__).parent / "version_0_1"


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_record_of_version_0_1_is_read(ending):
    plain, held = ((OLD / f"{name}.{ending}").read_bytes() for name in ("plain", "boat"))
    assert "a boat — 船" == extract(held)["input"]["prompt"]
    assert is_same_picture(plain, held)
    assert extract(plain) is None
    refused(held, "it has a record already")
    # Every later picture has its record in the new place only.
    assert extract(check(plain))["prediction"]["id"] == "p1"


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_damaged_record_of_version_0_1_is_no_record(ending):
    held = bytearray((OLD / f"boat.{ending}").read_bytes())
    for place in range(len(held)):
        before, held[place] = held[place], 0xFF
        assert extract(bytes(held)) is None or isinstance(extract(bytes(held)), dict)
        held[place] = before


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_comment_of_somebody_elses_is_no_record(kind):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0mine"
    data = still(kind, exif=exif.tobytes())
    assert extract(data) is None
    check(data)


# ── marks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_is_signed_or_marked_or_bare(kind):
    assert Mark.BARE == mark_of(still(kind))
    assert Mark.MARKED == mark_of(check(still(kind)))
    assert Mark.SIGNED == mark_of(signed(kind))
    assert Mark.BARE == mark_of(with_xmp(kind, b"<x:xmpmeta/>"))


@given(st.binary(max_size=60), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x20\0\0\0WEBP"]))
def test_any_bytes_have_a_mark(data, head):
    assert Mark.BARE == mark_of(head + data)


# ── JPEG ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def segment(kind, data):
    return b"\xff" + bytes([kind]) + struct.pack(">H", len(data) + 2) + data


def test_the_jfif_header_stays_at_the_beginning():
    data = still("JPEG")
    assert data[:20] == check(data)[:20]
    assert b"JFIF" == data[6:10]


def test_a_jpeg_without_a_jfif_header_takes_a_record():
    data = still("JPEG")
    check(data[:2] + data[20:])


@pytest.mark.parametrize(
    ("put", "where"),
    [(b"\xff", 20), (b"\xff\xd0", 20), (b"\xff\x01", 20)],
    ids=["a filled-up marker", "a restart", "a marker without a length"],
)
def test_a_jpeg_of_unusual_structure_is_left_as_it_is(put, where):
    data = still("JPEG")
    data = data[:where] + put + data[where:]
    assert formats.is_whole(data)
    refused(data, "its segments do not add up")


def test_a_prompt_that_a_jpeg_has_no_room_for_leaves_it_as_it_is():
    refused(still("JPEG"), "the record is longer than 64 KiB, the limit in a JPEG", record("x" * 100_000))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_kinds_have_room_for_long_prompts(kind):
    check(still(kind), prompt="x" * 100_000)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_record_of_more_than_a_mebibyte_is_left_out(kind):
    refused(still(kind), "the record is longer than 1 MiB", record("x" * 2**20))


def test_if_there_is_no_room_for_the_logs_they_are_left_out():
    told = record()
    told["prediction"]["logs"] = "x" * 70_000
    grown = embed(still("JPEG"), told)
    assert {"embedded": True} == grown.note
    told["prediction"]["logs"] = None
    assert told == extract(grown.data)


@pytest.mark.slow
@pytest.mark.parametrize("length", range(65_200, 65_540, 17))
def test_at_the_limit_of_a_segment_it_fits_or_is_refused(length):
    told = {**record(), "prediction": {"id": "p1"}}
    grown = embed(still("JPEG"), {**told, "input": {"prompt": "x" * length}})
    assert decoded(still("JPEG"))[0][0][:2] == decoded(grown.data)[0][0][:2]
    assert (grown.reason is None) == (extract(grown.data) is not None)


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_record_that_could_not_be_read_again_is_left_out(kind):
    refused(still(kind), "its structure is unusual, and embedding could have damaged it", {"prediction": {}})


def test_a_gif_takes_none():
    refused(still("GIF", "P"), "a GIF cannot hold a record")


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n"[:7]])
def test_bytes_that_are_not_an_image_hold_no_record(data):
    refused(data, "it is not an image")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_part_of_an_image_takes_none(kind):
    data = still(kind)
    for end in range(16, len(data) - 12, 97):
        refused(data[:end], "it is not complete")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_takes_one_record_only(kind):
    refused(check(still(kind)), "it has a record already", record("another"))


def signed(kind):
    data = still(kind, **({"xmp": b"<x/>"} if kind == "WEBP" else {}))
    if kind == "PNG":
        chunk = b"caBXjumb"
        return data[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    if kind == "JPEG":
        return data[:20] + segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x10jumbjumdc2pa") + data[20:]
    body = data[12:] + b"C2PA" + struct.pack("<I", 4) + b"jumb"
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_signed_image_keeps_its_signature(kind):
    refused(signed(kind), "it is signed (C2PA), and a change would break the signature")


def test_chunks_in_front_of_a_header_are_left_as_they_are():
    data = still()
    chunk = b"CgBI\0\0\0\0"
    refused(
        data[:8] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[8:],
        "its header is not at its beginning",
    )


@pytest.mark.parametrize("size", [0, 1, 2**31 - 1, 2**32 - 1])
def test_a_chunk_of_a_wrong_length_is_left_as_it_is(size):
    data = bytearray(still())
    at = data.index(b"IDAT") - 4
    data[at : at + 4] = struct.pack(">I", size)
    assert bytes(data) == embed(bytes(data), record()).data


@pytest.mark.parametrize("size", [0, 12, 22, 23])
def test_a_webp_that_announces_less_than_its_header_is_left_as_it_is(size):
    data = still("WEBP", "RGBA")
    data = data[:4] + struct.pack("<I", size - 8 if size > 8 else 0) + data[8:]
    assert data == embed(data, record()).data


@pytest.mark.slow
@given(st.data())
def test_any_bytes_come_back_with_the_record_or_unchanged(data):
    kind, mode = data.draw(st.sampled_from(EVERY_KIND))
    image = bytearray(data.draw(st.sampled_from([still(kind, mode), moving("WEBP"), moving("PNG")])))
    for _ in range(data.draw(st.integers(0, 6))):
        # Most of what matters stands at the beginning.
        place = data.draw(st.integers(0, min(len(image) - 1, 90)) | st.integers(0, len(image) - 1))
        image[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    image = bytes(image)
    extract(image)
    grown = embed(image, record())
    if grown.reason is not None:
        assert image == grown.data
        return
    assert record() == extract(grown.data)
    assert formats.is_whole(grown.data)
    try:
        before = decoded(image)
    except Exception:  # noqa: BLE001 - what was no picture before need not be one afterwards
        return
    assert before == decoded(grown.data)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP"]))
@example(b"", b"")
def test_reading_never_raises(data, head):
    assert extract(head + data) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_half_a_character_does_not_keep_a_record_out(kind):
    grown = embed(still(kind), record("half \ud83d"))
    assert {"embedded": True} == grown.note
    assert "half ?" == extract(grown.data)["input"]["prompt"]


# ── what would take too much memory ──────────────────────────────────────────────────────────────────────────────────

MIB = 1024 * 1024


def grown_by(kind, amount, size):
    """A picture with *amount* parts more, each with *size* bytes."""
    data = still(kind)
    match kind:
        case "PNG":
            chunk = (
                struct.pack(">I4s", size, b"aaAa") + bytes(size) + struct.pack(">I", zlib.crc32(b"aaAa" + bytes(size)))
            )
            return data[:33] + chunk * amount + data[33:]
        case "JPEG":
            return data[:2] + segment(0xEB, bytes(size)) * amount + data[2:]
    body = data[12:] + (struct.pack("<4sI", b"abcd", size) + bytes(size)) * amount
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def old_block(text):
    """An EXIF block as version 0.1 wrote it."""
    main = struct.pack(">HHHIII", 1, 0x8769, 4, 1, 26, 0)
    exif = struct.pack(">HHHIII", 1, 0x9286, 7, len(text) + 8, 44, 0)
    return b"MM\0*\0\0\0\x08" + main + exif + b"ASCII\0\0\0" + text


def text_of(kind, size):
    """A picture with a record of ours that has *size* bytes of JSON, in a form that takes much memory."""
    text = b'{"cometflux":[' + b"{}," * (size // 3) + b"{}]}"
    match kind:
        case "PNG":
            body = b"iTXtcometflux\0\0\0\0\0" + text
            chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
            return still()[:33] + chunk + still()[33:]
        case "WEBP":
            block = old_block(text)
            body = still(kind)[12:] + struct.pack("<4sI", b"EXIF", len(block)) + block + b"\0" * (len(block) % 2)
            return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def memory_for(function, *arguments):
    tracemalloc.start()
    try:
        result = function(*arguments)
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "size"), [("PNG", 33 * MIB), ("JPEG", 60_000), ("WEBP", 33 * MIB)])
def test_an_image_of_more_than_32_mib_takes_none_and_costs_no_memory(kind, size):
    data = grown_by(kind, -(-33 * MIB // size), size)
    grown, peak = memory_for(embedding.embed, data, record())
    assert {"embedded": False, "not_embedded": "it is larger than 32 MiB"} == grown.note
    assert data is grown.data
    assert peak < MIB


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_of_more_than_a_hundred_thousand_parts_takes_none(kind):
    refused(grown_by(kind, 100_001, 0), "it has more than 100000 parts")


def test_a_block_of_the_old_form_is_read():
    text = b'{"cometflux": {"model": "m", "input": {}, "prediction": {"id": "p1"}}}'
    body = still("WEBP")[12:] + struct.pack("<4sI", b"EXIF", len(old_block(text))) + old_block(text)
    assert extract(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("size", [2 * MIB, 12 * MIB])
def test_a_record_in_an_image_that_is_larger_than_any_of_ours_is_not_read(kind, size):
    data = text_of(kind, size)
    found, peak = memory_for(extract, data)
    assert found is None
    assert peak < 32 * MIB
