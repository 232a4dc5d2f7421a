"""Wait for a condition, never for a time: how quick the machine is says nothing about the code."""

import subprocess
import time

PATIENCE = 120.0
"""The longest real time, in seconds, that a test waits for what must come; only a test that fails waits so long."""


def wait_until(condition):
    """Wait until *condition* returns something true."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it did not come about"
        time.sleep(0.01)


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
