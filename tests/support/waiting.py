"""Wait for a condition, never for a time: how quick the machine is says nothing about the code."""

import re
import subprocess
import time
from pathlib import Path

PATIENCE = 120.0
"""The longest real time, in seconds, that a test waits for what must come; only a test that fails waits so long."""


def wait_until(condition):
    """Wait until *condition* returns something true."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it did not come about"
        time.sleep(0.01)


READS = "pipe_read|n_tty_read|wait_woken"
"""The calls of the kernel in which a process waits for its stdin, if it reads no other pipe or terminal."""
EVENTS = "epoll_wait|ep_poll"
"""Those in which an event loop waits."""


def wait_until_it_waits(process, calls=READS):
    """Wait until a process waits in one of these calls of the kernel.

    A signal that comes just before a read is seen only at the end of it.
    """
    where = Path(f"/proc/{process.pid}/wchan")
    if where.exists():
        wait_until(lambda: re.search(calls, where.read_text()))
    else:
        # Not on Linux: it is very likely to wait by then.
        time.sleep(1)


def rest_of(running):
    """Return the rest of a process's output, and wait for its end.

    `communicate` does not after a `readline`: it forgets what is buffered.
    """
    out, err = running.stdout.read(), running.stderr.read()
    running.wait(PATIENCE)
    return out, err


def terminate(process):
    """Ask a process to end, and wait for that; kill it if it does not."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
