"""A Dask scheduler and its workers, each in a process of its own that can be killed, on the loopback."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from waiting import wait_until


class Cluster:
    """A scheduler and some workers. All processes are ended on exit.

    Args:
        folder: for the files of the processes.
        workers: the number of workers at first.
        environment: variables that only the workers have. The first has the access key ``WORKER1``, and so on.
    """

    def __init__(self, folder, *, workers=2, environment=None):
        self._folder = folder
        self._count = workers
        self.environment = environment or {}
        self.workers = []
        self.started = 0
        """How many workers have been started."""

    def __enter__(self):
        self._folder.mkdir(exist_ok=True)
        self.start_scheduler(port=0)
        self.port = int(self.address.rpartition(":")[2])
        for _ in range(self._count):
            self.start_worker()
        return self

    def __exit__(self, *_):
        for process in (*self.workers, self.scheduler):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def start_scheduler(self, port=None):
        """Start a scheduler, at the same address as the one before."""
        told = self._folder / "scheduler.json"
        told.unlink(missing_ok=True)
        port = self.port if port is None else port
        options = ("--port", str(port), "--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(told))
        self.scheduler = self._start("dask_scheduler", *options)
        wait_until(lambda: self.scheduler.poll() is not None or (told.exists() and told.read_text().strip()))
        assert self.scheduler.poll() is None
        self.address = json.loads(told.read_text())["address"]

    def start_worker(self, *more, python=sys.executable, **environment):
        """Start one more worker, with *more* options and variables; it joins a second or two later."""
        self.started += 1
        options = ("--nthreads", "2", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1", "--death-timeout", "60")
        environment = self.environment | {"AWS_ACCESS_KEY_ID": f"WORKER{self.started}"} | environment
        worker = self._start("dask_worker", self.address, *options, *more, python=python, environment=environment)
        self.workers.append(worker)
        return worker

    def kill_all_workers(self):
        """Kill all workers."""
        while self.workers:
            process = self.workers.pop()
            process.kill()
            process.wait()

    def wait_for_workers(self, count=1):
        """Wait until so many workers have joined since the start."""
        wait_until(lambda: (self._folder / "cluster.log").read_bytes().count(b"Register worker") >= count)

    def kill_worker(self, process):
        """Kill a worker, and start another one in its place."""
        process.kill()
        process.wait()
        self.workers.remove(process)
        self.start_worker()

    def kill_scheduler(self):
        """Kill the scheduler, and start another one at the same address."""
        self.scheduler.kill()
        self.scheduler.wait()
        self.start_scheduler()

    def _start(self, name, *arguments, python=sys.executable, environment=None):
        code = f"from distributed.cli.{name} import main; main()"
        with (self._folder / "cluster.log").open("ab") as log:
            return subprocess.Popen(
                [python, "-c", code, *arguments],
                cwd=self._folder,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | (environment or {}),
                stdout=log,
                stderr=log,
            )


def memory_of(process_id):
    """Read the writable memory of a process, region by region."""
    process = Path(f"/proc/{process_id}")
    with (process / "maps").open() as maps, (process / "mem").open("rb", buffering=0) as memory:
        for line in maps:
            bounds, modes, *_ = line.split()
            if modes.startswith("rw"):
                start, end = (int(bound, 16) for bound in bounds.split("-"))
                try:
                    memory.seek(start)
                    yield memory.read(end - start)
                except (OSError, ValueError, OverflowError):
                    continue
