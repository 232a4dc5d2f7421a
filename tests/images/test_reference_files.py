import hashlib
import logging
import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise_images import picture, uri_of

from cometflux.errors import InputError, Money
from cometflux.images import reference_files
from cometflux.images.data_uris import LARGEST_IMAGE_INPUT
from cometflux.images.reference_files import Descriptions, describe_input, read_images
from cometflux.images.summaries import describe_bytes
from cometflux.jobs import Job

MODEL = "somebody/something"
every_kind = pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])


def job(**values):
    return Job(model=MODEL, input=values)


SAMPLE = picture(size=(4, 4))

# To be sent.


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
@pytest.mark.parametrize("given", ["a path", "bytes"])
async def test_an_image_that_is_cut_short_is_refused(kind, given, tmp_path):
    path = tmp_path / "cat"
    path.write_bytes(picture(kind)[:-20])
    image = path if given == "a path" else path.read_bytes()
    assert "cut short" in str(await refusal_of(job(image=image)))
    with pytest.raises(InputError, match="cut short"):
        describe_input({"image": image})


@every_kind
async def test_the_type_comes_from_the_bytes_and_not_from_the_name(kind, tmp_path):
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
    assert ("image", path) == (error.field, error.given)
    assert f"the file cannot be read ({words})" in str(error)


@pytest.mark.parametrize("path", [Path("a\0b.png"), Path("a\ud800.png")], ids=repr)
async def test_a_path_that_no_file_can_have_is_refused(path):
    assert "image" == (await refusal_of(job(image=path))).field


@pytest.mark.parametrize("data", [b"", b"a text", b"<svg/>"], ids=repr)
async def test_a_file_that_is_not_an_image_is_refused(data, tmp_path):
    (tmp_path / "a.png").write_bytes(data)
    message = str(await refusal_of(job(image=tmp_path / "a.png")))
    assert message.endswith("a.png' was given; must be a PNG, JPEG, WebP or GIF image")


async def test_a_file_larger_than_eight_mebibytes_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(picture())
    os.truncate(path, LARGEST_IMAGE_INPUT)
    assert await read_images(job(image=path))
    os.truncate(path, LARGEST_IMAGE_INPUT + 1)
    message = str(await refusal_of(job(image=path)))
    assert message.endswith("a.png' was given; at most 8 MiB are sent with a job; give a URL for a larger image")
    # Of a file without end no more is read than that.
    os.truncate(path, 2**40)
    assert message == str(await refusal_of(job(image=path)))


@pytest.mark.parametrize(("size", "notes"), [(256_000, 0), (256_001, 1)])
async def test_a_large_image_is_noted(size, notes, caplog):
    with caplog.at_level(logging.INFO, "cometflux"):
        await read_images(job(image=picture().ljust(size, b"\0")))
    assert notes == len(caplog.records)


def test_the_limits_are_the_published_ones():
    assert (8 * 1024 * 1024, 256_000) == (LARGEST_IMAGE_INPUT, reference_files.LARGE_IMAGE_INPUT)


# To be told apart.


