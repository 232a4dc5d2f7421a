"""Start the command, or code, on a simulated Windows machine: see windows_double."""

import os
import subprocess
import sys
from pathlib import Path

import forked_process

PROCESS = Path(__file__).with_name("windows_process.py")


class _Popen(forked_process.Popen):
    python_options = ("-X", "warn_default_encoding")
    prepared_by = "windows_process"


class Machine:
    """Its processes share a folder, and see which files the others have open."""

    def __init__(self, folder, service=None):
        self._folder = folder
        self._environment = {"COMETFLUX_BASE_URL": service.url, "COMETAPI_KEY": service.key} if service else {}
        self._started = []

    def start(self, *arguments, **options):
        """Start the command, or code after ``-c``."""
        # Those with the tool server import more before the double is put below them than a fork has imported.
        kind = subprocess.Popen if arguments[0] in ("mcp", "-a") else _Popen
        process = kind(
            [sys.executable, *_Popen.python_options, PROCESS, self._folder, *map(str, arguments)],
            env=os.environ | self._environment | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            **options,
        )
        self._started.append(process)
        return process

    def run(self, *arguments, code=0, **options):
        """Run the command, or code, and return what it printed to stdout and to stderr."""
        process = self.start(*arguments, **options)
        out, err = process.communicate()
        assert code == process.returncode, err
        return out, err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Kill what is still running.
        for process in self._started:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
