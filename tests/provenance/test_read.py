"""The record of a picture is read from the picture, else from its sidecar."""

import io
import os
import tracemalloc
from pathlib import Path

import pytest
from blocking_folder import write_output
from PIL import Image

from cometflux.errors import ConfigError
from cometflux.protocol import encoding
from cometflux.provenance import read, sidecar

RECORD = {"key": "a", "index": 0, "model": "m/x", "input": {"prompt": "a boat"}, "prediction": {"id": "p1"}}


def picture(kind="PNG"):
    file = io.BytesIO()
    Image.linear_gradient("L").save(file, kind)
    return file.getvalue()


@pytest.fixture(params=[True, False], ids=["embedded", "beside it"])
def embeds(request):
    return request.param


@pytest.fixture
def saved(embeds, tmp_path):
    return write_output(tmp_path, "a", picture(), RECORD, embeds=embeds).path


@pytest.mark.parametrize("as_text", [True, False])
def test_a_picture_says_how_it_was_made(saved, embeds, as_text):
    found = read.read_provenance(str(saved) if as_text else saved)
    assert RECORD.items() <= found.record.items()
    assert (embeds, True) == (found.is_embedded, found.is_unchanged)


def test_a_picture_without_a_sidecar_has_only_its_own_record(saved, embeds, tmp_path):
    moved = saved.rename(tmp_path / "moved.png")
    if not embeds:
        with pytest.raises(ConfigError, match=r"no record says how .*moved.png' was made: .* \(moved.json\)"):
            read.read_provenance(moved)
        return
    found = read.read_provenance(moved)
    assert (RECORD, None) == (found.record, found.is_unchanged)


def test_a_picture_and_its_record_may_be_renamed_together(saved, tmp_path):
    moved = saved.rename(tmp_path / "moved.png")
    saved.with_suffix(".json").rename(tmp_path / "moved.json")
    assert read.read_provenance(moved).is_unchanged


def test_a_changed_picture_is_reported(saved):
    saved.write_bytes(saved.read_bytes() + b"!")
    assert read.read_provenance(saved).is_unchanged is False


def test_the_record_of_another_picture_is_not_taken_for_its_own(saved, tmp_path):
    other = tmp_path / "a.jpg"
    other.write_bytes(picture("JPEG"))
    with pytest.raises(ConfigError, match="no record says how"):
        read.read_provenance(other)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"file": "b.png", "prediction": 3}', "\0", "[" * 10_000])
def test_a_file_that_is_not_a_record_is_not_used(text, tmp_path):
    (tmp_path / "b.png").write_bytes(picture())
    (tmp_path / "b.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="no record says how"):
        read.read_provenance(tmp_path / "b.png")


def make(kind, path):
    match kind:
        case "a folder":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case "a text":
            path.write_text("a boat")
        case "an empty file":
            path.touch()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("nothing", "the picture '{}' cannot be read: No such file or directory"),
        ("a folder", "'{}' is not a file; give a picture"),
        ("a pipe", "'{}' is not a file; give a picture"),
        ("a text", "'{}' is not a PNG, JPEG, WebP or GIF"),
        ("an empty file", "'{}' is not a PNG, JPEG, WebP or GIF"),
    ],
)
def test_a_file_that_is_not_a_picture_is_one_clear_error(kind, said, tmp_path):
    make(kind, tmp_path / "x")
    with pytest.raises(ConfigError) as caught:
        read.read_provenance(tmp_path / "x")
    assert said.format(tmp_path / "x") == str(caught.value)


def test_a_record_in_the_place_of_its_picture_is_one_clear_error(saved):
    with pytest.raises(ConfigError, match="is not a PNG, JPEG, WebP or GIF; give the picture that it describes"):
        read.read_provenance(saved.with_suffix(".json"))


@pytest.mark.parametrize("path", ["", " ", None, 3, "a\0b", b"a.png", Path("x" * 300)], ids=repr)
def test_a_path_that_is_none_is_one_clear_error(path):
    with pytest.raises(ConfigError):
        read.read_provenance(path)


@pytest.mark.parametrize(("depth", "fault"), [(60, ""), (100_000, "not JSON")])
def test_a_record_nested_too_deeply_is_named(depth, fault, tmp_path):
    image = write_output(tmp_path, "a", picture(), RECORD).path
    nested = "[" * (depth - 2) + "]" * (depth - 2)
    text = image.with_suffix(".json").read_text(encoding="utf-8")
    image.with_suffix(".json").write_text(text.replace('"a boat"', nested), encoding="utf-8")
    if not fault:
        assert nested in encoding.dump_line(read.read_provenance(image).record)
        return
    with pytest.raises(ConfigError, match=rf"a\.json next to it cannot be read: it is {fault}$"):
        read.read_provenance(image)


@pytest.mark.parametrize("values", ["[],", "{},", '{"":{}},'])
def test_a_sidecar_of_millions_of_values_is_named_and_takes_little_memory(values, tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "a.json").write_text('{"a":[' + values * (4 * 1024 * 1024 // len(values)) + "1]}")
    with pytest.raises(ConfigError, match=r"a\.json next to it cannot be read: it has too many values"):
        read.read_provenance(tmp_path / "a.png")
    text = (tmp_path / "a.json").read_bytes()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="too many values"):
            sidecar.load_record(text)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()
