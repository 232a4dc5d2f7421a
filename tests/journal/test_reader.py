"""A reader leaves the folder of a journal as it found it, and does not disturb a writer."""

import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import attrs
import pytest
from dying_process import in_child

from cometflux.cli import main
from cometflux.gallery import write_gallery
from cometflux.journal import overview
from cometflux.journal.database import open_reader, uri_of
from cometflux.journal.manifest import write_manifest
from cometflux.journal.overview import JournalOverview
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.writer import JournalWriter

RECORDS = [
    JobRecord(
        identity=f"key:{number}",
        index=number,
        key=str(number),
        model="o/m",
        input={"prompt": f"boat {number}"},
        fingerprint=f"f{number}",
    )
    for number in range(6)
]


def write(folder):
    with contextlib.closing(JournalWriter(folder)) as writer:
        writer.open()
        writer.commit(RECORDS, ())


def files_in(folder):
    # A log's index is memory that processes share while they read.
    return {
        path.name: path.name.endswith("-shm") or (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.iterdir()
    }


def read(folder):
    with Journal(folder) as journal:
        return [record.key for record in journal.records()]


def _gallery(folder):
    write_gallery(folder)
    (folder / "index.html").unlink()


def _manifest(folder):
    write_manifest(folder)
    for name in ("manifest.jsonl", "manifest.sha256"):
        (folder / name).unlink()


READERS = {
    "library": read,
    "status": lambda folder: main(["status", str(folder)]),
    "unknown": lambda folder: main(["unknown", str(folder)]),
    "gallery": _gallery,
    "manifest": _manifest,
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_reader_leaves_the_folder_as_it_was(reader, tmp_path):
    write(tmp_path)
    before = files_in(tmp_path)
    reader(tmp_path)
    assert before == files_in(tmp_path)


def test_a_reader_that_leaves_last_among_several_tidies_up(tmp_path):
    write(tmp_path)
    before = files_in(tmp_path)
    with Journal(tmp_path) as first:
        with Journal(tmp_path) as second:
            assert first.status() == second.status()
        assert 6 == len(list(first.records()))
    assert before == files_in(tmp_path)


def test_the_log_of_a_killed_run_is_read_and_stays(tmp_path):
    def work():
        writer = JournalWriter(tmp_path)
        writer.open()
        writer.commit(RECORDS, ())
        os.kill(os.getpid(), signal.SIGKILL)

    assert -signal.SIGKILL == in_child(work)
    before = files_in(tmp_path)
    assert {"journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-shm", "journal.lock"} == set(before)
    for _ in range(2):
        assert [record.key for record in RECORDS] == read(tmp_path)
        assert before == files_in(tmp_path)


@pytest.mark.parametrize("begins", ["before", "after"])
def test_a_reader_that_leaves_takes_nothing_from_a_writer(begins, tmp_path):
    write(tmp_path)
    writer = JournalWriter(tmp_path)
    if begins == "before":
        writer.open()
        reader = Journal(tmp_path)
    else:
        reader = Journal(tmp_path)
        writer.open()
    writer.commit((), [RECORDS[0].sending(1.0, "d", 1)])
    assert 6 == len(list(reader.records()))
    reader.close()
    writer.commit((), [RECORDS[1].sending(2.0, "d", 1)])
    writer.close()
    with Journal(tmp_path) as journal:
        assert [1.0, 2.0, None, None, None, None] == [record.began for record in journal.records()]
    assert {"journal.sqlite3", "journal.lock"} == set(files_in(tmp_path))


def test_what_a_writer_leaves_that_is_killed_beside_a_reader_is_kept(tmp_path):
    write(tmp_path)

    def work():
        writer = JournalWriter(tmp_path)
        writer.open()
        writer.commit((), [RECORDS[0].sending(1.0, "d", 1)])
        os.kill(os.getpid(), signal.SIGKILL)

    with Journal(tmp_path) as reader:
        assert -signal.SIGKILL == in_child(work)
        assert 1.0 == next(reader.records()).began
    for _ in range(2):
        with Journal(tmp_path) as reader:
            assert 1.0 == next(reader.records()).began


@pytest.fixture
def disk():
    """A folder that others may enter, too."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize("left", ["nothing", "log", "log without index"])
def test_in_a_folder_that_is_read_only_all_is_read_and_stays(left, disk):
    def work():
        writer = JournalWriter(disk)
        writer.open()
        writer.commit(RECORDS, ())
        if left != "nothing":
            os.kill(os.getpid(), signal.SIGKILL)
        writer.close()

    def look():
        if not os.getuid():
            os.setgid(65534)
            os.setuid(65534)
        assert [record.key for record in RECORDS] == read(disk)

    in_child(work)
    if left == "log without index":
        (disk / "journal.sqlite3-shm").unlink()
    before = files_in(disk)
    assert [record.key for record in RECORDS] == read(disk)
    assert before == files_in(disk)
    for each in (*disk.iterdir(), disk):
        if not os.getuid():
            os.chown(each, 65534, 65534)
    disk.chmod(0o500)
    assert 0 == in_child(look)
    disk.chmod(0o700)
    assert before == files_in(disk)


@pytest.mark.parametrize("files", [["a.csv"], ["a.csv", "b.csv"], ["a.csv", None]])
def test_a_count_of_the_jobs_by_state_and_by_file_sorts_no_rows(files, tmp_path, monkeypatch):
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        named = enumerate(files * 10)
        writer.commit([attrs.evolve(RECORDS[0], identity=f"key:{number}", source=file) for number, file in named])
    statements = []

    def open_traced(*arguments):
        database = open_reader(*arguments)
        database.set_trace_callback(statements.append)
        return database

    monkeypatch.setattr(overview, "open_reader", open_traced)
    with JournalOverview(tmp_path) as journal:
        assert len(files) * 10 == journal.status()["waiting"]
        counts = {file: states["waiting"] for file, states in journal.sources().items()}
    assert {file or "": 10 for file in files} == counts
    with contextlib.closing(open_reader(tmp_path / "journal.sqlite3", None)) as database:
        counting = [each for each in statements if "jobs" in each]
        steps = [row[-1] for each in counting for row in database.execute(f"EXPLAIN QUERY PLAN {each}")]
    assert len(counting) >= 2
    assert [] == [step for step in steps if "FOR GROUP BY" in step]


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (PurePosixPath("/a b/50%?#.sqlite"), "file:///a%20b/50%25%3F%23.sqlite"),
        (PurePosixPath("/" + os.fsdecode(b"\xff")), "file:///%FF"),
        (PureWindowsPath("C:\\a b\\journal"), "file:///C:/a%20b/journal"),
        (PureWindowsPath("//server/share/journal"), "file:////server/share/journal"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="POSIX alone has names that are no text")
def test_the_uri_of_a_path_has_no_host_and_no_query(path, uri):
    assert uri == uri_of(path)


@pytest.mark.parametrize("name", ["a b", "50%", "a#b", "ü", *([] if sys.platform == "win32" else ["what?", "c:d"])])
def test_a_journal_in_an_oddly_named_folder_is_read(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    with contextlib.closing(JournalWriter(folder / "journal")) as writer:
        writer.open()
    with Journal(folder / "journal") as journal:
        assert 0 == journal.status()["planned"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX alone has names that are no text")
@pytest.mark.parametrize("name", [b"r\xe9ves.csv", b"\xff", "\u2028.csv".encode(), b"a\nb.csv"])
def test_jobs_are_counted_by_prompt_files_whose_names_may_be_no_text(name, tmp_path):
    source = os.fsdecode(name)
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        writer.commit([attrs.evolve(RECORDS[0], source=source), attrs.evolve(RECORDS[1], source="b.csv"), RECORDS[2]])
    with JournalOverview(tmp_path) as journal:
        counts = {file: states["waiting"] for file, states in journal.sources().items()}
    assert {source: 1, "b.csv": 1, "": 1} == counts
