"""A sweep of images: files, a folder or a zip, each times the other lists."""

import contextlib
import io
import os
import random
import stat
import struct
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_pixel import PNG

from cometflux.images.data_uris import data_uri
from cometflux.sources import SourceError, read_jobs
from cometflux.sources.sweeps.zipped_images import read_zip


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def shots(*names):
    for name in names:
        path = Path("set/shots") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)


def sweep(images, rest="model: kontext-pro\nprompt: in snow\nmatrix:\n  seed: [1, 2]\n"):
    Path("set").mkdir(exist_ok=True)
    Path("set/a.yaml").write_text(f"images: {images}\n{rest}")
    return read_jobs("set/a.yaml")


def faults(images, *rest):
    with pytest.raises(SourceError) as caught:
        sweep(images, *rest)
    return caught.value.lines


def pack(members, packing=zipfile.ZIP_DEFLATED):
    Path("set").mkdir(exist_ok=True)
    with zipfile.ZipFile("set/shots.zip", "w", packing) as archive:
        for member, data in members:
            archive.writestr(member, data)


@pytest.mark.parametrize("images", ["shots/*.png", "shots", "shots/", "[shots/b.png, shots/a.png]", "shots.zip"])
def test_each_image_is_made_with_each_combination_and_its_name_is_a_tag(images):
    shots("a.png", "b.png")
    pack([("b.png", PNG), ("a.png", PNG)])
    jobs = sweep(images)
    expected = [(name, seed) for name in ("a.png", "b.png") for seed in (1, 2)]
    if images.startswith("["):
        expected = expected[2:] + expected[:2]
    assert expected == [(job.tags["from"], job.input["seed"]) for job in jobs]
    assert {"prompt", "seed", "input_image"} == {*jobs[0].input}
    is_zip = images.endswith("zip")
    assert [data_uri("image", PNG) if is_zip else Path("set/shots") / name for name, _ in expected] == [
        job.input["input_image"] for job in jobs
    ]


def test_prompts_and_keys_may_use_the_name_of_the_image():
    shots("a.png", "b.jpg.webp")
    jobs = sweep("shots", 'model: 2-pro\nprompt: "{image} at night"\nkey: "{image}"\n')
    assert [("a", "a at night"), ("b.jpg", "b.jpg at night")] == [(job.key, job.prompt) for job in jobs]
    assert [[Path("set/shots/a.png")], [Path("set/shots/b.jpg.webp")]] == [job.input["input_images"] for job in jobs]


def test_each_model_takes_the_image_by_its_own_parameter():
    shots("a.png")
    jobs = sweep("shots", "prompt: in snow\nmatrix:\n  model: [kontext-pro, 2-pro, 1.1-pro]\n")
    assert ["input_image", "input_images", "image_prompt"] == [
        name for job in jobs for name in job.input if "image" in name
    ]


def test_combinations_may_be_excluded_and_extended_by_the_name_of_an_image():
    shots("a.png", "b.png")
    rest = "model: kontext-pro\nprompt: in snow\nmatrix:\n  seed: [1, 2]\n"
    jobs = sweep(
        "shots", rest + "exclude: [{images: a.png, seed: 2}]\ninclude: [{images: b.png, aspect_ratio: '1:1'}]\n"
    )
    assert [("a.png", 1, None), ("b.png", 1, "1:1"), ("b.png", 2, "1:1")] == [
        (job.tags["from"], job.input["seed"], job.input.get("aspect_ratio")) for job in jobs
    ]
    assert ["set/a.yaml, line 6: include: images: 'c.png' is not one of the images"] == faults(
        "shots", rest + "include: [{images: c.png, seed: 3}]\n"
    )


def test_a_folder_gives_its_images_and_nothing_else_and_two_stars_look_deeper():
    shots("a.png", "deep/b.PNG", ".hidden.png", "notes.txt")
    assert ["a.png"] == [job.tags["from"] for job in sweep("shots", "model: kontext-pro\nprompt: x\n")]
    found = sweep("shots/**/*.[pP][nN][gG]", "model: kontext-pro\nprompt: x\n")
    assert ["a.png", "deep/b.PNG"] == [job.tags["from"] for job in found]


def test_kept_columns_stand_beside_the_name_of_the_image():
    shots("a.png")
    Path("set/a.yaml").write_text("images: shots\nmodel: kontext-pro\nprompt: x\nsku: S-1\n")
    (job,) = read_jobs("set/a.yaml", keep=["sku"])
    assert {"from": "a.png", "sku": "S-1"} == job.tags


def test_a_parameter_of_that_name_stays_one_in_the_matrix():
    Path("b.yaml").write_text("model: o/m\nprompt: x\nmatrix:\n  images: [a, b]\n")
    assert ["a", "b"] == [job.input["images"] for job in read_jobs("b.yaml")]


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────

ONE = "set/a.yaml, line 1: images: "


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ("none/*.png", "'none/*.png' finds no file"),
        ("none", "'none' finds no file"),
        ("empty", "'empty' holds no image: no .png, .jpg, .jpeg, .webp or .gif"),
        ("", "the name of files, of a folder or of a zip is expected"),
        ("[]", "the list is empty, so there would be no jobs"),
        ("{a: b}", "the name of files, of a folder or of a zip is expected"),
        ("[shots/a.png, shots]", "two images have the name 'a.png'"),
        ("[shots/a.png, copy/a.png]", "two images have the name 'a.png'"),
        ("'a\0.png'", None),
        ("a.zip/", "'a.zip/' finds no file"),
        ("https://x.example/a.png", "'https://x.example/a.png' is not a file"),
    ],
)
def test_images_that_are_not_there_are_one_clear_error(images, told):
    shots("a.png", "../empty/notes.txt", "../copy/a.png")
    lines = faults(images)
    assert 1 == len(lines)
    assert told is None or lines[0].startswith(f"{ONE}{told}")


