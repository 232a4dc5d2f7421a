import asyncio
import base64
import contextlib
import hashlib
import io
import json
import logging
import os
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cometflux import storage
from cometflux.converter import load_prediction
from cometflux.errors import ConfigError, InputError, Money, OutputError
from cometflux.images import LARGEST_IMAGE_INPUT
from cometflux.jobs import Job
from cometflux.predictions import Prediction, Status
from cometflux.storage import check_image, file_stem, prepare_folder, read_images, record_of, write_output

MODEL = "somebody/something"
EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif"}
every_kind = pytest.mark.parametrize(("kind", "extension"), EXTENSIONS.items())


def picture(kind="PNG", size=(32, 24)):
    """Make a real image whose bytes do not compress away."""
    file = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(file, kind)
    return file.getvalue()


def uri_of(data, media="image/png"):
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def job(**values):
    return Job(model=MODEL, input=values)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# Names.


@given(st.integers(0, 10**9), st.text() | st.text(st.sampled_from("ab .-/\\:*?\"<>|\0\n'é船"), max_size=400))
def test_a_name_is_one_safe_component_whatever_the_prompt(index, prompt):
    stem = file_stem(index, job(prompt=prompt))
    assert re.fullmatch(r"[0-9]{5,}(-[a-z0-9]+)*", stem)
    assert len(f"{stem}-4+9999.webp") <= 255


@pytest.mark.parametrize(
    ("index", "prompt", "stem"),
    [
        (0, "A paper boat, at sunrise!", "00000-a-paper-boat-at-sunrise"),
        (123456, "a boat", "123456-a-boat"),
        (1, "../../etc/passwd", "00001-etc-passwd"),
        (1, "CON", "00001-con"),
        (1, "Ein Böot für Zoë", "00001-ein-boot-fur-zoe"),
        (1, "船", "00001"),
        (1, "...", "00001"),
        (1, "", "00001"),
        (1, "word " * 100, "00001-" + "-".join(["word"] * 9)),
        (1, "x" * 500, "00001-" + "x" * 48),
    ],
)
def test_a_name_is_the_index_and_the_beginning_of_the_prompt(index, prompt, stem):
    assert stem == file_stem(index, job(prompt=prompt))


def test_a_job_without_a_prompt_is_named_by_its_index():
    assert "00007" == file_stem(7, job(seed=1))


@given(st.text(st.characters(codec=None), max_size=250))
def test_any_name_given_is_one_component_of_a_path_or_refused(name):
    with contextlib.suppress(InputError):
        path = Path("images") / f"{storage.check_stem(name)}.png"
        assert (Path("images"), f"{name}.png") == (path.parent, path.name)
        assert len(os.fsencode(path.name)) <= 255


@pytest.mark.parametrize("name", ["a", "a boat", ".a", "a.b", "a..b", "für Zoë", "x" * 200, "船" * 66], ids=repr)
def test_a_name_given_is_taken_as_it_is(name):
    assert name == storage.check_stem(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "..",
            "...",
            " ",
            ". .",
            "/",
            "a/b",
            "../a",
            "/etc/passwd",
            "a/",
            "a\\b",
            "..\\a",
            "a\0",
            "a\n",
            "\x7f",
        ),
        *("x" * 201, "船" * 67, "a\ud800", None, 5, b"a", Path("a")),
    ],
    ids=lambda name: repr(name)[:20],
)
def test_a_name_that_would_leave_the_folder_is_refused(name):
    with pytest.raises(InputError, match=r"^name: "):
        storage.check_stem(name)


# What counts as a whole image.


@every_kind
@pytest.mark.parametrize("size", [(1, 1), (32, 24), (257, 129)], ids=str)
def test_a_real_image_is_known_by_its_first_bytes(kind, extension, size):
    assert extension == check_image(picture(kind, size))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_no_part_of_an_image_passes_for_the_whole(kind):
    data = picture(kind)
    for length in range(1, len(data)):
        with pytest.raises(OutputError) as caught:
            check_image(data[:length])
        assert caught.value.is_transient