@every_kind
def test_a_path_its_bytes_and_their_data_uri_are_described_alike(kind, tmp_path):
    data, path = picture(kind), tmp_path / "cat.txt"
    path.write_bytes(data)
    expected = {"type": f"image/{kind.lower()}", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    for known in (None, Descriptions()):
        for image in (path, data, uri_of(data), uri_of(data, "image/x")):
            assert {"image": expected} == describe_input({"image": image}, known)


def test_nested_images_are_described_as_well(tmp_path):
    data, path = picture(), tmp_path / "cat.png"
    path.write_bytes(data)
    image = describe_bytes(data)
    values = {"prompt": "a boat", "images": [path, data, "https://example.com/a.png"], "more": {"one": (path, 7)}}
    expected = {
        "prompt": "a boat",
        "images": [image, image, "https://example.com/a.png"],
        "more": {"one": [image, 7]},
    }
    assert expected == describe_input(values)
    assert path == values["more"]["one"][0]


@pytest.mark.parametrize(
    "value",
    [Path("missing.png"), Path("a\0b"), Path(), b"", b"a text", picture().ljust(LARGEST_IMAGE_INPUT + 1)],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("known", [None, Descriptions()], ids=["at first", "remembering"])
async def test_what_cannot_be_sent_is_refused_in_the_same_words(value, known):
    with pytest.raises(InputError) as caught:
        describe_input({"image": [value]}, known)
    assert str(await refusal_of(job(image=[value]))) == str(caught.value)


def test_a_file_that_is_not_an_image_or_is_too_large_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"a text")
    with pytest.raises(InputError, match="PNG, JPEG, WebP or GIF"):
        describe_input({"image": path})
    path.write_bytes(picture())
    os.truncate(path, 2**40)
    with pytest.raises(InputError, match="8 MiB"):
        describe_input({"image": path})


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    """What describes an image, checks it or sends it reads it each time anew."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(InputError, match="this is a pipe or a device"):
        describe_input({"image": path}, Descriptions())


def aged(path, data, seconds=60):
    """Write a file as if some time ago."""
    path.write_bytes(data)
    then = time.time_ns() - seconds * 10**9
    os.utime(path, ns=(then, then))
    return path


def test_a_file_that_many_jobs_name_is_read_once(tmp_path):
    """Ten thousand rows with one reference image of 8 MiB would read and hash 80 GB."""
    data = picture().ljust(LARGEST_IMAGE_INPUT, b"\0")
    path, known = aged(tmp_path / "a.png", data), Descriptions()
    expected = {"image": describe_bytes(data)}
    assert expected == describe_input({"image": path}, known)
    started = time.thread_time()
    assert all(expected == describe_input({"image": path}, known) for _ in range(10_000))
    assert time.thread_time() - started < 2


@pytest.mark.parametrize("is_new", [True, False], ids=["just written", "written long ago"])
def test_a_changed_file_is_noticed(is_new, tmp_path):
    one, other = (picture().ljust(4000, end) for end in (b"\0", b"\1"))
    path, known = tmp_path / "a.png", Descriptions()
    for data in (one, other, one):
        if is_new:
            path.write_bytes(data)
        else:
            aged(path, data)
        assert describe_bytes(data) == known.of("image", path)


def test_a_changed_file_of_the_same_size_and_time_is_noticed(tmp_path):
    one, other = (picture().ljust(4000, end) for end in (b"\0", b"\1"))
    path, known = aged(tmp_path / "a.png", one), Descriptions()
    assert describe_bytes(one) == known.of("image", path)
    times = path.stat()
    time.sleep(0.02)
    aged(tmp_path / "b.png", other)
    os.utime(tmp_path / "b.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    shutil.move(tmp_path / "b.png", path)
    assert describe_bytes(other) == known.of("image", path)


def test_a_file_that_is_gone_is_noticed(tmp_path):
    path, known = aged(tmp_path / "a.png", picture()), Descriptions()
    known.of("image", path)
    path.unlink()
    with pytest.raises(InputError, match="No such file"):
        known.of("image", path)


def test_a_dropped_description_is_read_again_and_the_caller_may_change_it(tmp_path):
    known = Descriptions(most=2)
    paths = [aged(tmp_path / f"{n}.png", picture(size=(8 + n, 8))) for n in range(5)]
    for path in paths * 2:
        described = known.of("image", path)
        assert describe_bytes(path.read_bytes()) == described
        described.clear()
    assert describe_bytes(paths[-1].read_bytes()) == known.of("image", paths[-1])


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.just(SAMPLE) | st.just(uri_of(SAMPLE)),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
async def test_describing_before_and_after_reading_is_the_same(value):
    ready = await read_images(Job(model=MODEL, input={"x": value}, validate=False))
    assert describe_input({"x": value}) == describe_input(ready.input)
