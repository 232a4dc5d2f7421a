"""A file is replaced whole or not at all."""

import concurrent.futures
import errno
import os
import sys
import threading
from pathlib import Path

import pytest

from cometflux.storage import atomic
from cometflux.storage.atomic import SharedSyncs, replace
from cometflux.storage.folder import sweep


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("before", [None, b"old, and longer"], ids=["new", "there before"])
def test_a_file_holds_the_new_bytes(before, tmp_path):
    path = tmp_path / "a.json"
    if before:
        path.write_bytes(before)
    replace(path, b"new")
    assert b"new" == path.read_bytes()
    assert ["a.json"] == names(tmp_path)


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "precious").write_bytes(b"old")
    (tmp_path / "a.json").symlink_to("precious")
    replace(tmp_path / "a.json", b"new")
    assert b"old" == (tmp_path / "precious").read_bytes()
    assert not (tmp_path / "a.json").is_symlink()


def test_what_was_there_stays_if_it_cannot_be_replaced(tmp_path):
    (tmp_path / "a.json").mkdir()
    # Its type and its words differ between systems.
    with pytest.raises(OSError, match=r"directory|folder|denied"):
        replace(tmp_path / "a.json", b"new")
    assert ["a.json"] == names(tmp_path)


class Swept(type(Path())):
    """A path in a folder that another run sweeps while this one writes to it."""

    sweeps = 0

    def replace(self, target):
        if Swept.sweeps:
            Swept.sweeps -= 1
            assert 1 == sweep(self.parent)
        return super().replace(target)


@pytest.mark.parametrize("sweeps", [1, 2])
def test_a_file_is_replaced_though_another_run_sweeps_meanwhile(sweeps, tmp_path):
    Swept.sweeps = sweeps
    replace(Swept(tmp_path) / "a.json", b"new")
    assert ["a.json"] == names(tmp_path)


def test_a_folder_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "nowhere" / "a.json", b"new")


class CountedSyncs:
    """Syncs of a folder, of which the first waits for *asked* other threads, and some fail."""

    def __init__(self, asked=0, failing=()):
        self.asked = threading.Semaphore(0)
        self.waits = asked
        self.failing = failing
        self.begun = self.done = 0

    def __call__(self, folder):
        self.begun += 1
        number = self.begun
        if number == 1:
            for _ in range(self.waits):
                assert self.asked.acquire(timeout=60)
        if number in self.failing:
            raise OSError(errno.EIO, "the disk failed")
        self.done = number


def synced_by_threads(syncs, count):
    """Sync one folder from many threads; return for each the sync it had to wait for, the last one, and its error."""
    shared = SharedSyncs(syncs)

    def one(_):
        needed = syncs.begun + 1
        syncs.asked.release()
        try:
            shared.sync(Path("images"))
        except OSError as error:
            return needed, syncs.done, error
        return needed, syncs.done, None

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_threads_share_a_sync_that_began_after_each_of_them_asked():
    syncs = CountedSyncs(asked=32)
    assert all(needed <= done and error is None for needed, done, error in synced_by_threads(syncs, 32))
    assert syncs.begun < 32


def test_a_sync_that_failed_counts_for_nobody_else():
    syncs = CountedSyncs(asked=32, failing={1, 2})
    ended = synced_by_threads(syncs, 32)
    assert 2 == sum(error is not None for *_, error in ended)
    assert all(needed <= done for needed, done, error in ended if error is None)


# ── the sync of macOS ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def full_syncs(monkeypatch):
    """The calls that sync a file, as on macOS, and the error of the full one, if there is any."""
    fcntl = pytest.importorskip("fcntl")
    calls, errors = [], []
    fsync = os.fsync

    def full_sync(file, call):
        calls.append(call)
        if errors:
            raise OSError(errors[0], os.strerror(errors[0]))

    monkeypatch.setattr(atomic, "_FULL_SYNC", 51)
    monkeypatch.setattr(fcntl, "fcntl", full_sync)
    monkeypatch.setattr(os, "fsync", lambda file: calls.append("fsync") or fsync(file))
    return calls, errors


def test_macos_writes_a_file_through_the_cache_of_the_disk(full_syncs, tmp_path):
    assert atomic.write_new(tmp_path / "a", b"new")
    assert [51] == full_syncs[0]


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOTTY, errno.EINVAL])
def test_a_file_system_without_that_is_synced_as_usual(number, full_syncs, tmp_path):
    full_syncs[1].append(number)
    assert atomic.write_new(tmp_path / "a", b"new")
    assert [51, "fsync"] == full_syncs[0]


def test_an_error_of_the_disk_is_not_passed_over(full_syncs, tmp_path):
    full_syncs[1].append(errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        atomic.write_new(tmp_path / "a", b"new")
    assert [] == names(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="its kernel does not know the call of macOS")
def test_a_kernel_that_does_not_know_that_call_is_no_obstacle(monkeypatch, tmp_path):
    monkeypatch.setattr(atomic, "_FULL_SYNC", 51)
    assert atomic.write_new(tmp_path / "a", b"new")
