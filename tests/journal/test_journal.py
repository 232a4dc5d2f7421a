"""The journal broken in every way at hand: it tells all that was committed, or refuses with a reason."""

import contextlib
import os
import random
import shutil
import signal
import socket
import sqlite3
import stat
import threading
import time
from itertools import islice
from pathlib import Path

import attrs
import pytest
from dying_process import dying, fork_off, in_child, wait_for
from waiting import PATIENCE

from cometflux.errors import ConfigError, JournalError, JournalLockedError, JournalMismatchError
from cometflux.journal import lock
from cometflux.journal.attempts import SavedFile
from cometflux.journal.base import Opened
from cometflux.journal.header import Account
from cometflux.journal.place import FILE_NAME, locate
from cometflux.journal.plan import PlannedRow
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.states import SENDING, STATE_NAMES
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status

pytestmark = pytest.mark.slow

KEY = "sk-canary-5f1e"
ACCOUNT = Account(base_url="https://a.example/v1", key=KEY)
PARTS = {"database": "", "log": "-wal", "index": "-shm"}


def small_pages(*args, **options):
    database = sqlite3.connect(*args, **options)
    database.execute("PRAGMA page_size = 512")
    return database


def new(number, **known):
    name = f"{number:05d}"
    return JobRecord(
        **{
            "identity": f"key:{name}",
            "index": number,
            "key": name,
            "model": "o/m",
            "input": {"prompt": f"boat {name}"},
            "fingerprint": f"f{name}",
            **known,
        }
    )


def rows(records):
    return map(PlannedRow.of, records)


def opened(path, account=ACCOUNT, **options):
    writer = JournalWriter(path, account, **options)
    writer.open()
    return contextlib.closing(writer)


def told(path):
    with Journal(path) as journal:
        return list(journal.records()), journal.base_url


def found(path):
    """Return the same as `told`, and look each job up as a session does."""
    with opened(path) as writer:
        records, base_url = told(path)
        looked_up = writer.find(record.identity for record in records)
        assert {record.identity: record for record in records} == looked_up
        return records, base_url


def work(writer):
    """Write as a batch does: plan, send, accept."""
    records = [new(number) for number in range(5)]
    writer.plan(rows(records))
    sent = [record.sending(1.5, "body", 10) for record in records[:3]]
    writer.commit((), sent)
    accepted = sent[0].accepted(Prediction(id="p-0", status=Status.STARTING), 2.5)
    writer.commit([new(5)], [accepted, sent[1].withdrawn()])


def write_and_change(path, statement):
    """Write a journal, and change it as another program might."""
    with opened(path) as writer:
        work(writer)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(statement)


def sibling(path, part):
    return lock.locate(path) if part == "lock" else path.with_name(path.name + PARTS[part])


@pytest.fixture
def disk():
    """A folder in memory, since every byte makes a journal of its own."""
    parent = Path("/dev/shm")
    folder = Path(f"{parent if parent.is_dir() else '/tmp'}/cometflux-{os.getpid()}-{random.random()}")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class Left:
    """What a process left behind, to be laid out again and again with one thing wrong."""

    def __init__(self, disk, *, killed):
        self.path = disk / "there" / FILE_NAME
        made = disk / "here" / FILE_NAME
        with opened(made, connect=small_pages) as writer:
            if killed:
                # What was there before is in the database, the rest in its log.
                writer.plan(rows([new(number) for number in range(3)]))
                writer.close()
                writer.open()
            work(writer)
            if killed:
                self.files = {each.name: each.read_bytes() for each in made.parent.iterdir()}
            self.expected = told(made)
        if not killed:
            self.files = {each.name: each.read_bytes() for each in made.parent.iterdir()}

    def lay_out(self, changes=None):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path.parent)
        self.path.parent.mkdir()
        for name, data in {**self.files, **(changes or {})}.items():
            if data is not None:
                (self.path.parent / name).write_bytes(data)

    def what_comes_of(self, changes):
        """Read it, then open it to write; return what was wrong with what was told, and how often it was refused."""
        self.lay_out(changes)
        wrong, refused = [], 0
        for look in (told, found):
            try:
                if self.expected != look(self.path):
                    wrong.append(look.__name__)
            except (JournalError, ConfigError):
                refused += 1
        return wrong, refused


