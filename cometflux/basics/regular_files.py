"""Read regular files, whatever lies under their names: opening never waits, and reading is bounded.

A folder may hold anything under any name: a pipe that nobody writes to, a device without an end, a file of terabytes.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

# Each flag is 0 on a system that does not have it. Python adds the one that keeps a file from other programs.
PLAIN = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""The flags to open a file as it is: no pipe is waited for, and no line end is translated."""
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""The flag that refuses a link."""
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a link"}


class IrregularFileError(OSError):
    """A path leads to a pipe, a socket or a device, or to a link where links are not followed."""


def open_regular(path: Path, *, follows_links: bool = False) -> BufferedReader:
    """Open a regular file for reading, without waiting.

    Raises:
        IrregularFileError: it is a pipe, a socket, a device, or a link that is not followed.
        IsADirectoryError: it is a folder.
        OSError: it cannot be opened.
        ValueError: no file can have this path.
    """
    file, _ = _open(path, follows_links=follows_links)
    try:
        return os.fdopen(file, "rb")
    except BaseException:
        os.close(file)
        raise


def _open(path: Path, *, follows_links: bool) -> tuple[int, os.stat_result]:
    # Looked at first, because opening a device may have effects, and once more below, because it may be replaced.
    _check(path.stat(follow_symlinks=follows_links).st_mode)
    file = os.open(path, os.O_RDONLY | PLAIN | (0 if follows_links else NO_LINK))
    try:
        found = os.fstat(file)
        _check(found.st_mode)
    except BaseException:
        os.close(file)
        raise
    return file, found


def read_exactly(path: Path, size: int) -> bytes | None:
    """Read a regular file if it has just *size* bytes, in half the time of `read_regular`; None if it has not.

    Raises:
        OSError, ValueError: as `open_regular` does.
    """
    file, found = _open(path, follows_links=False)
    try:
        data = os.read(file, size + 1) if found.st_size == size else b""
        # One call may return less than there is.
        while 0 < len(data) < size and (part := os.read(file, size + 1 - len(data))):
            data += part
    finally:
        os.close(file)
    return data if found.st_size == size == len(data) else None


def read_regular(path: Path, most: int, *, follows_links: bool = False) -> bytes:
    """Read a regular file of at most *most* bytes, without waiting.

    Raises:
        IrregularFileError: it is a pipe, a socket, a device, or a link that is not followed.
        IsADirectoryError: it is a folder.
        OSError: it is larger than *most* bytes, or cannot be read.
        ValueError: no file can have this path.
    """
    with open_regular(path, follows_links=follows_links) as file:
        # Both, because it may grow meanwhile.
        if os.fstat(file.fileno()).st_size <= most and len(data := file.read(most + 1)) <= most:
            return data
    raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MiB")


def fault_words(path: str | Path, error: Exception) -> str:
    """Say why a path cannot be read, in words that do not depend on the version of Python."""
    return "its name holds a NUL" if "\0" in str(path) else getattr(error, "strerror", None) or str(error)


def read_pipe(path: Path, most: int) -> bytes:
    """Read a pipe until its last writer closes it, or until there are more than *most* bytes.

    Raises:
        OSError: nobody writes to it, or it cannot be read.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | PLAIN), "rb") as pipe:
        try:
            first = os.read(pipe.fileno(), 1)
        except BlockingIOError:
            # Somebody has it open, and will write.
            first = None
        if first == b"":
            raise OSError(errno.EPIPE, "nobody writes to this pipe")
        os.set_blocking(pipe.fileno(), True)  # type: ignore[attr-defined, unused-ignore] # Windows has no such pipes
        parts, size = [first or b""], 0
        while size <= most and (part := pipe.read(2**20)):
            parts.append(part)
            size += len(part)
        return b"".join(parts)


def _check(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise IrregularFileError(errno.EINVAL, f"it is {_KINDS.get(stat.S_IFMT(mode), 'a device')}, not a file")
