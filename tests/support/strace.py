"""Let system calls of another process fail, or end the process, through strace. Skip the test if strace cannot run."""

import functools
import shutil
import subprocess

import pytest
from waiting import PATIENCE


@functools.cache
def why_not():
    """Return why strace cannot run on this machine; None if it can."""
    if shutil.which("strace") is None:
        return "there is no strace on this machine"
    probe = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:retval=0", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return f"strace may not trace here: {done.stderr.strip()}" if done.returncode else None


def traced(*fates, log="/dev/null"):
    """Return a command that runs another one with injected faults in its system calls, written to *log*.

    A fault is the names of the calls and the injection. Each thread and each kind of call is counted separately.
    """
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    # -D makes strace the child of the traced process, so that this can be killed as if there were no strace.
    command = ["strace", "-D", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(calls for calls, _ in fates)}"]
    return [*command, *(word for calls, action in fates for word in ("-e", f"inject={calls}:{action}"))]


def watched(calls, log):
    """Return a command that runs another one and writes its system calls to *log*, with the paths of open files."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    return ["strace", "-D", "-f", "-qq", "-y", "-s", "4096", "-o", str(log), "-e", f"trace={calls}"]
