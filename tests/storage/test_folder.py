import asyncio
import concurrent.futures
import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import forked_process
import pytest
from blocking_folder import find_each, find_saved, write_output
from hypothesis import given
from hypothesis import strategies as st
from noise_images import picture, uri_of
from strace import watched

from cometflux import open_session
from cometflux.errors import ConfigError, Money, OutputError
from cometflux.jobs import Job
from cometflux.predictions import Prediction, Status
from cometflux.protocol.decoding import load_prediction
from cometflux.provenance.sidecar import record_of
from cometflux.storage import file_names
from cometflux.storage.destination import find_destination
from cometflux.storage.folder import Folder, FolderFiles, check_files, prepare_folder, sweep
from cometflux.storage.image_data import check_image
from cometflux.testing import LocalService

MODEL = "somebody/something"
EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif"}
every_kind = pytest.mark.parametrize(("kind", "extension"), EXTENSIONS.items())


def job(**values):
    return Job(model=MODEL, input=values)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# What counts as a whole image.


@every_kind
@pytest.mark.parametrize("size", [(1, 1), (32, 24), (257, 129)], ids=str)
def test_a_real_image_is_known_by_its_first_bytes(kind, extension, size):
    assert extension == check_image(picture(kind, size))


@every_kind
def test_no_part_of_an_image_passes_for_the_whole(kind, extension):
    data = picture(kind)
    for length in range(1, len(data), 7):
        with pytest.raises(OutputError) as caught:
            check_image(data[:length])
        assert caught.value.is_transient


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


# Writing.


@pytest.mark.parametrize("name", ["a.png", "a.json"])
@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_under_the_name_is_neither_followed_nor_replaced(name, target, tmp_path):
    """Not even one that leads to just these bytes, or to a record of just this prediction."""
    folder, data = tmp_path / "images", picture()
    precious = data if name == "a.png" else json.dumps(record_for("p1")).encode()
    (tmp_path / "elsewhere").write_bytes(precious)
    folder.mkdir()
    (folder / name).symlink_to(tmp_path / target)
    assert "a+1.png" == write_output(folder, "a", data, record_for("p1")).path.name
    assert tmp_path / target == (folder / name).readlink()
    assert precious == (tmp_path / "elsewhere").read_bytes()
    assert not (tmp_path / "nowhere").exists()
    assert 3 == len(names(folder))


@pytest.mark.parametrize("name", ["a.png", "a.json"])
@pytest.mark.parametrize("put", [os.mkdir, lambda path: os.mkfifo(path)], ids=["folder", "pipe"])
def test_what_is_no_file_under_the_name_is_left_alone(name, put, tmp_path):
    put(tmp_path / name)
    before = (tmp_path / name).lstat()
    assert "a+1.png" == write_output(tmp_path, "a", picture(), record_for("p1")).path.name
    assert before == (tmp_path / name).lstat()
    assert find_saved(tmp_path, "a", "p1", 1) is not None


def test_a_folder_behind_a_link_will_do(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "images")
    image = write_output(tmp_path / "link", "a", picture(), record_for("p1"))
    assert tmp_path / "link/a.png" == image.path
    assert (image,) == find_saved(tmp_path / "link", "a", "p1", 1)
    assert ["a.json", "a.png"] == names(tmp_path / "images")


@pytest.mark.parametrize(
    ("there", "name"),
    [
        *[("A.png", "a"), ("a.PNG", "a"), ("A.json", "a"), ("e\u0301.png", "é"), ("é.png", "e\u0301"), ("É.json", "é")],
        *[("STRASSE.png", "straße"), ("a-B.png", "A-b")],
    ],
)
def test_a_name_given_in_another_spelling_than_what_is_there_counts_as_taken(there, name, tmp_path):
    (tmp_path / there).write_bytes(b"precious")
    written = write_output(tmp_path, name, picture(), {}, is_named=True)
    assert f"{name}+1.png" == written.path.name
    assert b"precious" == (tmp_path / there).read_bytes()
    assert f"{name}+2.png" == write_output(tmp_path, name, picture(), {}, is_named=True).path.name


@pytest.mark.parametrize("there", ["ab.png", "a+9.png", "b.png", "A.jpg", "A"])
def test_a_name_given_is_free_where_only_others_are_there(there, tmp_path):
    (tmp_path / there).write_bytes(b"precious")
    assert "a.png" == write_output(tmp_path, "a", picture(), {}, is_named=True).path.name


