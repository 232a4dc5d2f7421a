"""Save on the workers of a real cluster while workers, the scheduler and the driver are killed or stand still.

The place is a bucket of a real S3 server. After each run the bills, the journal and the objects are compared.
"""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from bill_checks import check_bills
from canary import CANARY
from dask_cluster import Cluster, memory_of
from s3_server import NAME, SECRET, Bucket

import cometflux
from cometflux import Journal
from cometflux.testing import LocalService

pytest.importorskip("distributed")
pytestmark = pytest.mark.realtime
PLACE = f"s3://{NAME}/tour"


class ClusterBatch:
    """The service, the bucket, the cluster, and the command that saves there."""

    def __init__(self, folder, jobs, *, workers=2, seed=1):
        self.folder = folder
        self.jobs = jobs
        self.chance = random.Random(seed)
        self._stack = contextlib.ExitStack()
        self._workers = workers
        self.driver = None

    def __enter__(self):
        self.bucket = self._stack.enter_context(Bucket())
        self.bucket.reset()
        running = LocalService.in_thread(latency=0.2, pixels=256, key=CANARY)
        self.service = self._stack.enter_context(running)
        self.cluster = Cluster(self.folder / "cluster", workers=self._workers, environment=self.bucket.environment)
        self._stack.enter_context(self.cluster)
        (self.folder / "p.txt").write_text("".join(f"{number} paper boats\n" for number in range(self.jobs)))
        return self

    def __exit__(self, *error):
        if self.driver is not None:
            self.driver.kill()
            self.driver.wait()
        self._stack.__exit__(*error)

    def start(self, *options, on_cluster=True):
        """Start the command; its stdout and stderr go to files."""
        saving = ("--cluster", self.cluster.address) if on_cluster else ()
        command = ["batch", "p.txt", "--out", PLACE, "--journal", "journal", "--json", *saving, *options]
        variables = {"COMETAPI_KEY": CANARY, "COMETFLUX_BASE_URL": self.service.url, **self.bucket.environment}
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "cometflux.cli", *command],
                cwd=self.folder,
                env=os.environ | variables | {"PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=out,
                stderr=err,
            )
        return self.driver

    def run(self, *options, **settings):
        """Run the command to its end; return its exit code."""
        self.start(*options, **settings)
        return self.wait()

    def wait(self):
        """Wait until the command has ended; return its exit code."""
        code = self.driver.wait(timeout=120 + self.jobs / 5)
        self.said = (self.folder / "err").read_text()
        return code

    def bills_reach(self, count):
        """Wait until the service has billed so many predictions; False if the driver ends before."""
        while len(self.service.bills) < count:
            if self.driver.poll() is not None:
                return False
            time.sleep(0.01)
        return True

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


@pytest.fixture
def batch(tmp_path, request):
    with ClusterBatch(tmp_path, getattr(request, "param", 300)) as batch:
        yield batch


@pytest.mark.hard
def test_a_clean_run_saves_every_image_once_and_the_key_is_in_no_other_process(batch):
    assert 0 == batch.run(), batch.said
    batch.check_end()
    assert batch.jobs == len(batch.service.bills)
    for process in (*batch.cluster.workers, batch.cluster.scheduler):
        for region in memory_of(process.pid):
            assert CANARY.encode() not in region
    assert any(SECRET.encode() in region for region in memory_of(batch.cluster.workers[0].pid)), "the search finds"
    for path in (batch.folder / "cluster").rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes()
    assert not any(CANARY.encode() in batch.bucket.read(name) for name in batch.bucket.names())
    assert 0 == batch.run(), "the same again, without the cluster"
    assert batch.jobs == len(batch.service.bills)


@pytest.mark.hard
@pytest.mark.parametrize("seed", range(4))
def test_killed_workers_cost_nothing(tmp_path, seed):
    """Five kills of a worker in each of four runs."""
    with ClusterBatch(tmp_path, 300, seed=seed) as batch:
        batch.start("--creates-per-minute", "1800")
        for number in range(1, 6):
            assert batch.bills_reach(number * 45 + batch.chance.randint(0, 20)), (tmp_path / "err").read_text()
            time.sleep(batch.chance.uniform(0, 0.3))
            batch.cluster.kill_worker(batch.chance.choice(batch.cluster.workers))
        assert 0 == batch.wait(), batch.said
        assert "is gone; its images are saved elsewhere" in batch.said
        batch.check_end()
        assert batch.jobs == len(batch.service.bills)