def test_a_file_that_is_no_image_a_model_that_takes_none_and_a_second_image_are_named():
    shots("a.png")
    Path("set/shots/a.txt").write_text("no")
    assert "must be a PNG, JPEG, WebP or GIF" in faults("shots/a.txt", "model: kontext-pro\nprompt: x\n")[0]
    assert [f"{ONE}flux-schnell takes no reference image; give a model that takes one, or its schema"] == faults(
        "shots", "prompt: x\n"
    )
    assert [f"{ONE}this row has input_image already; leave it empty"] == faults(
        "shots", "model: kontext-pro\ninput_image: https://x.example/a.png\nprompt: x\n"
    )
    assert ["set/a.yaml, line 5: 'images' appears both in matrix and outside it"] == faults(
        "shots", "model: o/m\nprompt: x\nmatrix:\n  images: [a]\n"
    )


def test_too_many_jobs_are_refused_before_any_is_made():
    shots("a.png", "b.png")
    (line,) = faults("shots", f"model: kontext-pro\nprompt: x\nmatrix:\n  seed: {[*range(6000)]}\n")
    assert "it makes 12000 jobs (2 x 6000); at most 10000 are allowed" in line


# ── zips ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def linked(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def lying():
    """A zip whose table of contents says that a member is small."""
    pack([("a.png", PNG + bytes(3_000_000))])
    data = bytearray(Path("set/shots.zip").read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 100)
    Path("set/shots.zip").write_bytes(data)


def encrypted():
    pack([("a.png", PNG)])
    data = bytearray(Path("set/shots.zip").read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(mark) + offset] |= 1
    Path("set/shots.zip").write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: pack([("../a.png", PNG)]), "'../a.png' leads out of it"),
        (lambda: pack([("a.png", PNG), ("b/../../a.png", PNG)]), "'b/../../a.png' leads out of it"),
        (lambda: pack([("/a.png", PNG)]), "'/a.png' leads out of it"),
        (lambda: pack([("..\\a.png", PNG)]), "leads out of it"),
        (lambda: pack([("C:\\a.png", PNG)]), "leads out of it"),
        (lambda: pack([("C:a.png", PNG)]), "leads out of it"),
        (lambda: pack([(linked("a.png"), "/etc/passwd")]), "'a.png' is a link"),
        (lambda: pack([("../../etc/passwd", b"x"), ("a.png", PNG)]), "'../../etc/passwd' leads out of it"),
        (lambda: pack([("a.png", PNG + bytes(9 * 2**20))]), "'a.png' has 9437253 bytes, and at most 8 MiB are sent"),
        (lambda: pack([("a.png", PNG + bytes(7 * 2**20))]), "'a.png' expands to more than 100 times its size"),
        (lambda: pack([(f"{n}.png", noise(7 * 2**20)) for n in range(10)]), "its images have 73400320 bytes"),
        (lying, "'a.png' cannot be read"),
        (encrypted, "'a.png' is encrypted"),
        (lambda: pack([("a.png", PNG)], packing=zipfile.ZIP_LZMA), "'a.png' is packed in an unusual way"),
        (lambda: pack([("notes.txt", b"x")]), "it holds no image"),
        (lambda: pack([("__MACOSX/._a.png", PNG), (".hid.png", PNG)]), "it holds no image"),
        (lambda: pack([]), "it holds no image"),
        (lambda: pack([("a.png", b"no image")]), "'a.png': must be a PNG"),
        (lambda: Path("set/shots.zip").write_bytes(b"no zip"), "it is not a zip file"),
        (lambda: Path("set/shots.zip").write_bytes(b""), "it is not a zip file"),
        (lambda: Path("set/shots.zip").write_bytes(zipped([("a.png", PNG)])[:-30]), "it is not a zip file"),
        (lambda: Path("set/shots.zip").mkdir(), None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_zip_that_escapes_swells_or_holds_no_image_is_one_clear_error(make, told):
    Path("set").mkdir()
    make()
    before = sorted(str(path) for path in Path().rglob("*"))
    lines = faults("shots.zip")
    assert 1 == len(lines)
    assert told is None or lines[0].startswith(f"{ONE}shots.zip: {told}") or told in lines[0]
    assert sorted([*before, "set/a.yaml"]) == sorted(str(path) for path in Path().rglob("*"))


@pytest.mark.slow
@given(places=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_zip_is_read_or_refused(places, tmp_path_factory):
    data = bytearray(zipped([("a.png", PNG)]))
    for place, value in places:
        data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(data)
    with contextlib.suppress(ValueError, OSError):
        assert [data_uri("image", PNG)] == [image for _, image in read_zip(path)]


@pytest.mark.skipif(sys.platform == "darwin", reason="the file system takes UTF-8 only")
def test_a_name_of_another_encoding_is_told_before_anything_is_sent():
    Path("set/shots").mkdir(parents=True)
    Path("set/shots", os.fsdecode(b"caf\xe9.png")).write_bytes(PNG)
    assert any("'caf\\udce9.png' is not text that UTF-8 can encode" in line for line in faults("shots"))


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def noise(size):
    return PNG + random.Random(1).randbytes(size - len(PNG))
