"""The kernel's lock on a file next to the journal. The file also holds the serial number of the last change.

The number is written after the commit. So the journal is at least as new as the lock file, whenever the process is
killed. If it is older, an older copy was put back or the log was lost, and the journal is refused.

The lock ends with its process. It also keeps a second opener in the same process out, and does not disturb SQLite's own
locks on the database. It is `flock`, and on Windows a lock on a byte far beyond the note. A forked process releases it
at once, so it does not keep the journal after its parent has ended.
"""

import contextlib
import errno
import os
import re
import sys
import time
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from cometflux.basics.regular_files import NO_LINK, PLAIN
from cometflux.errors import JournalError, JournalLockedError
from cometflux.storage import atomic

# The zeros were a count once. They stay, since the text is replaced in place and so must keep its length.
_TEXT = rb"(journal ([0-9a-f]{16}) changes ([0-9]{12}) jobs [0-9]{12} process ([0-9]{10})) sum [0-9a-f]{8}\n"
_NO_JOURNAL = "0" * 16
_PATIENCE = 5.0
"""How long readers that look whether somebody writes may be in the way, in seconds."""


class LockFile(NamedTuple):
    """The content of the lock file."""

    journal: str = _NO_JOURNAL
    """The journal's own name; zeros while it is not known."""
    serial: int = 0
    """How many changes were written at least."""
    process: int = 0
    """Who had it last."""

    @property
    def is_blank(self) -> bool:
        """Whether nothing is known of the journal, for example because there was no lock file."""
        return self.journal == _NO_JOURNAL

    @classmethod
    def read(cls, journal: Path) -> Self:
        """Return the content of the lock file of *journal*; blank if there is none.

        Raises:
            JournalError: it is damaged.
        """
        path = locate(journal)
        try:
            file = os.open(path, os.O_RDONLY | PLAIN | NO_LINK)
        except FileNotFoundError:
            return cls()
        try:
            return cls._of_file(path, file)
        finally:
            os.close(file)

    @classmethod
    def _of_file(cls, path: Path, file: int) -> Self:
        # The owner may write at this very moment.
        for _ in range(3):
            text = _read(file, 200)
            if not text:
                return cls()
            found = re.fullmatch(_TEXT, text)
            if found and text == _signed(found[1]):
                return cls(journal=found[2].decode(), serial=int(found[3]), process=int(found[4]))
        raise JournalError(
            f"{str(path)!r} is damaged, and without it nobody knows whether the journal is complete; if nothing "
            "else was damaged or copied, the file may be deleted"
        )

    def to_text(self) -> bytes:
        """Return the content as bytes, always of one length, so that it is replaced in place."""
        counts = f"changes {self.serial:012d} jobs {0:012d} process {self.process:010d}"
        return _signed(f"journal {self.journal} {counts}".encode())


def _signed(text: bytes) -> bytes:
    return text + f" sum {zlib.crc32(text):08x}\n".encode()


class Lock:
    """The right to write a journal, taken when this is made; `note` is the content that the file had before.

    Raises:
        JournalLockedError: another process, or another session of this one, has it.
        JournalError: the content is damaged.
        OSError: the file can neither be made nor opened.
    """

    def __init__(self, journal: Path) -> None:
        self.path = locate(journal)
        self._journal = journal
        self._files: dict[str, tuple[int, int]] = {}
        """The device and the inode of the database and of its log, as they were when they were first written to."""
        self._size = 0
        """The size of the database in bytes. It never shrinks, unless somebody overwrites it."""
        self._file: int | None = os.open(self.path, os.O_RDWR | os.O_CREAT | PLAIN | NO_LINK, 0o600)
        _held.add(self)
        try:
            self._take(journal)
            self.note = LockFile._of_file(self.path, self._file)
            # A umask takes rights away, and a file that was there may grant too many.
            atomic.make_private(self._file, self.path)
            self._write(self.note._replace(process=os.getpid()))
            os.fsync(self._file)
        except BaseException:
            self.release()
            raise

    def _take(self, journal: Path) -> None:
        assert self._file is not None
        if not _repeat(_seize, self._file):
            is_own = any(other.path == self.path for other in _held if other is not self)
            who = "session of this process" if is_own else f"process or session{self._owner()}"
            problem = f"the journal {str(journal)!r} is in use by another {who}"
            raise JournalLockedError(problem, hint=f"wait for it, or {'close' if is_own else 'stop'} it", path=journal)

    def _owner(self) -> str:
        assert self._file is not None
        with contextlib.suppress(JournalError):
            process = LockFile._of_file(self.path, self._file).process
            return f" (process {process})" if process else ""
        return ""

    def note_commit(self, journal: str, serial: int) -> None:
        """Write the *serial* number of a change into the lock file.

        The lock file is not synced. If a crash of the machine loses the number, only the next check is weaker.
        """
        with contextlib.suppress(OSError):
            self._write(LockFile(journal=journal, serial=serial, process=os.getpid()))

    def find_loss(self) -> JournalError | None:
        """Return why a change that is written now may be lost; None if it is not.

        Somebody may have taken away the lock file, or the journal's own files: a removed file takes what is written.
        """
        # Somebody who took the lock file away may have locked a new one of this name.
        if self._file is None or not _is_at(self._file, self.path):
            return JournalError(f"the lock file {str(self.path)!r} was removed while the journal was in use")
        real = os.path.realpath(self._journal)
        for path in (real, f"{real}-wal"):
            found = _status(path)
            if found is None and path != real and path not in self._files:
                # The disk refused to make the log; SQLite says why.
                continue
            if found is None or not self._is_known(path, found, has_least_size=path == real):
                message = f"the journal {str(self._journal)!r} was removed, moved or replaced while it was in use"
                return JournalError(f"{message} ({Path(path).name}); restore it, and run again")
        return None

    def _is_known(self, path: str, found: os.stat_result, *, has_least_size: bool) -> bool:
        """Whether a file of the journal is the one that was written to first, and was not overwritten."""
        least = self._size
        if has_least_size:
            self._size = max(least, found.st_size)
        is_whole = not has_least_size or found.st_size >= least
        return is_whole and self._files.setdefault(path, _identity(found)) == _identity(found)

    def _write(self, note: LockFile) -> None:
        assert self._file is not None
        _write(self._file, note.to_text())

    def release(self) -> None:
        """Let others in."""
        _held.discard(self)
        if self._file is not None:
            os.close(self._file)
            self._file = None


