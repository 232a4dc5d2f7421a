"""Writes a file whole or not at all: under a new name, or in place of the file before."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path

TEMPORARY_NAME = r"\.cometflux-[0-9a-f]{16}"
"""The name of a temporary file: a later run removes it if this one is killed."""


def write_new(path: Path, data: bytes, tries: int = 3) -> bool:
    """Write a file so that it is there whole or not at all; False if its name is taken."""
    try:
        with temporary_file(path.parent, data) as temporary:
            return link(temporary, path)
    except FileNotFoundError:
        # A run that starts beside this one may have swept the temporary file away.
        if tries == 1:
            raise
        return write_new(path, data, tries - 1)


def replace(path: Path, data: bytes, tries: int = 3) -> None:
    """Write a file whole in place of the one before, which stays if this fails."""
    try:
        with temporary_file(path.parent, data) as temporary:
            temporary.replace(path)
    except FileNotFoundError:
        # As in write_new.
        if tries == 1:
            raise
        replace(path, data, tries - 1)


def free_name(path: Path, mark: re.Pattern[bytes]) -> Path:
    """Return *path*, or another name next to it if a file is there that is not ours.

    Our files begin with *mark*. An empty file and a link hold nothing that would be lost.

    Raises:
        OSError: the file cannot be read, or neither of the two files is ours.
    """
    other = path.with_name(f"{path.stem}.cometflux{path.suffix}")
    for each in (path, other):
        if each.is_symlink() or not each.is_file():
            return each
        with each.open("rb") as file:
            beginning = file.read(_LONGEST_MARK)
        if not beginning or mark.match(beginning):
            return each
    raise FileExistsError(errno.EEXIST, f"neither it nor {other.name} is a file of cometflux; move one away")


_LONGEST_MARK = 65536


@contextlib.contextmanager
def temporary_file(folder: Path, data: bytes) -> Iterator[Path]:
    """Write a file under a temporary name in *folder*, synced; removed at the end."""
    with temporary_path(folder) as path:
        # Not tempfile: that makes files which only their owner can read.
        with path.open("xb") as file:
            file.write(data)
            sync_file(file)
        yield path


@contextlib.contextmanager
def temporary_path(folder: Path) -> Iterator[Path]:
    """Choose a temporary name in *folder*; a file of that name is removed at the end, unless it has been renamed."""
    path = folder / f".cometflux-{os.urandom(8).hex()}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def sync_file(file: BufferedWriter) -> None:
    """Bring the file to the disk, with all that was written."""
    file.flush()
    os.fsync(file.fileno())


_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


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
        if os.path.lexists(path):
            return False
        temporary.rename(path)
    return True


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
