"""Writes a file whole or not at all: under a new name, or in place of the file before."""

import contextlib
import errno
import functools
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import BufferedRandom, BufferedWriter, FileIO
from pathlib import Path

import attrs

from cometflux.basics.plain_text import log
from cometflux.basics.regular_files import open_regular
from cometflux.images.formats import Data

TEMPORARY_NAME = r"\.cometflux-[0-9a-f]{16}-*"
"""The name of a temporary file: a later run removes it if this one is killed."""


def write_new(path: Path, data: Data, folder: Path | None = None, tries: int = 3) -> bool:
    """Write a file so that it is there whole or not at all; False if its name is taken.

    Its temporary file is in *folder*, which later runs sweep; None for the folder of *path*.
    """
    try:
        with temporary_file(folder or path.parent, data) as temporary:
            return link(temporary, path)
    except FileNotFoundError:
        # A run that starts beside this one may have swept the temporary file away.
        if tries == 1:
            raise
        return write_new(path, data, folder, tries - 1)


def replace(path: Path, data: bytes, tries: int = 3) -> None:
    """Write a file whole in place of the one before, which stays if this fails."""
    try:
        with temporary_file(path.parent, data) as temporary:
            rename(temporary, path)
    except FileNotFoundError:
        # As in write_new.
        if tries == 1:
            raise
        replace(path, data, tries - 1)


def free_name(path: Path, mark: re.Pattern[bytes]) -> Path:
    """Return *path*, or another name next to it if something is there that is not ours.

    Our files begin with *mark*. An empty file and a link hold nothing that would be lost.

    Raises:
        OSError: neither of the two names is free or ours.
    """
    other = path.with_name(f"{path.stem}.cometflux{path.suffix}")
    for each in (path, other):
        if each.is_symlink() or not os.path.lexists(each):
            return each
        # What cannot be read is not known to be ours.
        with contextlib.suppress(OSError), open_regular(each) as file:
            beginning = file.read(_LONGEST_MARK)
            if not beginning or mark.match(beginning):
                return each
    raise FileExistsError(errno.EEXIST, f"neither it nor {other.name} is a file of cometflux; move one away")


_LONGEST_MARK = 65536


@contextlib.contextmanager
def temporary_file(folder: Path, data: Data) -> Iterator[Path]:
    """Write a file under a temporary name in *folder*, synced; removed at the end."""
    with temporary_path(folder) as path:
        # Not tempfile: that makes files which only their owner can read. Not buffered, since it comes as a whole.
        with path.open("xb", buffering=0) as file:
            _write(file, data)
            sync_file(file)
        yield path


def _write(file: FileIO, data: Data) -> None:
    written = file.write(data)
    while written < len(data):
        # No system writes more than 2 GiB at once.
        with memoryview(data) as view:
            written += file.write(view[written:])


@contextlib.contextmanager
def temporary_path(folder: Path, length: int = 0) -> Iterator[Path]:
    """Choose such a name in *folder*; a file of that name is removed at the end, unless it has been renamed."""
    path = temporary_name(folder, length)
    try:
        yield path
    finally:
        remove(path)


def temporary_name(folder: Path, length: int = 0) -> Path:
    """Choose a new name in *folder* that a later run recognizes as that of a temporary file.

    It has at least *length* characters.
    """
    return folder / f".cometflux-{os.urandom(8).hex()}".ljust(length, "-")


def sync_file(file: FileIO | BufferedWriter | BufferedRandom) -> None:
    """Bring the file to the disk, with all that was written. If its file system cannot do that, log so once."""
    file.flush()
    try:
        _sync(file.fileno())
    except OSError as error:
        # An error of the disk is none of these.
        if error.errno not in _UNKNOWN_CALL:
            raise
        _say_unsynced(Path(file.name).parent, os.strerror(error.errno))