@pytest.mark.parametrize("step", [31, pytest.param(1, marks=pytest.mark.hard)], ids=["some bytes", "every byte"])
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "closed"])
@pytest.mark.parametrize("part", ["database", "log", "index", "lock"])
def test_a_journal_cut_at_any_byte_tells_all_or_is_refused(part, killed, step, disk):
    left = Left(disk, killed=killed)
    name = sibling(left.path, part).name
    whole = left.files.get(name)
    if whole is None:
        assert not killed
        return
    assert ([], 0) == left.what_comes_of({})
    # The index is made anew whatever is in it; and within a page all places are alike.
    ends = range(0, len(whole), {"index": 32 * step, "lock": 1}.get(part, step))
    edges = [place + step for place in range(0, len(whole), 512) for step in (-1, 0, 1)]
    refusals = 0
    for end in sorted({*ends, *edges, len(whole) - 1} & {*range(len(whole))}):
        wrong, refused = left.what_comes_of({name: whole[:end]})
        assert [] == wrong, f"cut at {end} of {len(whole)}"
        refusals += refused
        # The log of a killed process may have all that the database has lost.
        if part == "lock" or (part == "database" and not killed):
            assert refused == 2 or not end, f"cut at {end} of {len(whole)}"
    assert refusals or part == "index"


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.hard)], ids=["some bytes", "every byte"])
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "closed"])
@pytest.mark.parametrize("part", ["log", "lock"])
def test_a_journal_with_a_flipped_bit_tells_all_or_is_refused(part, killed, step, disk):
    left = Left(disk, killed=killed)
    name = sibling(left.path, part).name
    whole = left.files.get(name)
    if whole is None:
        assert not killed
        return
    chance = random.Random(7)
    refusals = 0
    for place in range(0, len(whole), 1 if part == "lock" else step):
        wrong, refused = left.what_comes_of({name: flip(whole, place, chance.randrange(8))})
        assert [] == wrong, f"bit flipped in byte {place} of {len(whole)}"
        assert refused == 2 or part != "lock", f"bit flipped in byte {place} of {len(whole)}"
        refusals += refused
    assert refusals


def flip(whole, place, bit):
    flipped = bytearray(whole)
    flipped[place] ^= 1 << bit
    return bytes(flipped)


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.hard)], ids=["some bytes", "every byte"])
def test_a_database_with_a_flipped_bit_is_read_or_refused_and_nothing_else(step, disk):
    """Within a text nobody can see it; whatever can be seen is told as an error of the journal."""
    left = Left(disk, killed=False)
    chance = random.Random(7)
    refused = 0
    for place in range(0, len(left.files[FILE_NAME]), step):
        left.lay_out({FILE_NAME: flip(left.files[FILE_NAME], place, chance.randrange(8))})
        try:
            told(left.path)
            with opened(left.path) as writer:
                writer.find(record.identity for record in left.expected[0])
                writer.commit([new(9)])
        except JournalError:
            refused += 1
    assert refused


def lay_out_damaged_ways(left):
    """Lay the journal out once for each byte that leads to a row, with that byte damaged; yield its place."""
    whole = left.files[FILE_NAME]
    # A page that leads to the rows of a table begins with a 5.
    starts = [start for start in range(512, len(whole), 512) if whole[start] == 5]
    for place in (start + each for start in starts for each in range(512)):
        left.lay_out({FILE_NAME: flip(whole, place, 1)})
        yield place


def test_a_damaged_way_to_a_row_is_noticed_by_whoever_reads(disk):
    """Every row is whole, and yet looking for the one behind another finds a wrong one, or none."""
    left = Left(disk, killed=False)
    reasons = set()
    for place in lay_out_damaged_ways(left):
        try:
            assert left.expected == told(left.path), f"bit flipped in byte {place}"
        except JournalError as error:
            reasons.add(error.message.rpartition(": ")[2])
    assert any(reason.endswith("is not where it should be") for reason in reasons), reasons


def test_a_damaged_way_to_a_row_does_not_make_the_order_endless(disk):
    left = Left(disk, killed=False)
    reasons = set()
    for place in lay_out_damaged_ways(left):
        try:
            with Journal(left.path) as journal:
                most = 10 * len(left.expected[0])
                numbers = [number for number, _ in islice(journal.order(), most)]
                assert len(numbers) < most, f"bit flipped in byte {place}"
                assert len(numbers) >= len(list(journal.read(numbers)))
        except JournalError as error:
            reasons.add(error.message.rpartition(": ")[2])
    assert reasons


def test_what_is_refused_is_left_as_it_is(disk):
    left = Left(disk, killed=True)
    name = sibling(left.path, "log").name
    damaged = flip(left.files[name], len(left.files[name]) // 2, 0)
    left.lay_out({name: damaged})
    with pytest.raises(JournalError):
        JournalWriter(left.path, ACCOUNT).open()
    assert damaged == sibling(left.path, "log").read_bytes()
    assert left.files[FILE_NAME] == left.path.read_bytes()
    sibling(left.path, "log").write_bytes(left.files[name])
    assert left.expected == found(left.path)


def test_the_log_beside_a_database_that_was_emptied_is_left_as_it_is(disk):
    """SQLite would throw it away."""
    left = Left(disk, killed=True)
    log = sibling(left.path, "log")
    assert ([], 2) == left.what_comes_of({FILE_NAME: b"", sibling(left.path, "lock").name: None})
    assert left.files[log.name] == log.read_bytes()


def test_an_older_copy_of_the_database_is_refused(disk):
    path = disk / FILE_NAME
    with opened(path) as writer:
        work(writer)
    older = path.read_bytes()
    with opened(path) as writer:
        writer.commit([new(9)])
    path.write_bytes(older)
    assert_refused(path, "lacks the last 1 changes")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE header SET journal = '0123456789abcdef'",
        "UPDATE header SET serial = 'many'",
        "UPDATE header SET serial = serial - 1",
        "UPDATE header SET base_url = x'00'",
        "DELETE FROM header",
        "DROP TABLE jobs",
        "DROP INDEX standings",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 1",
        "PRAGMA application_id = 7",
        "CREATE TABLE more(a)",
    ],
)
def test_a_journal_that_something_else_has_changed_is_refused(statement, disk):
    path = disk / FILE_NAME
    write_and_change(path, statement)
    assert_refused(path, "journal")


