"""The module msvcrt of a simulated Windows: locks of bytes, which are real ones of Linux, and mandatory.

The locks of one handle exclude all others, those of its own process too. Linux has such locks for its open files.
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct
import time

LK_UNLCK, LK_LOCK, LK_NBLCK, LK_RLCK, LK_NBRLCK = range(5)

_open, _close, _lseek, _fstat = os.open, os.close, os.lseek, os.fstat
_locks = {}
"""For each descriptor: a second one that holds its locks, which need no right to write there, and what is locked."""


def locking(descriptor, mode, count):
    """Lock bytes for one handle: another one, even of the same process, can then neither lock, read nor write them."""
    if descriptor not in _locks:
        _locks[descriptor] = _open(f"/proc/self/fd/{descriptor}", os.O_RDWR), set()
    holder, held = _locks[descriptor]
    span = _lseek(descriptor, 0, os.SEEK_CUR), count
    if mode == LK_UNLCK:
        if span not in held:
            raise PermissionError(errno.EACCES, "this region is not locked")
        held.remove(span)
        fcntl.fcntl(holder, fcntl.F_OFD_SETLK, _region(fcntl.F_UNLCK, *span))
        return
    for tries in range(10 if mode in (LK_LOCK, LK_RLCK) else 1):
        if tries:
            time.sleep(1)
        with contextlib.suppress(BlockingIOError):
            if not _overlaps(held, *span):
                fcntl.fcntl(holder, fcntl.F_OFD_SETLK, _region(fcntl.F_WRLCK, *span))
                held.add(span)
                return
    if mode in (LK_LOCK, LK_RLCK):
        raise OSError(errno.EDEADLK, "the region stays locked")
    raise PermissionError(errno.EACCES, "the region is locked")


def release(descriptor):
    """Release the locks of a descriptor that is closed."""
    if descriptor in _locks:
        _close(_locks.pop(descriptor)[0])


def check(descriptor, count):
    """Refuse to read or write *count* bytes if another handle has locked one of them."""
    if not stat.S_ISREG(_fstat(descriptor).st_mode):
        return
    start = _lseek(descriptor, 0, os.SEEK_CUR)
    holder = _locks.get(descriptor, (descriptor,))[0]
    found = fcntl.fcntl(holder, fcntl.F_OFD_GETLK, _region(fcntl.F_WRLCK, start, max(count, 1)))
    if struct.unpack_from("h", found)[0] != fcntl.F_UNLCK:
        raise PermissionError(errno.EACCES, "another handle has locked a part of it")


def _region(kind, start, count):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, count, 0)


def _overlaps(held, start, count):
    return any(start < other + length and other < start + count for other, length in held)
