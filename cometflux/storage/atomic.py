"""Writes a file whole or not at all, and never over another one."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path


def write_new(path: Path, data: bytes, tries: int = 3) -> bool:
    """Write a file so that it is there whole or not at all; False where its name is taken."""
    try:
        with temporary_file(path.parent, data) as temporary:
            return link(temporary, path)
    except FileNotFoundError:
        # A run that starts beside this one may have swept the temporary file away.
        if tries == 1:
            raise
        return write_new(path, data, tries - 1)


@contextlib.contextmanager
def temporary_file(folder: Path, data: bytes) -> Iterator[Path]:
    """Write a file under a temporary name in *folder*, synced; removed at the end."""
    path = folder / f".cometflux-{os.urandom(8).hex()}"
    try:
        # Not tempfile: that makes files which only their owner can read.
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)


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