@pytest.mark.parametrize(
    "change",
    [
        "standing = 'saved'",
        "standing = 'sold'",
        "bought = 0",
        "bought = 'many'",
        "progress = '{}'",
        "progress = '{'",
        "progress = x'7bff7d'",
        "progress = 7",
        "plan = '[]'",
        "plan = replace(plan, 'fingerprint', 'footprint')",
        "place = 'first'",
        "number = 70",
    ],
)
def test_a_row_that_something_else_has_changed_is_refused_when_it_is_read(change, disk):
    path = disk / FILE_NAME
    write_and_change(path, f"UPDATE jobs SET {change} WHERE identity = 'key:00000'")
    with Journal(path) as journal, pytest.raises(JournalError, match=r"the journal .* is damaged"):
        list(journal.records())
    if "number" not in change:
        with pytest.raises(JournalError, match=r"the journal .* is damaged"), opened(path) as writer:
            writer.find(["key:00000"])


def test_a_place_where_no_job_can_stand_is_not_counted(tmp_path):
    write_and_change(tmp_path / FILE_NAME, "UPDATE jobs SET standing = 'sold' WHERE number = 1")
    with Journal(tmp_path) as journal, pytest.raises(JournalError, match="no job can be 'sold'"):
        journal.status()


def assert_refused(path, reason):
    with pytest.raises(JournalError, match=reason):
        JournalWriter(path, ACCOUNT).open()
    with pytest.raises(JournalError, match=reason):
        Journal(path)
    assert not lock.is_locked(path)


def test_a_log_of_another_journal_is_refused(disk):
    one, other = Left(disk, killed=True), Left(disk / "more", killed=True)
    name = sibling(one.path, "log").name
    for changes in ({name: other.files[name]}, {name: other.files[name], FILE_NAME: other.files[FILE_NAME]}):
        assert ([], 2) == one.what_comes_of(changes)


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "closed"])
def test_without_its_lock_file_a_journal_is_whole(killed, disk):
    left = Left(disk, killed=killed)
    for gone in (None, b""):
        assert ([], 0) == left.what_comes_of({sibling(left.path, "lock").name: gone})


def test_a_database_that_is_gone_is_refused_while_its_lock_file_knows_of_it(disk):
    left = Left(disk, killed=False)
    assert ([], 2) == left.what_comes_of({FILE_NAME: None})
    with pytest.raises(JournalError, match="is gone, though"):
        JournalWriter(left.path).open()
    assert not left.path.exists()


def test_a_journal_that_a_crash_left_before_its_first_row_goes_on(disk):
    """A kill at any moment of the first opening leaves something that can be opened."""
    for number in range(1, 8):
        path = disk / str(number) / FILE_NAME
        path.parent.mkdir()
        in_child(lambda: JournalWriter(path, ACCOUNT, connect=dying(number)).open())  # noqa: B023 - run at once
        with opened(path) as writer:
            writer.commit([new(0)])
        assert [new(0)] == told(path)[0]


# ── a process that dies ──────────────────────────────────────────────────────────────────────────────────────────────


# ── who may read and write ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def umask():
    before = os.umask(0)
    yield os.umask
    os.umask(before)


