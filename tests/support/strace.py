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
    probe = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:retval=0", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=30)
    return f"strace may not trace here: {done.stderr.strip()}" if done.returncode else None


def traced(*fates, log="/dev/null"):
    """Return the command that runs another one, some of whose system calls meet a fate, and *log* is told of those.

    A fate is the calls' names and what befalls them. Each thread and each kind of call is counted by itself.
    """
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    # -D: strace is the child of the process that it watches, which so can be ended as if there were no strace.
    command = ["strace", "-D", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(calls for calls, _ in fates)}"]
    return [*command, *(word for calls, action in fates for word in ("-e", f"inject={calls}:{action}"))]
