"""Odd files, as anybody may leave them in a folder, and a limit for what reads them."""

import contextlib
import os
import signal
import socket
import stat
from pathlib import Path

from posix_calls import IS_ROOT
from waiting import PATIENCE

HUGE = 2 * 1024**3
"""Bytes of a huge file; it takes no room on the disk."""


def _socket(path):
    here = Path.cwd()
    # A socket's path has at most 108 bytes.
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _huge(path):
    path.touch()
    os.truncate(path, HUGE)


def _unreadable(path):
    path.write_bytes(b"x")
    path.chmod(0)


def make_pipe(path):
    """Make a pipe, where there are such."""
    os.mkfifo(path)


KINDS = {
    "nested 100,000 deep": lambda path: path.write_bytes(b"[" * 100_000 + b"]" * 100_000),
    "a pipe": make_pipe,
    "a socket": _socket,
    "a folder": Path.mkdir,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "huge": _huge,
}
if not IS_ROOT:
    KINDS["unreadable"] = _unreadable
else:
    # Only root may make one, and root reads every file.
    KINDS["a device"] = lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))


def put(kind, path):
    """Put an odd file of *kind* at *path*, in place of a file that is there."""
    path.unlink(missing_ok=True)
    KINDS[kind](path)


@contextlib.contextmanager
def time_limit(seconds, folder):
    """Fail after *seconds* of work, or after long waiting: whoever waits for a pipe in *folder* is let go before."""

    def stop(*_):
        for path in folder.rglob("*"):
            if path.is_fifo():
                os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        raise AssertionError(f"it took more than {seconds} s of work, or {PATIENCE} s of waiting")

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, PATIENCE)}
    before = {number: signal.signal(number, stop) for number in timers}
    for timer, most in timers.values():
        signal.setitimer(timer, most)
    try:
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])
