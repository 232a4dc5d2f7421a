"""Run a batch in its own process until it is done, however often the process is killed, and check the result.

The checks compare the bills, the journal and the files. Some hold at every moment, the others at the end.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter

import batch_process
import forked_process
from PIL import Image
from wrong_bills import lost, repeated

from cometflux import Journal
from cometflux.journal.lock import LockFile
from cometflux.testing import LocalService

# The rates make up 8 %.
FAULTS = [
    # Responses to a submission that never come or are damaged. With "after", it was accepted and billed.
    {"fault": "drop", "rate": 0.005},
    {"fault": "drop", "rate": 0.01, "after": True},
    {"fault": "torn", "rate": 0.01, "after": True},
    {"fault": "torn-early", "rate": 0.005, "after": True},
    {"fault": "hang", "rate": 0.0025, "after": True},
    {"fault": "500", "rate": 0.0025},
    {"fault": "503", "rate": 0.005, "after": True},
    {"fault": "429", "rate": 0.005},
    {"fault": "429-silent", "rate": 0.0025},
    # Polls.
    {"fault": "hang", "rate": 0.0025, "on": "get"},
    {"fault": "drop", "rate": 0.005, "on": "get"},
    {"fault": "500", "rate": 0.0025, "on": "get"},
    {"fault": "torn", "rate": 0.0025, "on": "get"},
    # Predictions.
    {"fault": "failed", "rate": 0.005},
    {"fault": "canceled", "rate": 0.0025},
    {"fault": "expired", "rate": 0.0025},
    # Downloads.
    {"fault": "drop", "rate": 0.0025, "on": "output"},
    {"fault": "torn", "rate": 0.0025, "on": "output"},
    {"fault": "truncated-output", "rate": 0.0025},
    {"fault": "output-500", "rate": 0.0025},
]
ENDS = {"saved", "failed", "canceled", "expired", "unknown"}
SOON = 0.4
"""Seconds after a bill. The id of a torn response is confirmed by a poll before it is written, which takes longer."""


class Kill:
    """Sends a process a signal at a bill, counted from now, or some time after it."""

    def __init__(self, number, bills, delay):
        self.number = number
        self.left = bills
        self.delay = delay
        self.process = None
        self.has_struck = False

    def count(self):
        self.left -= 1
        if self.left == 0:
            self.has_struck = True
            threading.Timer(self.delay, self.send).start() if self.delay else self.send()

    def send(self):
        self.process.send_signal(self.number)


def no_kill():
    return Kill(signal.SIGKILL, 0, 0)


class KilledBatch:
    """The service, and the process that runs the same batch each time.

    Args:
        folder: the folder of the batch.
        jobs: the number of jobs.
        seed: the seed of the service's random faults.
        faults: the faults of the service.
        latency: the duration of a prediction, in seconds.
        place: a URL in an object store for the images; None for the folder.
        command: the program that runs the batch, with its arguments; None for that of `batch_process`.
    """

    def __init__(self, folder, *, jobs, seed=0, faults=FAULTS, latency=0.06, place=None, command=None):
        self.folder = folder
        self.jobs = jobs
        self.chance = random.Random(seed)
        self.strike = no_kill()
        self.service = None
        self._seed = seed
        self._faults = faults
        self._seconds = latency
        self._place = [place] if place else []
        self._command = command

    def __enter__(self):
        print(f"seed {self._seed}")
        self._running = LocalService.in_thread(latency=self._latency, pixels=64, seed=self._seed)
        self.service = self._running.__enter__()
        for fault in self._faults:
            self.service.fail(**fault)
        return self

    def __exit__(self, *error):
        if self.strike.process is not None:
            self.strike.process.kill()
            self.strike.process.communicate()
        self._running.__exit__(*error)

    def _latency(self, _model):
        # The service calls this while it writes a bill.
        self.strike.count()
        return self._seconds

    def run(self, strike, script=batch_process.__file__, before=()):
        """Run the batch until it ends or is killed; return the exit code and the output.

        *script* is the program of the batch, and *before* a command that runs another one.
        """
        usual = [
            *(*before, sys.executable, script),
            *(self.folder, self.service.url, self.service.key, str(self.jobs), *self._place),
        ]
        self.strike = strike
        self.strike.process = forked_process.Popen(
            self._command or usual,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        out, err = self.strike.process.communicate(timeout=60 + self.jobs / 10)
        return self.strike.process.returncode, out, err

    def run_until_struck(self, number, more):
        """Kill the batch, early enough that *more* such runs still have jobs to do."""
        open_jobs = self.jobs - sum(record.bought for record in self.records().values())
        bills = self.chance.randint(1, max(1, open_jobs // (more + 2)))
        delay = self.chance.choice([0.0, self.chance.uniform(0.0, 0.1)])
        print(f"{number.name} {delay:.3f} s behind {bills} more bills than {len(self.service.bills)}")
        strike = Kill(number, bills, delay)
        code, _, err = self.run(strike)
        assert strike.has_struck, f"the batch was over before its time, with code {code}: {err}"
        return code, err

    def run_to_the_end(self):
        """Run the rest of the batch; return the printed outcome of each job, in order."""
        code, out, err = self.run(no_kill())
        assert (0, "") == (code, err)
        # Checked before anything reads the journal.
        pairs = {name for path in self.files() for name in (path.name, path.with_suffix(".json").name)}
        others = {path.name for path in self.folder.iterdir()} - pairs
        assert {"journal.sqlite3", "journal.lock"} == others, "nothing is left half done"
        outcomes = sorted(json.loads(out), key=lambda outcome: outcome["index"])
        assert list(range(self.jobs)) == [outcome["index"] for outcome in outcomes], "each job ends once"
        return outcomes

    def finish(self):
        """Run the rest of the batch, and check money, files and journal; return the printed outcomes."""
        outcomes = self.run_to_the_end()
        self.check_money()
        self.check_files()
        self.check_end(outcomes)
        return outcomes

    def records(self):
        """Return the journal's records by prompt."""
        if self._is_unmade():
            return {}
        with Journal(self.folder) as journal:
            return {record.input["prompt"]: record for record in journal.records()}

    def _is_unmade(self):
        """Whether the process died before it created the journal, and so before it sent anything."""
        return LockFile.read(self.folder / "journal.sqlite3").is_blank and not self.posts()

    def posts(self):
        return sum(request.method == "POST" for request in self.service.requests)

    # Checks that hold at every moment.

    def check_money(self):
        records = self.records()
        bills = self.service.bills
        known = check_bills(bills, records)
        accepted = {bill.id: bill.at for bill in bills}
        polled = {id_in(request): request.at for request in reversed(self.service.requests) if id_in(request)}
        early = {name for name, at in polled.items() if name in accepted and at - accepted[name] < SOON}
        assert set() == early - known, "it was polled before its id was in the journal"

    def check_files(self):
        files = self.files()
        for path in files:
            with Image.open(path) as image:
                image.load()
            if path.with_suffix(".json").exists():
                sidecar = json.loads(path.with_suffix(".json").read_bytes())
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                assert (path.name, path.stat().st_size, digest) == (
                    sidecar["file"],
                    sidecar["bytes"],
                    sidecar["sha256"],
                )
        assert {} == {index: n for index, n in Counter(path.name[:5] for path in files).items() if n > 1}

    def files(self):
        return sorted(path for path in self.folder.iterdir() if path.suffix in (".webp", ".jpg", ".png"))

    # Checks that hold at the end of the batch.

    def check_end(self, outcomes):
        """Compare the journal with the bills, the files and the printed outcomes."""
        records = self.records()
        with Journal(self.folder) as journal:
            assert not journal.is_running
            status = journal.status()
        print(status)
        assert self.jobs == status.pop("planned") == sum(status.values())
        assert set() == {name for name, n in status.items() if n} - ENDS
        in_doubt = [bill for bill in self.service.bills if is_unknown(records[bill.input["prompt"]])]
        known = [record.prediction_id for record in records.values() if record.prediction_id]
        assert sorted(bill.id for bill in self.service.bills) == sorted(known + [bill.id for bill in in_doubt])

        saved = {record.index: record for record in records.values() if record.state_name == "saved"}
        assert set(saved) == {outcome["index"] for outcome in outcomes if outcome["files"]}
        names = [outcome["files"] for outcome in outcomes if outcome["files"]]
        assert names == [[each.name for each in saved[index].files] for index in sorted(saved)]
        assert [name for (name,) in names] == [path.name for path in self.files()]


def check_bills(bills, records):
    """Compare the bills with the journal's records, by prompt; return the ids of the records."""
    assert {} == repeated(bills)
    known = {record.prediction_id for record in records.values()} - {None}
    assert known <= {bill.id for bill in bills}
    unknown = {prompt for prompt, record in records.items() if is_unknown(record)}
    not_known = lost(bills, known, unknown)
    assert [] == not_known, "it is paid for, and the journal neither knows its id nor doubts its submission"
    return known


def is_unknown(record):
    return record is not None and record.state_name in ("unknown", "sending")


def id_in(request):
    _, found, name = request.path.partition("/predictions/")
    return name if found and request.method == "GET" else None