@pytest.mark.hard
@pytest.mark.parametrize("seed", range(5))
def test_a_killed_scheduler_does_not_even_end_the_run(tmp_path, seed):
    with ClusterBatch(tmp_path, 200, seed=seed) as batch:
        batch.start("--creates-per-minute", "1200")
        assert batch.bills_reach(batch.chance.randint(5, 120)), (tmp_path / "err").read_text()
        batch.cluster.kill_scheduler()
        assert 0 == batch.wait(), batch.said
        assert "this process saves the images" in batch.said
        batch.check_end()
        assert batch.jobs == len(batch.service.bills)


@pytest.mark.hard
def test_a_driver_that_is_killed_again_and_again_is_resumed_with_and_without_the_cluster(batch):
    in_flight = 0
    for number in range(10):
        batch.start("--creates-per-minute", "3000", on_cluster=number % 3 != 2)
        batch.bills_reach(len(batch.service.bills) + batch.chance.randint(5, 25))
        time.sleep(batch.chance.uniform(0, 0.2))
        batch.driver.send_signal(signal.SIGKILL)
        batch.driver.wait()
        batch.check_money()
        in_flight += sum(record.state_name == "sending" for record in batch.records().values())
    code = batch.run()
    assert code in (0, 5), batch.said
    batch.check_end(unknown=in_flight)
    bills = len(batch.service.bills)
    assert code == batch.run(on_cluster=False), batch.said
    assert bills == len(batch.service.bills)


@pytest.mark.hard
def test_a_worker_that_stands_still_holds_nobody_up(tmp_path):
    with ClusterBatch(tmp_path, 1200) as batch:
        batch.start("--creates-per-minute", "1800", "--max-pending", "200")
        assert batch.bills_reach(150), (tmp_path / "err").read_text()
        stopped = batch.cluster.workers[0]
        stopped.send_signal(signal.SIGSTOP)
        before, since = len(batch.service.bills), time.monotonic()
        time.sleep(30.0)
        rate = (len(batch.service.bills) - before) / (time.monotonic() - since)
        stopped.send_signal(signal.SIGCONT)
        assert 0 == batch.wait(), batch.said
        batch.check_end()
        assert batch.jobs == len(batch.service.bills)
        print(f"{rate:.1f} submissions/s of 30 while a worker stood still")
        assert rate > 0.4 * 30


@pytest.mark.hard
def test_a_worker_without_credentials_stops_the_batch_before_anything_is_sent(tmp_path):
    with ClusterBatch(tmp_path, 5, workers=0) as batch:
        batch.cluster.environment = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1"}
        batch.cluster.start_worker()
        batch.cluster.wait_for_worker()
        assert 3 == batch.run(), batch.said
        assert "cannot save" in batch.said
        assert [] == batch.service.bills


def _other_version(folder):
    """Lay a copy of the package that says another version."""
    copy = shutil.copytree(Path(cometflux.__file__).parent, folder / "cometflux")
    start = copy / "__init__.py"
    start.write_text(start.read_text().replace(f'"{cometflux.__version__}"', '"0.0.9"'))


def _no_package(folder):
    (folder / "cometflux.py").write_text("raise ModuleNotFoundError('No module named cometflux')")


def _no_obstore(folder):
    (folder / "obstore.py").write_text("raise ModuleNotFoundError('No module named obstore', name='obstore')")


@pytest.mark.hard
@pytest.mark.parametrize(
    ("lay", "reason"),
    [
        (_other_version, f"it has cometflux 0.0.9, and the driver has {cometflux.__version__}"),
        (_no_obstore, 'saving to s3:// needs an extra: pip install "cometflux[store]"'),
    ],
    ids=["of another version", "without obstore"],
)
def test_a_worker_that_cannot_carry_out_orders_stops_the_batch_before_anything_is_sent(lay, reason, tmp_path):
    with _batch_of_odd_workers(tmp_path, lay) as batch:
        assert 3 == batch.run(), batch.said
        assert reason in batch.said
        assert [] == batch.service.bills


@pytest.mark.hard
def test_a_worker_without_the_package_is_not_used_and_the_driver_saves(tmp_path):
    """Dask would end it with the first task, and the next one after it."""
    with _batch_of_odd_workers(tmp_path, _no_package) as batch:
        assert 0 == batch.run(), batch.said
        assert "cannot run cometflux and is not used: " in batch.said
        assert "No module named cometflux" in batch.said
        assert "note: no worker is there yet; this process saves the images until one is" in batch.said
        batch.check_end()
        assert batch.cluster.workers[0].poll() is None


@contextlib.contextmanager
def _batch_of_odd_workers(folder, lay):
    first = folder / "first"
    first.mkdir()
    lay(first)
    with ClusterBatch(folder, 5, workers=0) as batch:
        path = {"PYTHONPATH": os.pathsep.join([str(first), *sys.path])}
        batch.cluster.environment = batch.bucket.environment | path
        batch.cluster.start_worker()
        batch.cluster.wait_for_worker()
        yield batch