@pytest.mark.parametrize("folder", [Path("a\0b"), Path("a\ud800")], ids=repr)
def test_a_path_that_no_folder_can_have_is_an_output_error(folder):
    with pytest.raises(OutputError, match="could not be written"):
        write_output(folder, "a", picture(), {})


def test_the_folder_is_made_where_it_is_missing(tmp_path):
    assert write_output(tmp_path / "x/y", "a", picture(), {}).path.is_file()


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
    assert "a+1.png" == write_output(NoLinks(tmp_path), "a", data, {}).path.name
    assert data == (tmp_path / "a+1.png").read_bytes()
    assert b"precious" == (tmp_path / "a.png").read_bytes()
    assert ["a+1.json", "a+1.png", "a.png"] == names(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="the umask is a matter of POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)], ids=oct)
def test_the_umask_is_respected(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        path = write_output(tmp_path, "a", picture(), {}).path
    finally:
        os.umask(before)
    assert [mode, mode] == [stat.S_IMODE(each.stat().st_mode) for each in (path, path.with_suffix(".json"))]


# The disk is full as far as this process can see: no file may grow beyond the limit.
FULL_DISK = """
import resource, sys
from pathlib import Path
from cometflux.errors import OutputError
from blocking_folder import write_output

folder, image, limit = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    write_output(folder, "a", image, {})
except OutputError as error:
    print(error)
"""


def run(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = forked_process.run(command)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="there are no resource limits")
@pytest.mark.parametrize("limit", [0, 1, 512])
def test_an_image_that_does_not_fit_is_not_there_at_all(limit, tmp_path):
    folder = tmp_path / "images"
    (tmp_path / "source").write_bytes(picture())
    told = run(FULL_DISK, folder, tmp_path / "source", limit)
    assert "the image could not be written to" in told
    assert "the prediction is paid for" in told
    assert [] == names(folder)


FULL_FOR_THE_RECORD = """
import resource, sys
from pathlib import Path
from cometflux.errors import OutputError
from blocking_folder import write_output

folder, image = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (len(image), len(image)))
try:
    write_output(folder, "a", image, {"prediction": {"id": "p1", "logs": "x" * len(image)}})
except OutputError as error:
    print(error.path.name, error.is_disk, error, sep="|")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no resource limits")
def test_an_image_whose_record_does_not_fit_is_there_and_gets_it_later(tmp_path):
    folder, data = tmp_path / "images", picture()
    (tmp_path / "source").write_bytes(data)
    told = run(FULL_FOR_THE_RECORD, folder, tmp_path / "source").split("|")
    assert ["a.png", "True"] == told[:2]
    assert "a.png is saved, but not the record next to it" in told[2]
    assert ["a.png"] == names(folder)
    assert "a.png" == write_output(folder, "a", data, record_for("p1")).path.name
    assert ["a.json", "a.png"] == names(folder)


@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may write anywhere")
def test_a_folder_that_may_only_be_read_is_an_output_error_and_its_images_are_found(tmp_path):
    image = write_output(tmp_path, "a", picture(), record_for("p1"))
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="could not be written"):
            write_output(tmp_path, "b", picture(), {})
        assert (image,) == find_saved(tmp_path, "a", "p1", 1)
        assert 0 == sweep(tmp_path)
    finally:
        tmp_path.chmod(0o700)


# Written again after a crash.


def record_for(prediction_id):
    return {"key": "k1", "prediction": {"id": prediction_id}}


@every_kind
def test_writing_again_what_is_there_makes_no_copy(kind, extension, tmp_path):
    data = picture(kind)
    image = write_output(tmp_path, "a", data, record_for("p1"))
    before = [(tmp_path / name).stat() for name in names(tmp_path)]
    assert image == write_output(tmp_path, "a", data, record_for("p1"))
    assert {"a.json", f"a.{extension}"} == set(names(tmp_path))
    # Reading changes no more than the time of the last access.
    after = [(tmp_path / name).stat() for name in names(tmp_path)]
    assert [(s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for s in before] == [
        (s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for s in after
    ]


def test_the_same_image_of_another_prediction_is_a_file_of_its_own(tmp_path):
    data = picture()
    written = [write_output(tmp_path, "a", data, record_for(prediction_id)) for prediction_id in ("p1", "p2", "p1")]
    assert ["a.png", "a+1.png", "a.png"] == [image.path.name for image in written]
    assert 4 == len(names(tmp_path))
    assert 1 == (tmp_path / "a.png").stat().st_nlink


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path, data: path.write_bytes(data[:-1]), id="cut"),
        pytest.param(lambda path, data: path.write_bytes(data[:-1] + b"x"), id="changed"),
        pytest.param(lambda path, data: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path, data: path.write_bytes(data + b"x"), id="longer"),
    ],
)
def test_a_damaged_image_without_a_record_is_not_touched_and_those_after_it_are_found(damage, tmp_path):
    data = picture()
    first = write_output(tmp_path, "a", data, record_for("p1")).path
    first.with_suffix(".json").unlink()
    damage(first, data)
    damaged = first.read_bytes()
    assert find_saved(tmp_path, "a", "p1", 1) is None
    second = write_output(tmp_path, "a", data, record_for("p1"))
    assert "a+1.png" == second.path.name
    assert damaged == first.read_bytes()
    assert (second,) == find_saved(tmp_path, "a", "p1", 1)
    assert second == write_output(tmp_path, "a", data, record_for("p1"))


class Swept(type(Path())):
    """A path in a folder that another run sweeps while this one writes to it."""

    sweeps = 0

    def hardlink_to(self, target):
        if Swept.sweeps:
            Swept.sweeps -= 1
            assert 1 == sweep(self.parent)
        super().hardlink_to(target)


@pytest.mark.parametrize("sweeps", [1, 2])
def test_a_write_outlives_a_run_that_sweeps_beside_it(sweeps, tmp_path):
    Swept.sweeps = sweeps
    assert "a.png" == write_output(Swept(tmp_path), "a", picture(), record_for("p1")).path.name
    assert ["a.json", "a.png"] == names(tmp_path)


class Appearing(type(Path())):
    """A path at which another run writes a file right after this one has found nothing there."""

    def stat(self, *, follow_symlinks=True):
        try:
            return super().stat(follow_symlinks=follow_symlinks)
        except FileNotFoundError:
            Path(self).write_bytes(b"whole")
            raise


async def test_a_file_that_appears_while_it_is_read_is_there_or_not_and_never_empty(tmp_path):
    assert await FolderFiles(Appearing(tmp_path)).read("a.png", 100) is None
    assert b"whole" == await FolderFiles(Appearing(tmp_path)).read("a.png", 100)


# Every event is an operation on a file or folder; each child is killed before another one of them.
KILLED = """
import os, signal, sys
from pathlib import Path
from cometflux.storage.image_data import check_image
from cometflux.storage.folder import sweep
from blocking_folder import find_saved, write_output
from dying_process import die_at_file_event, in_child
from cometflux.storage.folder import Folder

def write(folder, stem, data, record):
    if sys.argv[3] == "in memory":
        return write_output(folder, stem, data, record)
    spool = Folder(folder).spool()
    spool.add(data)
    with spool.whole() as whole:
        return write_output(folder, stem, whole, record)

base, data = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
record = {"prediction": {"id": "p1"}}

def run(folder, last):
    def save():
        die_at_file_event(last)
        write(folder, "a", data, record)
    return in_child(save)

for last in range(1, 100):
    folder = base / str(last)
    status = run(folder, last)
    assert all(check_image(path.read_bytes()) for path in folder.glob("a*.png")), last
    again = run(folder, last)
    swept = sweep(folder)
    # A run has one temporary file at a time, and the spool's beside it.
    assert swept <= (2 if sys.argv[3] == "in memory" else 4), (last, swept)
    image = write(folder, "a", data, record)
    assert (image,) == find_saved(folder, "a", "p1", 1), last
    assert ["a.json", "a.png"] == sorted(os.listdir(folder)), (last, os.listdir(folder))
    if (status, again) == (0, 0):
        print(last, swept)
        break
    assert {status, again} <= {0, -signal.SIGKILL}
"""


@pytest.mark.posix
@pytest.mark.parametrize(("way", "size"), [("in memory", 0), ("spooled", 300_000)])
def test_whenever_it_is_killed_the_next_run_makes_one_file_of_it(way, size, tmp_path):
    (tmp_path / "source").write_bytes(picture().ljust(size))
    kills, swept = map(int, run(KILLED, tmp_path, tmp_path / "source", way).split())
    assert kills > 8
    assert 0 == swept


# Found again.


def saved(folder, stem="a", prediction_id="p1", count=1):
    return [
        write_output(folder, name, picture(size=(8 + n, 8)), record_for(prediction_id))
        for n, name in enumerate([stem] if count == 1 else [f"{stem}-{n + 1}" for n in range(count)])
    ]


@pytest.mark.parametrize("name", ["a.png", "a.json"])
def test_nothing_is_found_through_a_link(name, tmp_path):
    folder = tmp_path / "images"
    saved(folder)
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    assert find_saved(folder, "a", "p1", 1) is None


@pytest.mark.posix
def test_looking_in_a_large_folder_is_cheap(tmp_path):
    """However many files there are, the folder is not listed: the names of one prediction are asked for."""
    saved(tmp_path)
    script = (
        "import sys; from pathlib import Path; from blocking_folder import find_saved\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, args: seen.append(event))\n"
        "found = find_saved(Path(sys.argv[1]), 'a', 'p1', 1)\n"
        "print(len(found), {'os.listdir', 'os.scandir'} & {*seen})"
    )
    assert "1 set()\n" == run(script, tmp_path)


@pytest.mark.parametrize("folder", ["missing", "file", "a\0b", "a\ud800"], ids=repr)
def test_nothing_is_found_where_there_is_no_folder(folder, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert find_saved(tmp_path / folder, "a", "p1", 1) is None
    assert check_files(tmp_path / folder, [("a.png", 0, "")]) is None
    assert 0 == sweep(tmp_path / folder)


# Checked against what was noted.


def noted(images):
    return [(image.path.name, image.size, image.digest) for image in images]


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1]), id="cut"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), id="changed"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes() + b"x"), id="longer"),
        pytest.param(lambda path: path.symlink_to(path.rename(path.with_name("other"))), id="behind a link"),
        pytest.param(lambda path: (path.unlink(), path.mkdir()), id="a folder"),
        pytest.param(lambda path: (path.unlink(), os.mkfifo(path)), id="a pipe"),
        pytest.param(lambda path: (path.unlink(), path.symlink_to(path)), id="a link to itself"),
    ],
)
def test_files_of_which_one_is_not_as_noted_are_not_there(harm, tmp_path):
    images = saved(tmp_path, count=3)
    harm(images[1].path)
    assert check_files(tmp_path, noted(images)) is None


@pytest.mark.parametrize(
    "name", ["../a.png", "x/../a.png", "x//a.png", "./a.png", "a.png/", "/etc/passwd", "", ".", "..", "a\0", "a\ud800"]
)
def test_a_name_that_leaves_the_folder_is_not_there(name, tmp_path):
    (image,) = saved(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a.png").write_bytes(image.path.read_bytes())
    assert check_files(tmp_path / "x", [(name, image.size, image.digest)]) is None
    assert check_files(tmp_path, [(name, image.size, image.digest)]) is None


@given(st.text())
def test_any_name_noted_is_in_the_folder_or_not_there(name):
    assert check_files(Path("/nowhere/at/all"), [(name, 0, "")]) is None


def test_a_large_file_is_checked_in_little_memory(tmp_path):
    path, size = tmp_path / "a.png", 64 * 1024 * 1024
    path.touch()
    os.truncate(path, size)
    digest = hashlib.sha256(bytes(size)).hexdigest()
    tracemalloc.start()
    try:
        assert check_files(tmp_path, [("a.png", size, digest)]) is not None
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
    finally:
        tracemalloc.stop()


# Swept.


def test_what_killed_runs_left_is_swept_and_nothing_else(tmp_path):
    left = [*(f".cometflux-{number:016x}" for number in (0, 0xFEDCBA9876543210)), ".cometflux-0000000000000007---"]
    kept = [
        *(".cometflux-0", ".cometflux-00000000000000000", ".cometflux-000000000000000G", ".cometflux-000000000000000A"),
        *("cometflux-0000000000000000", ".cometflux-0000000000000000.png", "a.png", "journal.sqlite3"),
        ".cometflux-0000000000000000\n",
    ]
    for name in (*left, *kept):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / left[0]).write_bytes(b"x")
    (tmp_path / ".cometflux-1111111111111111").mkdir()
    (tmp_path / ".cometflux-2222222222222222").symlink_to(tmp_path / "a.png")
    os.mkfifo(tmp_path / ".cometflux-3333333333333333")
    before = set(names(tmp_path))
    assert 3 == sweep(tmp_path)
    assert before - set(left) == set(names(tmp_path))
    assert [left[0]] == names(tmp_path / "below")
    assert 0 == sweep(tmp_path)


async def test_two_that_sweep_at_the_same_time_do_not_mind(tmp_path):
    for number in range(200):
        (tmp_path / f".cometflux-{number:016x}").touch()
    assert 200 == sum(await asyncio.gather(*(asyncio.to_thread(sweep, tmp_path) for _ in range(4))))


PROBED = """
import os, signal, sys
from pathlib import Path
from cometflux.storage.folder import prepare_folder

sys.addaudithook(lambda event, args: event == "os.remove" and os.kill(os.getpid(), signal.SIGKILL))
prepare_folder(Path(sys.argv[1]))
"""


@pytest.mark.posix
def test_the_file_that_tries_a_folder_is_swept_after_a_crash(tmp_path):
    assert -9 == forked_process.run([sys.executable, "-c", PROBED, str(tmp_path)]).returncode
    assert 2 == len(names(tmp_path))
    assert 2 == sweep(tmp_path)
    assert [] == names(tmp_path)


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
    path = write_output(tmp_path, "a", data, record_of(PREDICTION, asked, "k1", 3)).path
    text = path.with_suffix(".json").read_text(encoding="utf-8")
    digest = {"type": "image/png", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert {
        "file": "a.png",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        "mark": "bare",
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
    path = write_output(tmp_path, "a", picture(), record_of(said, None, None, None)).path
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["prediction"]["logs"].startswith("done ")


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


@pytest.mark.posix
def test_a_disk_without_room_is_noticed(tmp_path):
    script = (
        "import resource, sys; from pathlib import Path; from cometflux import errors\n"
        "from cometflux.storage import folder\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: folder.prepare_folder(Path(sys.argv[1]))\n"
        "except errors.ConfigError as error: print(error)"
    )
    assert "cannot be written to" in run(script, tmp_path)
    assert [] == names(tmp_path)


@pytest.mark.posix
@pytest.mark.parametrize("loses", ["the bytes", "the file"])
def test_a_folder_that_does_not_keep_what_it_takes_is_refused(loses, tmp_path, monkeypatch):
    sync = os.fsync

    def lose(descriptor):
        sync(descriptor)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, 0)

    def lose_all(descriptor):
        sync(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            for path in tmp_path.iterdir():
                path.unlink()

    monkeypatch.setattr(os, "fsync", {"the bytes": lose, "the file": lose_all}[loses])
    with pytest.raises(ConfigError, match="cannot be written to: it takes files but does not keep"):
        prepare_folder(tmp_path)
    assert [] == names(tmp_path)


async def test_the_names_of_one_image_have_an_end(tmp_path):
    for name in file_names.numbered("boat"):
        (tmp_path / f"{name}.json").write_text("{}")
    with pytest.raises(OutputError, match=r"all 100 names from boat to boat\+99 are taken") as caught:
        await Folder(tmp_path).write("boat", picture(), {"prediction": {"id": "p"}})
    assert caught.value.is_disk
    assert [None] == await Folder(tmp_path).find_each("boat", "p", 1)


@pytest.mark.posix
async def test_a_folder_that_says_taken_for_ever_gets_a_bounded_number_of_writes(tmp_path, monkeypatch):
    refuse("link", "EEXIST", monkeypatch)
    data = picture()
    words = rf"10 tries to write it \({10 * len(data)} bytes in all\) are the most"
    with pytest.raises(OutputError, match=words) as caught:
        await Folder(tmp_path).write("boat", data, {"prediction": {"id": "p"}})
    assert caught.value.is_disk
    assert [] == names(tmp_path)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path / "images" == find_destination("save_to", "~/images").path


# Places that refuse a part of what saving does, such as network folders and memory sticks.

REFUSALS = [
    *[("link", number) for number in ("EPERM", "EACCES", "EIO", "EINVAL", "ENOTSUP", "ENOSYS", "EMLINK")],
    *[("sync", number) for number in ("EINVAL", "EIO", "EBADF", "EACCES", "ENOTSUP", "ENOSYS")],
]


def refuse(call, number, monkeypatch):
    """Have the system refuse links, or to sync a folder."""
    sync = os.fsync

    def refuse_call(*args):
        if call == "link" or stat.S_ISDIR(os.fstat(args[0]).st_mode):
            raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))
        return sync(*args)

    monkeypatch.setattr(os, {"link": "link", "sync": "fsync"}[call], refuse_call)


@pytest.mark.posix
@pytest.mark.parametrize(("call", "number"), REFUSALS)
def test_a_place_that_refuses_links_or_syncs_will_do_and_nothing_is_replaced(
    call, number, tmp_path, monkeypatch, caplog
):
    (tmp_path / "a.png").write_bytes(b"precious")
    refuse(call, number, monkeypatch)
    prepare_folder(tmp_path)
    for prediction_id in ("p1", "p2"):
        write_output(tmp_path, "a", picture(), record_for(prediction_id))
    assert ["a+1.json", "a+1.png", "a+2.json", "a+2.png", "a.png"] == names(tmp_path)
    assert b"precious" == (tmp_path / "a.png").read_bytes()
    assert find_saved(tmp_path, "a", "p2", 1) is not None
    said = [message for message in caplog.messages if "cannot be synced" in message]
    assert (["the folder" in message for message in said]) == ([True] if call == "sync" else [])


@pytest.mark.posix
@pytest.mark.parametrize("call", ["link", "sync"])
def test_a_place_that_is_full_is_refused_before_anything_is_submitted(call, tmp_path, monkeypatch):
    refuse(call, "ENOSPC", monkeypatch)
    with pytest.raises(ConfigError, match="cannot be written to: No space left"):
        prepare_folder(tmp_path)
    assert [] == names(tmp_path)


@pytest.mark.parametrize("call", ["rename", "replace"])
def test_two_runs_that_save_the_same_name_without_links_lose_nothing(call, tmp_path, monkeypatch):
    """The second run saves at the moment when the first one gives its file the name."""
    refuse("link", "EPERM", monkeypatch)
    move, others = getattr(os, call), iter(["p2"])

    def move_late(*args):
        for prediction_id in others:
            write_output(tmp_path, "a", picture(), record_for(prediction_id))
        move(*args)

    monkeypatch.setattr(os, call, move_late)
    # Either call may be the one that saving uses.
    write_output(tmp_path, "a", picture(), record_for("p1"))
    for _ in others:
        write_output(tmp_path, "a", picture(), record_for("p2"))
    assert ["a+1.json", "a+1.png", "a.json", "a.png"] == names(tmp_path)
    for prediction_id in ("p1", "p2"):
        assert [None] != find_each(tmp_path, "a", prediction_id, 1)


def test_many_runs_that_save_the_same_names_without_links_lose_nothing(tmp_path, monkeypatch):
    refuse("link", "EPERM", monkeypatch)
    with concurrent.futures.ThreadPoolExecutor(4) as runs:
        each = [
            runs.submit(write_output, tmp_path, f"{number}", picture(), record_for(f"p{run}-{number}"))
            for number in range(20)
            for run in range(4)
        ]
    assert 80 == len({image.result().path for image in each}) == len([*tmp_path.glob("*.png")])
    assert 80 == len({json.loads(path.read_text())["prediction"]["id"] for path in tmp_path.glob("*.json")})


@pytest.mark.realtime
@pytest.mark.parametrize("given", ["images", Path("images"), "~/images"], ids=repr)
async def test_images_and_journal_stay_where_they_were_given(given, tmp_path, monkeypatch):
    """The program changes its current folder in between."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    async with LocalService(pixels=4096, latency=0.0) as service:
        session = open_session(api_key=service.key, base_url=service.url, journal=given)
        monkeypatch.chdir(elsewhere)
        async with session:
            monkeypatch.chdir(tmp_path)
            batch = session.generate(["a boat"], save_to=given)
            monkeypatch.chdir(elsewhere)
            files = [outcome.files async for outcome in batch]
            saved = await session.save(await session.run("a fox"), Path("more"))
    assert [(tmp_path / "images/00000-a-boat.webp",)] == files
    assert elsewhere / "more" == saved[0].parent
    assert (tmp_path / "images/journal.sqlite3").is_file()
    assert ["more"] == names(elsewhere)


def test_an_image_and_its_record_are_on_the_disk_before_their_names_and_the_names_before_anyone_is_told(tmp_path):
    log, images = tmp_path / "log", tmp_path / "images"
    images.mkdir()
    (tmp_path / "source").write_bytes(picture())
    script = "import sys; from pathlib import Path; from blocking_folder import write_output; "
    script += "write_output(Path(sys.argv[1]), 'a', Path(sys.argv[2]).read_bytes(), {'prediction': {'id': 'p1'}})"
    call = [sys.executable, "-c", script, str(images), str(tmp_path / "source")]
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([*watched("fsync,?link,?linkat", log), *call], check=True, timeout=60, env=paths)
    calls = [line.partition(" ")[2] for line in log.read_text().splitlines() if str(images) in line]
    kinds = [call.lstrip().partition("(")[0].removesuffix("at") for call in calls]
    assert ["fsync", "link", "fsync", "link", "fsync"] == kinds
    assert f"<{images}>)" in calls[-1]
