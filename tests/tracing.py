"""System calls of another process that strace lets fail, or lets be its last; a machine that forbids it skips."""

import functools
import shutil
import subprocess

import pytest


@functools.cache
def why_not():
    """Tell what the machine lacks; None where it lacks nothing."""
    if shutil.which("strace") is None:
        return "there is no strace on this machine"
    done = subprocess.run([*_strace("fsync", "retval=0"), "true"], capture_output=True, text=True, check=False)
    return f"strace may not trace here: {done.stderr.strip()}" if done.returncode else None


def traced(calls, action, log="/dev/null", paths=()):
    """Return the command that runs another one and has *action* befall its *calls*, of which *log* is told.

    Each thread and each kind of call is counted by itself. Where *paths* are given, only calls on those files count.
    """
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    return _strace(calls, action, log, paths)


def _strace(calls, action, log="/dev/null", paths=()):
    # -D: strace is the child of the process that it watches, which so can be ended as if there were no strace.
    command = ["strace", "-D", "-f", "-qq", "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={calls}:{action}"]
    return [*command, *(word for path in paths for word in ("-P", str(path)))]