def modes(folder):
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o277, 0o777])
@pytest.mark.parametrize("before", [None, 0o666])
def test_nobody_else_may_read_a_journal(before, mask, umask, tmp_path):
    path = tmp_path / FILE_NAME
    if before is not None:
        for part in (path, sibling(path, "lock")):
            part.touch()
            part.chmod(before)
    umask(mask)
    with opened(path) as writer:
        work(writer)
        assert dict.fromkeys([FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", "journal.lock"], "0o600") == modes(
            tmp_path
        )
    assert dict.fromkeys([FILE_NAME, "journal.lock"], "0o600") == modes(tmp_path)


def test_what_a_dead_process_left_for_all_to_read_is_made_private(disk):
    left = Left(disk, killed=True)
    left.lay_out()
    for path in left.path.parent.iterdir():
        path.chmod(0o644)
    with opened(left.path):
        assert {"0o600"} == {*modes(left.path.parent).values()}


def test_a_second_writer_in_the_same_process_is_told_at_once_who_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_PATIENCE", PATIENCE)
    with opened(tmp_path) as writer:
        began = time.perf_counter()
        for second in (JournalWriter(tmp_path), writer):
            with pytest.raises(JournalLockedError, match="another session of this process; wait for it, or close it"):
                second.open()
        assert time.perf_counter() - began < PATIENCE / 2
        writer.commit([new(0)])
    with opened(tmp_path):
        pass


def test_a_second_writer_in_another_process_is_told_at_once_who_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_PATIENCE", PATIENCE)

    def second():
        began = time.perf_counter()
        with pytest.raises(JournalLockedError, match=rf"\(process {os.getppid()}\)"):
            JournalWriter(tmp_path).open()
        return int(time.perf_counter() - began > PATIENCE / 2)

    with opened(tmp_path):
        assert 0 == in_child(second)


@pytest.mark.parametrize("ending", [9, signal.SIGTERM])
def test_when_its_owner_is_killed_a_journal_is_free(ending, tmp_path):
    def owner():
        writer = JournalWriter(tmp_path, ACCOUNT)
        writer.open()
        writer.commit([new(0)])
        os.kill(os.getpid(), ending)

    assert -ending == in_child(owner)
    with opened(tmp_path) as writer:
        assert [new(0)] == [*writer.find(["key:00000"]).values()]


def test_a_process_that_was_forked_off_neither_keeps_nor_gives_away_the_journal(tmp_path):
    with opened(tmp_path) as writer:
        ready, leave = socket.socketpair()

        def disturb():
            for use in (lambda: writer.commit([new(7)]), lambda: writer.find(["key:00007"])):
                with pytest.raises(JournalError, match="belongs to the process that opened it"):
                    use()
            writer.close()
            leave.send(b"y")
            ready.close()
            leave.recv(1)

        child = fork_off(disturb)
        leave.close()
        assert b"y" == ready.recv(1)
        with pytest.raises(JournalLockedError):
            JournalWriter(tmp_path).open()
        writer.commit([new(0)])
    # The child lives, and its parent has closed the journal.
    with opened(tmp_path) as writer:
        assert ["key:00000"] == [*writer.find(["key:00000", "key:00007"])]
    ready.close()
    assert 0 == wait_for(child)


def test_readers_do_not_disturb_a_writer_that_comes_and_goes(tmp_path):
    with opened(tmp_path) as writer:
        work(writer)
    over, faults, looks = threading.Event(), [], 0

    def read():
        nonlocal looks
        with Journal(tmp_path) as journal:
            while not over.is_set():
                journal.is_running  # noqa: B018 - it takes the lock for a moment
                looks += 1
                if looks % 50 == 0:
                    try:
                        assert 6 == journal.status()["planned"]
                        assert 6 == len(told(tmp_path)[0])
                    except (JournalError, AssertionError) as error:
                        faults.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(200):
            with opened(tmp_path) as writer:
                writer.commit((), [new(number % 6)])
    finally:
        over.set()
        reader.join()
    assert [] == faults
    assert looks > 200


def test_many_lookers_do_not_keep_a_writer_out(tmp_path):
    over = threading.Event()

    def look():
        while not over.is_set():
            lock.is_locked(tmp_path / FILE_NAME)

    lookers = [threading.Thread(target=look) for _ in range(4)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(30):
            lock.Lock(tmp_path / FILE_NAME).release()
    finally:
        over.set()
        for looker in lookers:
            looker.join()


def test_a_link_leads_to_the_same_lock(tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    (tmp_path / "link.db").symlink_to(there / FILE_NAME)
    with opened(there) as writer:
        writer.commit([new(0)])
        with pytest.raises(JournalLockedError):
            JournalWriter(tmp_path / "link.db").open()
    with opened(tmp_path / "link.db") as writer:
        assert ["key:00000"] == [*writer.find(["key:00000"])]


def test_a_journal_with_a_hard_link_is_refused_under_both_names_until_one_is_removed(tmp_path):
    """Each name would have a lock of its own."""
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    with opened(one) as writer:
        writer.commit([new(0)])
    other.hardlink_to(one)
    for path in (one, other):
        with pytest.raises(JournalError, match="hard link"):
            JournalWriter(path).open()
        assert [new(0)] == told(path)[0]
    other.unlink()
    with opened(one) as writer:
        assert ["key:00000"] == [*writer.find(["key:00000"])]


@pytest.mark.parametrize("name", ["b.lock", "a.db", "a.sqlite3"])
def test_a_lock_file_is_never_the_journal_itself_nor_that_of_another(name, tmp_path):
    others = [opened(tmp_path / other) for other in ("b.lock", "a.db", "a.sqlite3") if other != name]
    with contextlib.ExitStack() as stack:
        for other in others:
            stack.enter_context(other)
        with opened(tmp_path / name) as writer:
            writer.commit([new(0)])
    assert [new(0)] == told(tmp_path / name)[0]


def make_folder(path):
    path.mkdir()


def make_text(path):
    path.write_text("a boat\n" * 1000)


def make_database(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE a(b)")


def make_pipe(path):
    os.mkfifo(path)


def make_loop(path):
    path.symlink_to(path)


@pytest.mark.parametrize("make", [make_folder, make_text, make_database, make_pipe, make_loop])
def test_what_is_no_journal_is_refused_and_left_as_it_is(make, tmp_path):
    path = tmp_path / FILE_NAME
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(JournalError):
        JournalWriter(tmp_path, ACCOUNT).open()
    with pytest.raises((JournalError, ConfigError)):
        Journal(tmp_path)
    assert before == (path.read_bytes() if path.is_file() else None)


@pytest.mark.parametrize("make", [make_folder, make_pipe, make_loop, make_text])
def test_a_lock_file_that_is_none_is_refused(make, tmp_path):
    make(tmp_path / "journal.lock")
    with pytest.raises(JournalError):
        JournalWriter(tmp_path, ACCOUNT).open()


@pytest.mark.parametrize("path", ["", " ", "a\0b", 7, b"a", None])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ConfigError, match="journal="):
        JournalWriter(path)


def test_a_name_that_is_too_long_is_refused():
    with pytest.raises(JournalError, match="File name too long"):
        JournalWriter("a" * 5000).open()


def as_nobody(work):
    """Run *work* in a process that has no rights of its own."""

    def without_rights():
        if not os.getuid():
            os.setgid(65534)
            os.setuid(65534)
        work()

    return in_child(without_rights)


def own(path):
    """Give *path* to whoever `as_nobody` is."""
    if not os.getuid():
        os.chown(path, 65534, 65534)


@pytest.fixture
def read_only(disk):
    path = disk / FILE_NAME
    with opened(path) as writer:
        work(writer)
    for each in (*disk.iterdir(), disk):
        own(each)
    disk.chmod(0o500)
    yield path
    disk.chmod(0o700)


@pytest.mark.posix
def test_in_a_folder_that_is_read_only_a_closed_journal_can_be_read(read_only):
    def read():
        assert 6 == len(told(read_only)[0])
        with Journal(read_only) as journal:
            assert not journal.is_running

    assert 0 == as_nobody(read)


@pytest.mark.posix
def test_in_a_folder_that_is_read_only_writing_says_why_not(read_only):
    def write():
        with pytest.raises(JournalError, match=r"readonly|unable to open|ermission|read-only"):
            JournalWriter(read_only, ACCOUNT).open()
        with pytest.raises(JournalError, match="Permission denied"):
            JournalWriter(read_only.parent / "other.sqlite3").open()

    assert 0 == as_nobody(write)


def test_a_folder_without_rights_is_refused(disk):
    def look():
        for use in (
            lambda: JournalWriter(disk / "a" / "b").open(),
            lambda: Journal(disk / "a"),
            lambda: locate(disk / "a"),
        ):
            with pytest.raises(JournalError, match="Permission denied"):
                use()

    own(disk)
    disk.chmod(0o000)
    assert 0 == as_nobody(look)
    disk.chmod(0o700)


def an_empty_file(path):
    path.touch()


def a_database_without_tables(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")


@pytest.mark.parametrize("make", [an_empty_file, a_database_without_tables])
def test_a_journal_whose_making_was_cut_off_is_none_yet(tmp_path, make):
    make(tmp_path / FILE_NAME)
    with pytest.raises(ConfigError, match=r"there is no journal at .* yet: it was begun, and nothing was sent"):
        Journal(tmp_path)
    with opened(tmp_path) as writer:
        work(writer)
    assert 6 == len(told(tmp_path / FILE_NAME)[0])


# ── whose it is ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_journal_of_a_newer_version_is_refused(tmp_path):
    with opened(tmp_path) as writer:
        work(writer)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as database:
        database.execute("CREATE TABLE more(a)")
        database.execute("PRAGMA user_version = 5")
    for use in (lambda: Journal(tmp_path), lambda: JournalWriter(tmp_path).open()):
        with pytest.raises(JournalMismatchError, match="newer version"):
            use()


def test_a_journal_notes_where_the_images_go(tmp_path):
    with opened(tmp_path) as writer:
        assert writer.place is None
        writer.note_place("s3://bucket/misspelt")
        work(writer)
        writer.note_place("s3://bucket/prefix")
        assert "s3://bucket/prefix" == writer.place
    with Journal(tmp_path) as journal:
        assert "s3://bucket/prefix" == journal.place
    with opened(tmp_path) as writer:
        assert "s3://bucket/prefix" == writer.place


def test_a_journal_of_another_service_is_refused(tmp_path):
    with opened(tmp_path) as writer:
        work(writer)
    with pytest.raises(JournalMismatchError, match=r"https://a\.example/v1, not to https://b\.example/v1"):
        JournalWriter(tmp_path, attrs.evolve(ACCOUNT, base_url="https://b.example/v1", may_change_key=True)).open()


def test_a_journal_with_which_nothing_was_bought_may_go_to_another_service(tmp_path):
    """As where the first address was mistyped."""
    with opened(tmp_path) as writer:
        writer.plan(rows([new(0)]))
    with opened(tmp_path, attrs.evolve(ACCOUNT, base_url="https://b.example/v1")):
        pass
    with Journal(tmp_path) as journal:
        assert "https://b.example/v1" == journal.base_url
    with (
        pytest.raises(JournalMismatchError, match="another API key"),
        opened(tmp_path, attrs.evolve(ACCOUNT, key="k2")),
    ):
        pass


def test_a_plan_is_written_whole_or_not_at_all(tmp_path):
    """Half a plan would look like a batch that is complete."""

    def records():
        yield from map(new, range(1200))
        raise OSError("a file could not be read")

    with opened(tmp_path) as writer:
        writer.plan(rows([new(5000)]))
        with pytest.raises(JournalError):
            writer.plan(rows(records()))
        with Journal(tmp_path) as journal:
            assert [new(5000)] == list(journal.records())
        assert (1200, 1) == writer.plan(rows(map(new, range(1200))), replaces=True)
        writer.commit((), [new(7).sending(1.0, "b", 1)])
    assert 1200 == len(told(tmp_path / FILE_NAME)[0])


def test_a_new_key_takes_the_place_of_the_old_one_where_that_is_allowed(tmp_path):
    newer = attrs.evolve(ACCOUNT, key="sk-canary-newer")
    with opened(tmp_path) as writer:
        work(writer)
    with pytest.raises(JournalMismatchError, match="another API key") as caught:
        JournalWriter(tmp_path, newer).open()
    with opened(tmp_path, attrs.evolve(newer, may_change_key=True)):
        pass
    with opened(tmp_path, newer):
        pass
    with pytest.raises(JournalMismatchError, match="another API key"):
        JournalWriter(tmp_path, ACCOUNT).open()
    assert "canary" not in str(caught.value)


def test_a_journal_whose_change_of_key_was_lost_is_refused(disk):
    path = disk / FILE_NAME
    with opened(path) as writer:
        work(writer)
    older = path.read_bytes()
    with opened(path, Account(base_url=ACCOUNT.base_url, key="newer", may_change_key=True)):
        pass
    path.write_bytes(older)
    assert_refused(path, "lacks the last 1 changes")


def test_a_journal_that_was_begun_without_an_account_takes_the_first_one(tmp_path):
    with opened(tmp_path, None):
        assert told(tmp_path)[1] is None
    with opened(tmp_path):
        assert ACCOUNT.base_url == told(tmp_path)[1]


def test_the_key_stands_in_no_file(tmp_path):
    with opened(tmp_path) as writer:
        work(writer)
        whole = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    whole += b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"boat" in whole
    assert KEY.encode() not in whole
    assert KEY not in repr(ACCOUNT)


# ── a disk that refuses ──────────────────────────────────────────────────────────────────────────────────────────────


class Disk:
    """Opens databases of which some commits fail, before or after they have reached the disk."""

    def __init__(self, failing=(), *, is_late=False):
        self.commits, self.failing, self.is_late, self.rollbacks_fail = 0, set(failing), is_late, False

    def connect(self, *args, **options):
        disk = self

        class Failing(sqlite3.Connection):
            def execute(self, statement, *args):
                if statement == "ROLLBACK" and disk.rollbacks_fail:
                    raise sqlite3.OperationalError("disk I/O error")
                if statement != "COMMIT":
                    return super().execute(statement, *args)
                disk.commits += 1
                if disk.commits not in disk.failing:
                    return super().execute(statement)
                if disk.is_late:
                    super().execute(statement)
                raise sqlite3.OperationalError("disk I/O error")

        return sqlite3.connect(*args, factory=Failing, **options)


@pytest.mark.parametrize("rollbacks_fail", [False, True])
def test_of_a_commit_that_failed_nothing_is_there_and_the_journal_goes_on(rollbacks_fail, tmp_path):
    disk = Disk()
    with opened(tmp_path, connect=disk.connect) as writer:
        writer.commit([new(0)])
        disk.failing, disk.rollbacks_fail = {disk.commits + 1}, rollbacks_fail
        with pytest.raises(JournalError, match="disk I/O error"):
            writer.commit([new(1)], [new(0).sending(1, "b", 1)])
        disk.rollbacks_fail = False
        assert [new(0)] == told(tmp_path)[0] == [*writer.find(["key:00000", "key:00001"]).values()]
        writer.commit([new(2)])
    with opened(tmp_path):
        assert [new(0), new(2)] == told(tmp_path)[0]


def test_a_commit_that_failed_when_it_had_reached_the_disk_leaves_a_whole_journal(tmp_path):
    disk = Disk(is_late=True)
    with opened(tmp_path, connect=disk.connect) as writer:
        disk.failing = {disk.commits + 1}
        with pytest.raises(JournalError, match="disk I/O error"):
            writer.commit([new(0)])
        writer.commit([new(1)])
    with opened(tmp_path):
        assert [new(0), new(1)] == told(tmp_path)[0]


def test_when_the_disk_is_full_the_journal_says_so_and_keeps_what_it_has(tmp_path):
    def fill():
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        written = []
        with opened(tmp_path) as writer:
            with pytest.raises(JournalError, match=r"full|disk I/O"):
                for number in range(1000):
                    writer.commit([new(number)])
                    written.append(new(number))
            assert written == told(tmp_path)[0]
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            writer.commit([new(2000)])
        with opened(tmp_path):
            assert [*written, new(2000)] == told(tmp_path)[0]

    assert 0 == in_child(fill)


def test_a_change_of_a_job_that_is_not_there_is_refused(tmp_path):
    with opened(tmp_path) as writer:
        with pytest.raises(JournalError, match="has lost a job"):
            writer.commit([new(0)], [new(1)])
        assert [] == told(tmp_path)[0]


def test_a_closed_journal_is_neither_read_nor_written(tmp_path):
    with opened(tmp_path) as writer:
        pass
    writer.close()
    for use in (lambda: writer.commit([new(0)]), lambda: writer.find(["a"]), lambda: writer.plan(rows([]))):
        with pytest.raises(JournalError, match="is closed"):
            use()


def test_what_an_odd_name_of_a_file_holds_is_written(tmp_path):
    odd = new(0, input={"image": Path(os.fsdecode(b"/tmp/\xff.png"))})
    with opened(tmp_path) as writer:
        writer.commit([odd, new(1)])
    assert [odd, new(1)] == told(tmp_path)[0]


# ── the plan ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def unnamed(number, index):
    return new(number, identity=f"job:f{number}:1", index=index, key=f"#{index:05d}")


def test_what_is_planned_again_keeps_its_progress_and_gets_its_new_place(tmp_path):
    with opened(tmp_path) as writer:
        assert (3, 0) == writer.plan(rows([unnamed(number, number) for number in range(3)]))
        sent = unnamed(1, 1).sending(1, "b", 1)
        writer.commit((), [sent])
        assert (1, 0) == writer.plan(rows([unnamed(number, index) for index, number in enumerate((3, 2, 1, 0))]))
    with opened(tmp_path):
        places = {record.identity: (record.index, record.key, record.state) for record in told(tmp_path)[0]}
    assert {f"job:f{number}:1": (index, f"#{index:05d}") for index, number in enumerate((3, 2, 1, 0))} == {
        identity: place[:2] for identity, place in places.items()
    }
    assert sent.state is places["job:f1:1"][2]


def test_what_is_replaced_and_unsent_is_dropped_until_it_is_planned_again(tmp_path):
    free = [new(0), new(1).ended(OutcomeKind.NOT_SENT, None, None), new(2).ended(OutcomeKind.REJECTED, None, None)]
    bought = new(4).sending(1, "b", 1).accepted(Prediction(id="p", status=Status.STARTING), 2)
    kept = [new(3).sending(1, "b", 1), bought, attrs.evolve(new(5), earlier=bought.ready_for_retry().earlier)]
    everything = [new(number) for number in range(6)]
    with opened(tmp_path) as writer:
        writer.commit([*free, *kept])
        assert (1, 3) == writer.plan(rows([new(9)]), replaces=True)
        assert [*kept, new(9)] == told(tmp_path)[0]
        assert (0, 0) == writer.plan(rows([new(9)]), replaces=True)
        assert (0, 1) == writer.plan(rows(everything), replaces=True)
        assert [*everything[:3], *kept] == told(tmp_path)[0]
        with Journal(tmp_path) as journal:
            assert [6, 4] == [journal.status()[place] for place in ("planned", "waiting")]


def test_one_name_for_two_jobs_is_a_conflict_and_changes_nothing(tmp_path):
    other = new(1, fingerprint="another", input={"prompt": "another"}, index=7)
    with opened(tmp_path) as writer:
        writer.plan(rows([new(0), new(1)]))
        assert [*rows([other])] == [*writer.conflicts(rows([new(0), other, new(8)]))]
        writer.plan(rows([new(0), other]))
        assert new(1) == writer.find([other.identity])[other.identity]


@pytest.mark.parametrize("number", range(1, 12))
def test_a_plan_that_was_cut_short_is_made_again_to_the_same_end(number, disk):
    path = disk / FILE_NAME
    first, then = [new(place) for place in range(600)], [new(place, index=600 - place) for place in range(1, 1201, 2)]

    def plan_and_die():
        deadly = Disk()
        with opened(path, connect=deadly.connect) as writer:
            deadly.failing = {deadly.commits + number}
            with contextlib.suppress(JournalError):
                writer.plan(rows(then), replaces=True)
            # As a kill: neither closed nor checkpointed.
            os._exit(0)

    with opened(path) as writer:
        writer.plan(rows(first))
    in_child(plan_and_die)
    with opened(path) as writer:
        writer.plan(rows(then), replaces=True)
    assert then == sorted(told(path)[0], key=lambda record: record.identity)


@pytest.mark.posix
def test_a_large_plan_takes_seconds_and_little_memory(tmp_path):
    import tracemalloc

    with opened(tmp_path) as writer:
        for expected in ((10_000, 0), (0, 0)):
            began = time.thread_time()
            assert expected == writer.plan(rows(new(number) for number in range(10_000)))
            assert time.thread_time() - began < 10
        tracemalloc.start()
        writer.plan(rows(new(number) for number in range(5_000, 10_000)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 10_000_000


def test_what_a_service_that_is_gone_still_had_is_planned_anew(tmp_path):
    gone = [record for record in in_every_state() if record.state_name in LOST]
    with opened(tmp_path) as writer:
        writer.commit(in_every_state())
    with opened(tmp_path) as writer:
        bought = writer.bought
        writer.forget_service()
        assert bought - sum(record.bought for record in gone) == writer.bought
        after = {record.identity: record for record in told(tmp_path)[0]}
    for record in in_every_state():
        if record.state_name != "dropped":
            assert (record.reset() if record in gone else record) == after[record.identity]


# ── the count ────────────────────────────────────────────────────────────────────────────────────────────────────────


LOST = {"unsaved", "expired", "detached", "unknown", "pending", SENDING}


def in_every_state():
    sent = new(0).sending(1, "b", 1)
    accepted = sent.accepted(Prediction(id="p", status=Status.STARTING), 2)
    saved = accepted.ended(OutcomeKind.SUCCEEDED, None, None).saved(
        (SavedFile(name="a.png", size=1, digest="d"),), None
    )
    kinds = [OutcomeKind.SUCCEEDED, OutcomeKind.FAILED, OutcomeKind.CANCELED, OutcomeKind.EXPIRED, OutcomeKind.DETACHED]
    records = [new(0), new(0).dropped(), sent, accepted, saved, *(accepted.ended(kind, None, None) for kind in kinds)]
    records += [new(0).ended(OutcomeKind.NOT_SENT, None, None), new(0).ended(OutcomeKind.REJECTED, None, None)]
    records += [sent.ended(OutcomeKind.UNKNOWN, None, None)]
    return [attrs.evolve(record, identity=f"key:{place}") for place, record in enumerate(records)]


def test_the_parts_add_up_and_what_is_being_sent_is_unknown_when_nobody_works(tmp_path):
    with opened(tmp_path) as writer:
        writer.commit(in_every_state())
        with Journal(tmp_path) as journal:
            running = journal.status()
    with Journal(tmp_path) as journal:
        assert not journal.is_running
        idle = journal.status()
    assert {"planned", *STATE_NAMES} == {*running} == {*idle}
    once = dict.fromkeys(STATE_NAMES, 1)
    assert {"planned": 12, **once, "pending": 2} == running
    assert {"planned": 12, **once, "unknown": 2} == idle


def test_only_those_that_stand_where_it_is_asked_are_told(tmp_path):
    with opened(tmp_path) as writer:
        writer.commit(in_every_state())
    with Journal(tmp_path) as journal:
        for name in (*STATE_NAMES, SENDING):
            assert {name} == {record.state_name for record in journal.records(name)}
        assert 12 == len(list(journal.records()))


def test_the_purchases_of_every_job_are_counted_when_it_is_opened(tmp_path):
    with opened(tmp_path) as writer:
        writer.commit(in_every_state())
    with opened(tmp_path) as writer:
        assert sum(record.bought for record in in_every_state()) == writer.bought


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], Opened(bought=0, was_empty=True, has_unfinished=False)),
        ([new(0)], Opened(bought=0, was_empty=False, has_unfinished=False)),
        ([new(0).sending(1, "b", 1)], Opened(bought=1, was_empty=False, has_unfinished=False)),
        (
            [new(0), new(1).sending(1, "b", 1).accepted(Prediction(id="p", status=Status.STARTING), 2)],
            Opened(bought=1, was_empty=False, has_unfinished=True),
        ),
    ],
    ids=["empty", "planned", "sending", "pending"],
)
def test_whoever_takes_it_is_told_what_it_holds(records, expected, tmp_path):
    with opened(tmp_path) as writer:
        writer.commit(records)
        assert expected == writer.take()


def test_of_many_jobs_none_is_read_when_it_is_opened(tmp_path):
    """What is read of a large journal at its opening is its index, not its rows."""
    with opened(tmp_path) as writer:
        writer.plan(rows(map(new, range(2000))))
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as database:
        database.execute("UPDATE jobs SET plan = 'damaged', progress = 'damaged'")
    with opened(tmp_path), Journal(tmp_path) as journal:
        assert 2000 == journal.status()["waiting"]


@pytest.mark.parametrize("looks", [(True, False), (False, True)], ids=["it ends", "it begins"])
def test_what_is_being_sent_is_not_unknown_while_a_process_begins_or_ends(looks, tmp_path):
    class Meanwhile(Journal):
        is_running = property(lambda self: running.pop(0))

    running = list(looks)
    with opened(tmp_path) as writer:
        writer.commit([new(0).sending(1, "b", 1)])
    with Meanwhile(tmp_path) as journal:
        assert 1 == journal.status()["pending"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("new", "new/journal.sqlite3"),
        ("new.db", "new.db"),
        ("there", "there/journal.sqlite3"),
        ("there.d", "there.d/journal.sqlite3"),
    ],
)
def test_a_path_without_an_ending_is_the_folder_of_a_journal(name, file, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there.d").mkdir()
    assert tmp_path / file == JournalWriter(tmp_path / name).path


@pytest.mark.posix
def test_who_has_lost_the_lock_file_writes_no_more(tmp_path):
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        writer.commit([new(0)])
        lock.locate(writer.path).unlink()
        with contextlib.closing(JournalWriter(tmp_path)) as other:
            other.open()
            with pytest.raises(JournalError, match="was removed while"):
                writer.commit([new(1)])
            other.commit([new(2)])
    assert [new(0), new(2)] == told(writer.path)[0]


def test_one_writer_serves_one_session_at_a_time(tmp_path):
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        writer.take()
        with pytest.raises(JournalLockedError):
            writer.take()


def test_a_reader_sees_the_order_of_the_jobs_and_which_were_written_since_it_last_read(tmp_path):
    with opened(tmp_path) as writer:
        work(writer)
        with Journal(tmp_path) as journal:
            before = dict(journal.order())
            assert [f"{number:05d}" for number in range(6)] == [record.key for _, record in journal.read(before)]
        # A dropped job is left out; the others are planned as before.
        writer.plan(rows([new(number) for number in (0, 1, 2, 3, 4)]), replaces=True)
        with Journal(tmp_path) as journal:
            after = dict(journal.order())
            assert [*before][:5] == [*after]
            assert ["00000", "00001", "00002", "00003", "00004"] == [each.key for _, each in journal.read(before)]
        writer.commit((), [new(3).sending(1.0, "body", 1)])
        with Journal(tmp_path) as journal:
            later = dict(journal.order())
            (changed,) = (number for number in after if later[number] != after[number])
            assert ["00003"] == [record.key for _, record in journal.read([changed])]


def test_many_jobs_are_read_by_their_rows_page_by_page_and_each_once(tmp_path):
    records = [new(number) for number in range(1203)]
    with opened(tmp_path) as writer:
        writer.plan(rows(records))
        with Journal(tmp_path) as journal:
            numbers = [number for number, _ in journal.order()]
            assert [record.key for record in records] == [record.key for _, record in journal.read(numbers)]
