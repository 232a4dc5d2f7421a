"""The command, whose images other processes save in a bucket of a real S3 server, and what is compared afterwards."""

import contextlib
import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from bill_checks import check_bills
from canary import CANARY
from dask_cluster import Cluster
from s3_server import KEY_ID, NAME, Bucket
from waiting import PATIENCE, wait_until

from cometflux import Journal
from cometflux.testing import LocalService

PLACE = f"s3://{NAME}/tour"


class SavedBatch:
    """The service, the bucket, and the command that saves there.

    Args:
        folder: for the files of all processes.
        jobs: the number of jobs.
        seed: of the random moments.
    """

    def __init__(self, folder, jobs, *, seed=1):
        self.folder = folder
        self.jobs = jobs
        self.chance = random.Random(seed)
        self.saving = ()
        """The options that say which processes save."""
        self.driver = None
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        self.bucket = self._stack.enter_context(Bucket())
        self.bucket.reset()
        running = LocalService.in_thread(latency=0.2, pixels=256, key=CANARY)
        self.service = self._stack.enter_context(running)
        (self.folder / "p.txt").write_text("".join(f"{number} paper boats\n" for number in range(self.jobs)))
        return self

    def __exit__(self, *error):
        if self.driver is not None:
            self.driver.kill()
            self.driver.wait()
        self._stack.__exit__(*error)

    # ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, *options, saving=None):
        """Start the command in a session of its own, as a terminal would; its stdout and stderr go to files."""
        return self._start("batch", "p.txt", "--out", PLACE, "--journal", "journal", *options, saving=saving)

    def _start(self, *command, saving):
        saving = self.saving if saving is None else saving
        variables = {"COMETAPI_KEY": CANARY, "COMETFLUX_BASE_URL": self.service.url, "BATCH": str(self.folder)}
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "cometflux.cli", *command, "--json", *saving],
                cwd=self.folder,
                env=os.environ | variables | self.bucket.environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return self.driver

    def run(self, *options, saving=None):
        """Run the command to its end; return its exit code."""
        self.start(*options, saving=saving)
        return self.wait()

    def resume(self, *options, saving=None):
        """Resume the batch from its journal, to its end; return the exit code."""
        self._start("resume", "journal", *options, saving=saving)
        return self.wait()

    def wait(self):
        """Wait until the command has ended; return its exit code."""
        return self.driver.wait(timeout=PATIENCE + self.jobs / 5)

    @property
    def said(self):
        """What the command has written to stderr so far."""
        return (self.folder / "err").read_text()

    def wait_for(self, line):
        """Wait until the command, which is still running, has written a line that holds *line*."""
        wait_until(lambda: line in self.said or self.driver.poll() is not None)
        assert line in self.said, (self.driver.poll(), self.said)

    def bills_reach(self, count):
        """Wait until the service has billed so many predictions; False if the driver ends before."""
        wait_until(lambda: len(self.service.bills) >= count or self.driver.poll() is not None)
        return len(self.service.bills) >= count

    def kill_driver(self):
        """Kill the driver, and return how many submissions that cut off."""
        self.driver.kill()
        self.driver.wait()
        self.check_money()
        return sum(record.state_name == "sending" for record in self.records().values())

    def other_processes(self):
        """The processes that the driver has started and that are still running."""
        return [number for number in _processes_with(f"BATCH={self.folder}") if number != self.driver.pid]

    def savers(self):
        """The processes that save, of those that the driver has started."""
        return [number for number in _processes_with(f"BATCH={self.folder}", "spawn_main") if number != self.driver.pid]

    def savers_in_terminal(self):
        """Those of them that get the signals of the driver's terminal: one that saves has left it."""
        return [each for each in self.savers() if _session_of(each) not in (each, None)]

    # ── what is compared ─────────────────────────────────────────────────────────────────────────────────────────────

    def records(self):
        """The journal's records, by prompt; none before it is made."""
        if not (self.folder / "journal" / "journal.sqlite3").exists():
            return {}
        with Journal(self.folder / "journal") as journal:
            return {record.input["prompt"]: record for record in journal.records()}

    def check_money(self):
        check_bills(self.service.bills, self.records())

    def check_end(self, unknown=0):
        """Compare bills, journal and objects: each image is there once, whole, with its record, and nothing else is."""
        self.check_money()
        records = self.records().values()
        kinds = Counter(record.state_name for record in records)
        assert kinds["saved"] + kinds["unknown"] == self.jobs, (kinds, self.said)
        assert kinds["unknown"] <= unknown, (kinds, self.said)
        wanted = {}
        for record in records:
            for file in record.files:
                wanted[f"tour/{file.name}"] = (file.size, file.digest)
                wanted[f"tour/{file.name.rpartition('.')[0]}.json"] = None
        there = [name for name in self.bucket.names() if ".cometflux-" not in name]
        assert sorted(wanted) == there
        for name in there:
            data = self.bucket.read(name)
            if wanted[name] is None:
                told = json.loads(data)
                assert (told["bytes"], told["sha256"]) == wanted[f"tour/{told['file']}"]
            else:
                assert wanted[name] == (len(data), hashlib.sha256(data).hexdigest())

    def check_nothing_twice(self):
        """Compare all, after a run in which no submission could be lost."""
        self.check_end()
        assert self.jobs == len(self.service.bills)

    def images_put_by(self, who):
        """How often a process with this access key asked to put an image."""
        return sum(
            method == "PUT" and "/tour/" in path and not path.endswith(".json") and ".cometflux-" not in path
            for method, path in self.bucket.requests_of(who)
        )

    @property
    def images_put_by_driver(self):
        return self.images_put_by(KEY_ID)


class ClusterBatch(SavedBatch):
    """A batch that is saved on a Dask cluster, whose workers have access keys of their own: ``WORKER1`` and so on."""

    def __init__(self, folder, jobs, *, workers=2, seed=1):
        super().__init__(folder, jobs, seed=seed)
        self._workers = workers

    def __enter__(self):
        super().__enter__()
        self.cluster = Cluster(self.folder / "cluster", workers=self._workers, environment=self.bucket.environment)
        self._stack.enter_context(self.cluster)
        self.cluster.wait_for_workers(self._workers)
        self.saving = ("--cluster", self.cluster.address)
        return self

    @property
    def images_put_by_workers(self):
        return sum(self.images_put_by(f"WORKER{number + 1}") for number in range(self.cluster.started))


def _session_of(number):
    """The session of a process; None if it has ended."""
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(number)
    return None


def _processes_with(variable, command=""):
    """The processes, still running, that were started with a variable, by a command that holds *command*."""
    found = []
    for folder in (each for each in Path("/proc").iterdir() if each.name.isdecimal()):
        # It may end meanwhile.
        with contextlib.suppress(OSError):
            variables, words = ((folder / name).read_bytes() for name in ("environ", "cmdline"))
            if variable.encode() in variables.split(b"\0") and command.encode() in words:
                found.append(int(folder.name))
    return found