_UNKNOWN_CALL = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""The answers of a file system that does not have a call at all."""
_REFUSED = _UNKNOWN_CALL | {errno.EPERM, errno.EACCES, errno.EIO, errno.EBADF}
"""Network folders, phones and shared folders of virtual machines refuse links, syncs of folders and modes so."""
_NO_LINKS = _REFUSED | {errno.EMLINK, errno.EXDEV}

# ── the calls of each operating system ───────────────────────────────────────────────────────────────────────────────

if sys.platform == "win32":
    CAN_NAME_OPEN_FILES = False
    # Nobody can rename or remove an open file there, and virus scanners and indexers open each new file for a moment.
    _PAUSES = tuple(0.001 * 2**step for step in range(12))
    """The seconds between the tries, four altogether."""

    def _insist(call: Callable[[], object]) -> None:
        for pause in _PAUSES:
            try:
                call()
            except PermissionError:
                time.sleep(pause)
            else:
                return
        call()

    def link(temporary: Path, path: Path) -> bool:
        """Give a file its final name, unless the name is taken. A rename there never replaces."""
        try:
            _insist(lambda: temporary.rename(path))
        except FileExistsError:
            return False
        return True

    def rename(temporary: Path, path: Path) -> None:
        """Give a file its final name, in place of the file before."""
        _insist(lambda: temporary.replace(path))

    def remove(path: Path) -> None:
        """Remove a file if it is there. If it is still open, a later run removes it."""
        with contextlib.suppress(PermissionError):
            _insist(lambda: path.unlink(missing_ok=True))

    _sync = os.fsync

    def sync_folder(folder: Path) -> None:
        """Do nothing: no folder can be opened there. NTFS logs new names, and the journal's sync writes the log."""

    def make_private(file: Path | int, path: Path) -> None:
        """Do nothing. Who may read a file there is a matter of its folder."""

else:
    import fcntl

    CAN_NAME_OPEN_FILES = True
    _FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    """The call of macOS, whose fsync leaves the data in the cache of the disk. SQLite does the same."""

    def link(temporary: Path, path: Path) -> bool:
        """Give a file its final name, unless the name is taken."""
        try:
            # A link, unlike a rename, never replaces what is there.
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _rename_free(temporary, path)
        return True

    def _rename_free(temporary: Path, path: Path) -> bool:
        """Give a file its final name without a link, unless the name is taken.

        The name is taken first, by an empty file: only one of two runs can make it. If this run is killed in between,
        the empty file stays, and the image gets another name.
        """
        try:
            path.open("xb").close()
        except FileExistsError:
            return False
        try:
            temporary.replace(path)
        except BaseException:
            if not path.lstat().st_size:
                path.unlink()
            raise
        return True

    def rename(temporary: Path, path: Path) -> None:
        """Give a file its final name, in place of the file before."""
        temporary.replace(path)

    def remove(path: Path) -> None:
        """Remove a file if it is there."""
        path.unlink(missing_ok=True)

    def _sync(file: int) -> None:
        if _FULL_SYNC is not None:
            try:
                fcntl.fcntl(file, _FULL_SYNC)
            except OSError as error:
                # The file system of a network or of another operating system may have only fsync.
                if error.errno not in _UNKNOWN_CALL | {errno.ENOTTY}:
                    raise
            else:
                return
        os.fsync(file)

    def sync_folder(folder: Path) -> None:
        """Make new names in a folder durable. If its file system cannot do that, log so once."""
        try:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            _say_unsynced(folder, os.strerror(error.errno))

    def make_private(file: Path | int, path: Path) -> None:
        """Let nobody but its owner read a file, given by its *path* or open. If that is refused, log so once."""
        try:
            os.chmod(file, 0o600)  # noqa: PTH101 - the file may be open
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            _say_public(path, os.strerror(error.errno))


class SharedSyncs:
    """Syncs folders for many threads: those that wait for a sync of the same folder share the next one.

    Args:
        sync: syncs a folder; blocks.
    """

    def __init__(self, sync: Callable[[Path], None] = sync_folder) -> None:
        self._sync = sync
        self._folders: dict[Path, _Syncs] = {}

    def sync(self, folder: Path) -> None:
        """Make all names durable that *folder* has now. Blocks.

        Raises:
            OSError: as for `sync_folder`.
        """
        syncs = self._folders.setdefault(folder, _Syncs())
        # A sync that has begun already may miss what was named since.
        needed = syncs.begun + 1
        with syncs.turn:
            if syncs.done < needed:
                syncs.begun += 1
                self._sync(folder)
                syncs.done = syncs.begun


@attrs.define
class _Syncs:
    """The syncs of one folder, numbered from 1: the last that began, and the last that succeeded."""

    begun: int = 0
    done: int = 0
    turn: threading.Lock = attrs.field(factory=threading.Lock)


# Errors, because the command shows nothing less. Cached, so that each is logged once.


@functools.lru_cache(maxsize=64)
def _say_unsynced(folder: Path, words: str) -> None:
    log.error("the folder %r cannot be synced (%s): new files may be lost if the power fails", str(folder), words)


@functools.lru_cache(maxsize=64)
def _say_public(path: Path, words: str) -> None:
    log.error("%r cannot be made private (%s): others may read it", str(path), words)
