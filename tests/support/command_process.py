"""Start the command in processes of its own."""

import os
import subprocess
import sys

import forked_process

_started = []


def start(*arguments, **options):
    """Start the command; its output is read through pipes unless *options* say otherwise."""
    process = forked_process.Popen(
        [sys.executable, "-m", "cometflux.cli", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )
    _started.append(process)
    return process


def kill_all():
    """Kill what is still running of all that was started."""
    while _started:
        process = _started.pop()
        process.kill()
        process.wait()
        for stream in filter(None, (process.stdout, process.stderr)):
            stream.close()
