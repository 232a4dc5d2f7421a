"""A journal that is moved, replaced or shared while a session writes to it: no more submissions leave."""

import contextlib
import errno
import os
import shutil
import sqlite3
import stat

import pytest

from cometflux import Job, Journal, open_session
from cometflux.errors import JournalError, JournalLockedError, SessionStoppedError
from cometflux.journal import plan
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status

FILE = "journal.sqlite3"


def remove(folder):
    (folder / FILE).unlink()


def remove_all(folder):
    for path in folder.glob("journal.*"):
        path.unlink()


def remove_log(folder):
    (folder / f"{FILE}-wal").unlink()


def restore_older(folder):
    """Put a copy in its place, as a backup or a synchronising tool does."""
    copy = folder / "copy"
    shutil.copy(folder / FILE, copy)
    copy.replace(folder / FILE)


def replace_by_another(folder):
    with contextlib.closing(JournalWriter(folder / "other")) as other:
        other.open()
    (folder / "other" / FILE).replace(folder / FILE)


def empty(folder):
    """Overwrite it in place, as ``cp`` does."""
    os.truncate(folder / FILE, 0)


def move_folder(folder):
    folder.rename(folder.with_name("moved"))


def move_and_make_anew(folder):
    move_folder(folder)
    folder.mkdir()


CHANGES = [remove, remove_all, remove_log, restore_older, replace_by_another, empty, move_folder, move_and_make_anew]


@pytest.mark.slow
@pytest.mark.posix
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_nothing_is_sent_after_the_journal_lost_its_name(change, service, tmp_path):
    folder = tmp_path / "set"
    kinds = []
    session = open_session(api_key=service.key, base_url=service.url, journal=folder, max_pending=1)
    with pytest.raises(SessionStoppedError, match=r"removed, moved or replaced|lock file"):
        async with session:
            async for outcome in session.generate([f"boat {number}" for number in range(20)]):
                kinds.append(outcome.kind)
                if len(kinds) == 3:
                    change(folder)
                    bills = len(service.bills)
    # The submission that was durable before may be under way.
    assert len(service.bills) <= bills + 1
    assert OutcomeKind.NOT_SENT in kinds


def record(key):
    (made,) = plan.plan_jobs([Job(model="a/b", input={"prompt": "a boat"}, key=key)])
    return made.to_record()


def intent(key):
    return record(key).sending(1.0, "digest", 20)


def accepted(key, prediction_id):
    return intent(key).accepted(Prediction(id=prediction_id, status=Status.STARTING), 2.0)


@pytest.mark.posix
def test_of_two_writers_that_a_lying_lock_let_in_only_one_may_still_submit(tmp_path, monkeypatch):
    """On some network file systems every process gets the lock. What the other one did is still written."""
    with contextlib.closing(JournalWriter(tmp_path)) as first:
        first.open()
        first.commit([intent("one")])
        monkeypatch.setattr("fcntl.flock", lambda *_: None)
        with contextlib.closing(JournalWriter(tmp_path)) as second:
            second.open()
            second.commit([intent("two")])
            with pytest.raises(JournalLockedError, match="another process writes to the journal"):
                first.commit([record("zero")], [accepted("one", "p1")])
            for _ in range(3):
                with pytest.raises(JournalLockedError, match="another process writes to the journal"):
                    first.commit([intent("three")])
            with pytest.raises(JournalLockedError):
                first.plan([plan.PlannedRow.of(record("four"))])
        with Journal(tmp_path) as journal:
            assert {"one": "p1", "two": None} == {each.key: each.prediction_id for each in journal.records()}


@pytest.mark.posix
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_an_id_is_written_wherever_it_can_be_and_the_loss_is_reported(change, tmp_path):
    folder = tmp_path / "set"
    with contextlib.closing(JournalWriter(folder)) as writer:
        writer.open()
        writer.commit([intent("one")])
        change(folder)
        with pytest.raises(JournalError, match=r"removed, moved or replaced|lock file"):
            writer.commit([intent("two")])
        with pytest.raises(JournalError, match=r"removed, moved or replaced|lock file"):
            writer.commit((), [accepted("one", "p1")])
    if change is move_folder:
        with Journal(tmp_path / "moved") as journal:
            assert ["p1"] == [each.prediction_id for each in journal.records()]


@pytest.mark.posix
def test_a_folder_without_locks_is_not_said_to_be_in_use(tmp_path, monkeypatch):
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        writer.commit([record("one")])

    def refuse(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", refuse)
    with Journal(tmp_path) as journal:
        assert not journal.is_running


def test_a_commit_after_one_that_was_refused_is_accepted(tmp_path):
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        with pytest.raises(JournalError):
            writer.commit([], [record("not in it")])
        writer.commit([record("one")])
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as database:
        assert (1,) == database.execute("SELECT count(*) FROM jobs").fetchone()


@pytest.mark.posix
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_a_file_system_without_locks_is_named_with_the_remedy(number, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(JournalError, match=r"has no locks .*put the journal in a folder of a local disk"):
        JournalWriter(tmp_path).open()


@pytest.mark.posix
@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP], ids=errno.errorcode.get)
def test_a_file_system_without_modes_or_syncs_of_folders_has_a_journal(number, tmp_path, monkeypatch, caplog):
    (tmp_path / FILE).touch(0o644)
    sync = os.fsync

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(os, "fsync", lambda file: refuse() if stat.S_ISDIR(os.fstat(file).st_mode) else sync(file))
    for name in ("one", "two"):
        with contextlib.closing(JournalWriter(tmp_path)) as writer:
            writer.open()
            writer.commit([record(name)])
    assert ["journal.lock", FILE] == sorted(
        message.partition("'")[2].partition("'")[0].rpartition("/")[2]
        for message in caplog.messages
        if "cannot be made private" in message
    )