def test_an_end_in_the_middle_is_no_end():
    # A thumbnail or a comment within a JPEG may hold the mark that ends one.
    file = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(file, "JPEG", comment=b"\xff\xd9")
    data = file.getvalue()
    assert data.index(b"\xff\xd9") < len(data) // 2
    assert "jpg" == check_image(data)
    with pytest.raises(OutputError, match="the output is cut short"):
        check_image(data[: len(data) // 2])


def test_half_a_gif_is_refused():
    data = picture("GIF")
    with pytest.raises(OutputError, match="the output is cut short"):
        check_image(data[: len(data) // 2].rstrip(b";\0"))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"not an image", b"<!doctype html><title>403</title>", b'{"detail": "gone"}', b"%PDF-1.7"),
        *(b"RIFF\0\0\0\0WAVE", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ],
    ids=repr,
)
def test_what_is_no_image_is_not_written(data, tmp_path):
    with pytest.raises(OutputError, match=f"not an image \\({len(data)} bytes\\)") as caught:
        write_output(tmp_path, "a", data, {})
    assert (True, Money.ACCEPTED) == (caught.value.is_transient, caught.value.money)
    assert [] == names(tmp_path)


@every_kind
def test_an_image_cut_short_is_not_written(kind, extension, tmp_path):
    data = picture(kind)
    with pytest.raises(OutputError, match="cut short"):
        write_output(tmp_path, "a", data[: len(data) // 2].rstrip(b";\0"), {})
    assert [] == names(tmp_path)


# Writing.


@every_kind
def test_an_image_is_written_as_it_came_under_its_true_type(kind, extension, tmp_path):
    data = picture(kind)
    path = write_output(tmp_path, "00001-a-boat", data, {"key": "k1"})
    assert tmp_path / f"00001-a-boat.{extension}" == path
    assert data == path.read_bytes()
    assert {"00001-a-boat.json", f"00001-a-boat.{extension}"} == set(names(tmp_path))
    assert {
        "file": path.name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "key": "k1",
    } == json.loads((tmp_path / "00001-a-boat.json").read_text(encoding="utf-8"))


def test_no_file_is_ever_replaced(tmp_path):
    images = [picture(size=(8 + n, 8)) for n in range(3)]
    written = [write_output(tmp_path, "a", data, {}) for data in images]
    assert ["a.png", "a+1.png", "a+2.png"] == [path.name for path in written]
    assert images == [path.read_bytes() for path in written]
    records = [json.loads(path.with_suffix(".json").read_text()) for path in written]
    assert ["a.png", "a+1.png", "a+2.png"] == [record["file"] for record in records]


async def test_many_at_once_under_one_name_all_get_one_of_their_own(tmp_path):
    images = [picture(size=(8 + n, 8)) for n in range(12)]
    written = await asyncio.gather(*(asyncio.to_thread(write_output, tmp_path, "a", data, {}) for data in images))
    assert images == [path.read_bytes() for path in written]
    assert 24 == len(names(tmp_path))


@pytest.mark.parametrize("name", ["a.png", "a.json"])
@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_under_the_name_is_not_followed(name, target, tmp_path):
    folder, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.write_bytes(b"precious")
    (folder / name).symlink_to(tmp_path / target)
    write_output(folder, "a", picture(), {})
    assert (folder / name).is_symlink()
    assert b"precious" == elsewhere.read_bytes()
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_under_the_name_is_left_alone(tmp_path):
    (tmp_path / "a.png").mkdir()
    assert "a+1.png" == write_output(tmp_path, "a", picture(), {}).name


def test_the_folder_is_made_where_it_is_missing(tmp_path):
    assert write_output(tmp_path / "x/y", "a", picture(), {}).is_file()


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_folder_that_cannot_be_is_an_output_error(where, tmp_path):
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(OutputError, match="could not be written") as caught:
        write_output(tmp_path / where, "a", picture(), {})
    assert not caught.value.is_transient
    assert b"precious" == (tmp_path / "file").read_bytes()


def test_a_name_too_long_for_the_disk_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match="could not be written"):
        write_output(tmp_path, "x" * 300, picture(), {})
    assert [] == names(tmp_path)


class NoLinks(type(Path())):
    """A path on a file system that knows no hard links, as on a memory stick."""

    def hardlink_to(self, target):
        raise PermissionError(1, "Operation not permitted")


def test_a_file_system_without_hard_links_will_do(tmp_path):
    (tmp_path / "a.png").write_bytes(b"precious")
    data = picture()
    assert "a+1.png" == write_output(NoLinks(tmp_path), "a", data, {}).name
    assert data == (tmp_path / "a+1.png").read_bytes()
    assert b"precious" == (tmp_path / "a.png").read_bytes()
    assert ["a+1.json", "a+1.png", "a.png"] == names(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="the umask is a matter of POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)], ids=oct)
def test_the_umask_is_respected(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        path = write_output(tmp_path, "a", picture(), {})
    finally:
        os.umask(before)
    assert [mode, mode] == [stat.S_IMODE(each.stat().st_mode) for each in (path, path.with_suffix(".json"))]


# The disk is full as far as this process can see: no file may grow beyond the limit.
FULL_DISK = """
import resource, sys
from pathlib import Path
from cometflux.errors import OutputError
from cometflux.storage import write_output

folder, image, limit = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    write_output(folder, "a", image, {})
except OutputError as error:
    print(error)
"""


def write_on_a_full_disk(folder, data, limit):
    source = folder.with_name("source")
    source.write_bytes(data)
    command = [sys.executable, "-c", FULL_DISK, str(folder), str(source), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="there are no resource limits")
@pytest.mark.parametrize("limit", [0, 1, 512])
def test_an_image_that_does_not_fit_is_not_there_at_all(limit, tmp_path):
    folder = tmp_path / "images"
    told = write_on_a_full_disk(folder, picture(), limit)
    assert "the image could not be written to" in told
    assert "the prediction is paid for" in told
    assert [] == names(folder)


# The record beside it.

PREDICTION = Prediction(
    id="p1",
    status=Status.SUCCEEDED,
    model="black-forest-labs/flux-schnell",
    version="hidden",
    input={"prompt": "echoed"},
    output=("https://example.com/a.png",),
    logs="Using seed: 7",
    metrics={"predict_time": 0.5},
    created_at=datetime(2026, 3, 16, 10, 18, 7, 510000, UTC),
)


def test_a_record_tells_how_the_image_was_made(tmp_path):
    data = picture()
    asked = job(prompt="ein Boot für Zoë", image=uri_of(data))
    path = write_output(tmp_path, "a", data, record_of(PREDICTION, asked, "k1", 3))
    text = path.with_suffix(".json").read_text(encoding="utf-8")
    digest = {"type": "image/png", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert {
        "file": "a.png",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "key": "k1",
        "index": 3,
        "model": MODEL,
        "input": {"prompt": "ein Boot für Zoë", "image": digest},
        "prediction": {
            "id": "p1",
            "status": "succeeded",
            "version": "hidden",
            "created_at": "2026-03-16T10:18:07.510000+00:00",
            "started_at": None,
            "completed_at": None,
            "metrics": {"predict_time": 0.5},
            "logs": "Using seed: 7",
        },
    } == json.loads(text)
    assert text.endswith("}\n")
    assert "für" in text


def test_a_record_without_a_job_holds_what_the_service_echoed():
    record = record_of(PREDICTION, None, None, None)
    assert ("black-forest-labs/flux-schnell", {"prompt": "echoed"}, None, None) == (
        record["model"],
        record["input"],
        record["key"],
        record["index"],
    )


def test_half_a_character_in_the_logs_does_not_keep_the_record_from_being_written(tmp_path):
    # What the service cut in the middle of a pair of surrogates.
    said = load_prediction(b'{"id": "p1", "status": "succeeded", "logs": "done \\ud83d"}', "p1")
    path = write_output(tmp_path, "a", picture(), record_of(said, None, None, None))
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["prediction"]["logs"].startswith("done ")


# Reference images.


async def refusal_of(asked):
    with pytest.raises(InputError) as caught:
        await read_images(asked)
    assert Money.NOT_SENT is caught.value.money
    return caught.value


async def test_files_and_bytes_become_data_uris(tmp_path):
    data, path = picture(), tmp_path / "cat.png"
    path.write_bytes(data)
    asked = Job(model=MODEL, input={"prompt": "a boat", "one": path, "two": data, "all": [path, data, "x"]}, key="k1")
    ready = await read_images(asked)
    assert {
        "prompt": "a boat",
        "one": uri_of(data),
        "two": uri_of(data),
        "all": [uri_of(data)] * 2 + ["x"],
    } == ready.input
    assert ("k1", MODEL) == (ready.key, ready.model)
    assert path == asked.input["one"]


@every_kind
async def test_the_type_is_told_by_the_bytes_and_not_by_the_name(kind, extension, tmp_path):
    path = tmp_path / "cat.txt"
    path.write_bytes(picture(kind))
    uri = (await read_images(job(image=path))).input["image"]
    assert uri.startswith(f"data:image/{kind.lower()};base64,")


async def test_a_job_without_files_is_passed_on():
    asked = job(prompt="a boat", image="https://example.com/a.png", images=["x"])
    assert asked is await read_images(asked)


async def test_a_job_that_is_not_checked_stays_unchecked(tmp_path):
    asked = Job(model="black-forest-labs/flux-schnell", input={"promt": picture()}, validate=False)
    assert (await read_images(asked)).input["promt"].startswith("data:image/png")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.png", "No such file or directory"),
        ("folder", "Is a directory"),
        ("folder/missing.png", "No such file or directory"),
        ("text.png/below", "Not a directory"),
    ],
)
@pytest.mark.parametrize("is_listed", [True, False], ids=["in a list", "alone"])
async def test_a_file_that_cannot_be_read_is_named(name, words, is_listed, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.png").write_text("a text")
    path = tmp_path / name
    error = await refusal_of(job(image=[path] if is_listed else path))
    assert ("image", str(path)) == (error.field, error.given)
    assert f"the file cannot be read ({words})" in str(error)


@pytest.mark.parametrize("path", [Path("a\0b.png"), Path("a\ud800.png")], ids=repr)
async def test_a_path_that_no_file_can_have_is_refused(path):
    assert "image" == (await refusal_of(job(image=path))).field


@pytest.mark.parametrize("data", [b"", b"a text", b"<svg/>"], ids=repr)
async def test_a_file_that_is_no_image_is_refused(data, tmp_path):
    (tmp_path / "a.png").write_bytes(data)
    assert "PNG, JPEG, WebP or GIF" in str(await refusal_of(job(image=tmp_path / "a.png")))


async def test_a_file_larger_than_eight_mebibytes_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(picture())
    os.truncate(path, LARGEST_IMAGE_INPUT)
    assert await read_images(job(image=path))
    os.truncate(path, LARGEST_IMAGE_INPUT + 1)
    assert "8 MiB" in str(await refusal_of(job(image=path)))
    # Of a file without end no more is read than that.
    os.truncate(path, 2**40)
    assert "8388609 bytes was given" in str(await refusal_of(job(image=path)))


@pytest.mark.parametrize(("size", "notes"), [(256_000, 0), (256_001, 1)])
async def test_a_large_image_is_noted(size, notes, caplog):
    with caplog.at_level(logging.INFO, "cometflux"):
        await read_images(job(image=picture().ljust(size, b"\0")))
    assert notes == len(caplog.records)


# The folder is tried before money is spent.


def test_a_folder_is_made_and_left_empty(tmp_path):
    folder = tmp_path / "x/y"
    prepare_folder(folder)
    assert [] == names(folder)
    prepare_folder(folder)


def test_what_is_in_the_folder_stays(tmp_path):
    (tmp_path / "a.png").write_bytes(b"precious")
    prepare_folder(tmp_path)
    assert b"precious" == (tmp_path / "a.png").read_bytes()


@pytest.mark.parametrize("where", ["file", "file/below", "file/below/deeper"])
def test_what_can_be_no_folder_is_refused(where, tmp_path):
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(ConfigError, match=r"cannot be written to|is a file"):
        prepare_folder(tmp_path / where)
    assert b"precious" == (tmp_path / "file").read_bytes()


@pytest.mark.parametrize("name", ["a\0b", "a\ud800"], ids=repr)
def test_a_path_that_no_folder_can_have_is_refused(name, tmp_path):
    with pytest.raises(ConfigError, match="cannot be written to"):
        prepare_folder(tmp_path / name)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no folder that nobody can write to")
def test_a_folder_that_nobody_can_write_to_is_refused():
    with pytest.raises(ConfigError, match="cannot be written to"):
        prepare_folder(Path("/proc/self"))


def test_a_disk_without_room_is_noticed(tmp_path):
    script = (
        "import resource, sys; from pathlib import Path; from cometflux import errors, storage\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: storage.prepare_folder(Path(sys.argv[1]))\n"
        "except errors.ConfigError as error: print(error)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    assert "cannot be written to" in done.stdout
    assert [] == names(tmp_path)


def test_the_limits_are_the_published_ones():
    assert (8 * 1024 * 1024, 256_000) == (LARGEST_IMAGE_INPUT, storage.LARGE_IMAGE_INPUT)