def locate(journal: Path) -> Path:
    """Return the path of a journal's lock: one for one database, whatever links lead to it."""
    path = Path(os.path.realpath(journal))
    return path.with_suffix(".lock") if path.suffix == ".sqlite3" else path.with_name(f"{path.name}.lock")


def is_locked(journal: Path) -> bool:
    """Whether somebody has the right to write *journal* at this moment."""
    try:
        file = os.open(locate(journal), os.O_RDONLY | PLAIN | NO_LINK)
    except OSError:
        return False
    try:
        return _repeat(_is_seized, file) is not False
    except JournalError:
        # The file system has no locks, so nobody holds one.
        return False
    except OSError:
        return True
    finally:
        os.close(file)


def _repeat(look: Callable[[int], bool | None], file: int) -> bool | None:
    """Call *look* until readers are no longer in its way, for which it returns None, or until the patience is over."""
    until = time.monotonic() + _PATIENCE
    while (found := look(file)) is None and time.monotonic() < until:
        time.sleep(0.001)
    return found


def _no_locks(error: OSError) -> JournalError:
    message = f"the file system of the journal has no locks ({error.strerror}); two runs could pay twice"
    return JournalError(f"{message}: put the journal in a folder of a local disk")


def _status(path: Path | str) -> os.stat_result | None:
    """Look at a file, not at what a link leads to; None if there is no file of that name."""
    try:
        return os.lstat(path)
    except OSError:
        return None


def _identity(found: os.stat_result) -> tuple[int, int]:
    """Return the device and the inode of a file."""
    return found.st_dev, found.st_ino


# ── the calls of each operating system ───────────────────────────────────────────────────────────────────────────────

if sys.platform == "win32":
    import msvcrt

    # No other handle can read or write locked bytes there, so they are far beyond the note. All locks are exclusive:
    # whoever tries the writer's byte has locked the door before, so that no reader is taken for a writer.
    _DOOR, _WRITER = 2**30, 2**30 + 1

    def _seize(file: int) -> bool | None:
        """Take the lock. Return False if a writer has it, and None if somebody else tries at this moment."""
        return _try(file, keeps=True)

    def _is_seized(file: int) -> bool | None:
        """Whether a writer has the lock; None if somebody else tries at this moment."""
        is_free = _try(file, keeps=False)
        return None if is_free is None else not is_free

    def _try(file: int, *, keeps: bool) -> bool | None:
        if not _lock(file, _DOOR):
            return None
        try:
            is_free = _lock(file, _WRITER)
            if is_free and not keeps:
                _unlock(file, _WRITER)
        finally:
            _unlock(file, _DOOR)
        return is_free

    def _lock(file: int, byte: int) -> bool:
        os.lseek(file, byte, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        except OSError as error:
            raise _no_locks(error) from error
        return True

    def _unlock(file: int, byte: int) -> None:
        os.lseek(file, byte, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

    def _read(file: int, most: int) -> bytes:
        os.lseek(file, 0, os.SEEK_SET)
        return os.read(file, most)

    def _write(file: int, data: bytes) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, data)

    def _is_at(file: int, path: Path) -> bool:
        """Return True: nobody can rename or remove an open file there."""
        return True

else:
    import fcntl

    _NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}

    def _seize(file: int) -> bool | None:
        """Take the lock. Return False if a writer has it, and None if readers have it for a moment."""
        if _flock(file, fcntl.LOCK_EX):
            return True
        # A reader that looks whether somebody writes shares it with other readers.
        if not _flock(file, fcntl.LOCK_SH):
            return False
        fcntl.flock(file, fcntl.LOCK_UN)
        return None

    def _is_seized(file: int) -> bool | None:
        """Whether a writer has the lock."""
        return not _flock(file, fcntl.LOCK_SH)

    def _flock(file: int, kind: int) -> bool:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise _no_locks(error) from error
            raise
        return True

    def _read(file: int, most: int) -> bytes:
        return os.pread(file, most, 0)

    def _write(file: int, data: bytes) -> None:
        os.pwrite(file, data, 0)

    def _is_at(file: int, path: Path) -> bool:
        """Whether an open file still has its name."""
        found = _status(path)
        return found is not None and _identity(found) == _identity(os.fstat(file))


_held: "weakref.WeakSet[Lock]" = weakref.WeakSet()


def _let_go() -> None:
    # Closed, not unlocked: the lock is the parent's, and is shared with it.
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
