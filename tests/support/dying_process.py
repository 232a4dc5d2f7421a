"""A process that is killed at the n-th statement of its journal's database, or at the n-th operation on a file."""

import faulthandler
import os
import signal
import sqlite3
import sys

from waiting import PATIENCE

_FILE_EVENTS = {"open", "os.mkdir", "os.link", "os.remove", "os.rename", "os.listdir", "os.scandir"}
"""The audit events that are operations on a file or folder."""


def in_child(work):
    """Run *work* in a process forked off, and kill that at its end; return how it ended."""
    return wait_for(fork_off(work))


def fork_off(work):
    """Run *work* in a process forked off, and kill that at its end; return its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        # Another thread may have held a lock at the fork: whoever needs it here would wait for ever. The signal shows
        # where that is, and ends the process.
        faulthandler.register(signal.SIGALRM, file=sys.__stderr__, chain=True)
        signal.alarm(int(PATIENCE))
        code = work() or 0
    finally:
        os._exit(code)


def wait_for(child):
    """Return how a process that was forked off ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dying(number):
    """Open databases whose process is killed at the statement of this number."""

    class Dying(sqlite3.Connection):
        def execute(self, *args):
            nonlocal number
            number -= 1
            if not number:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().execute(*args)

    return lambda *args, **options: sqlite3.connect(*args, factory=Dying, **options)


def die_at_file_event(number):
    """Let this process be killed at the operation of this number on a file or folder, counted from now."""

    def count(event, _):
        nonlocal number
        if event in _FILE_EVENTS:
            number -= 1
            if not number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
