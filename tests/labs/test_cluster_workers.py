"""Workers that cannot save, that break, that stand still, and that are all gone: the batch ends, and pays once.

After each run the bills, the journal and the objects are compared.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster_batch import ClusterBatch
from waiting import wait_until

import cometflux

pytest.importorskip("distributed")
pytestmark = [pytest.mark.realtime, pytest.mark.hard]
CHECKOUT = Path(__file__).parents[2]
ODD_WORKER = str(CHECKOUT / "tests" / "support" / "odd_worker.py")


# ── workers that cannot save ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_without_credentials_stops_the_batch_before_anything_is_sent(tmp_path):
    with ClusterBatch(tmp_path, 5, workers=0) as batch:
        batch.cluster.environment = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1"}
        batch.cluster.start_worker(AWS_ACCESS_KEY_ID="")
        batch.cluster.wait_for_workers(1)
        assert 3 == batch.run(), batch.said
        _check_error(batch, "cannot save")
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
        _check_error(batch, reason)
        assert [] == batch.service.bills


def test_a_worker_without_the_package_is_not_used_and_the_driver_saves(tmp_path):
    """Dask would end it with the first task, and the next one after it."""
    with _batch_of_odd_workers(tmp_path, _no_package) as batch:
        assert 0 == batch.run(), batch.said
        assert "cannot run cometflux and is not used: " in batch.said
        assert "No module named cometflux" in batch.said
        assert "note: there is no worker yet; this process saves the images until there is one" in batch.said
        batch.check_nothing_twice()
        assert batch.cluster.workers[0].poll() is None


def _check_error(batch, reason):
    """The error is one line; below it is only how to resume."""
    error, *more = batch.said.splitlines()
    assert error.startswith("error: ")
    assert reason in error
    assert ["journal: 0 of 5 saved, 5 waiting", "to resume:", "cometflux resume journal"] == [
        line.strip().partition(" --")[0] for line in more
    ]


@contextlib.contextmanager
def _batch_of_odd_workers(folder, lay):
    first = folder / "first"
    first.mkdir()
    lay(first)
    with ClusterBatch(folder, 5, workers=0) as batch:
        batch.cluster.start_worker(PYTHONPATH=os.pathsep.join([str(first), *sys.path]))
        batch.cluster.wait_for_workers(1)
        yield batch


# ── workers of another Python ────────────────────────────────────────────────────────────────────────────────────────


def _other_python():
    """A Python of another version that has the package; None if there is none."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in sorted(CHECKOUT.glob(".make/python3.*/bin/python")):
        has_all = subprocess.run([python, "-c", "import cometflux, distributed, obstore"], check=False, cwd="/")
        if python.parts[-3] != f"python{here}" and has_all.returncode == 0:
            return str(python)
    return None


def test_workers_of_another_python_save_and_nothing_is_said_of_it(tmp_path):
    """What travels is bytes of the package's own, so that Dask's table of versions would only frighten."""
    python = _other_python()
    if python is None:
        pytest.skip("no environment of another Python here; `make test-pythons` makes some")
    with ClusterBatch(tmp_path, 60, workers=0) as batch:
        batch.cluster.start_worker(python=python, PYTHONPATH="")
        batch.cluster.wait_for_workers(1)
        assert 0 == batch.run(), batch.said
        assert "ersion" not in batch.said
        batch.check_nothing_twice()
        assert batch.images_put_by_workers == batch.jobs


# ── workers that break, and workers that stand still ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("allowed", ["0", "3"], ids=["Dask gives the task up", "each time another worker"])
def test_an_image_that_kills_its_workers_is_saved_by_the_driver(tmp_path, allowed, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", allowed)
    with ClusterBatch(tmp_path, 300, workers=0) as batch:
        for _ in range(6):
            batch.cluster.start_worker("--preload", ODD_WORKER, ODD='dies "37 paper boats')
        batch.cluster.wait_for_workers(6)
        batch.start("--creates-per-minute", "1800")
        assert 0 == batch.wait(), batch.said
        batch.check_nothing_twice()
        dead = sum(worker.poll() is not None for worker in batch.cluster.workers)
        assert 1 <= dead <= 3, "the others save what follows"
        assert batch.images_put_by_driver < 60 < batch.images_put_by_workers


def test_a_worker_that_stands_still_for_long_and_wakes_finds_its_images_saved(tmp_path):
    with ClusterBatch(tmp_path, 1000, workers=1) as batch:
        stopped = batch.cluster.start_worker("--preload", ODD_WORKER, ODD="stops 20")
        batch.cluster.wait_for_workers(2)
        batch.start("--creates-per-minute", "600")
        wait_until(lambda: _stands_still(stopped))
        # It had loaded this image, but not put it.
        before = batch.images_put_by("WORKER2")
        batch.wait_for("does not answer; its images are saved elsewhere")
        time.sleep(5.0)
        assert before == batch.images_put_by("WORKER2")
        stopped.send_signal(signal.SIGCONT)
        wait_until(lambda: before < batch.images_put_by("WORKER2"))
        assert 0 == batch.wait(), batch.said
        batch.check_nothing_twice()


def _stands_still(process):
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


# ── workers that are gone, and come back ─────────────────────────────────────────────────────────────────────────────


def test_without_any_worker_the_driver_saves_until_some_are_back(tmp_path):
    with ClusterBatch(tmp_path, 600) as batch:
        batch.start("--creates-per-minute", "1200")
        assert batch.bills_reach(100), batch.said
        batch.cluster.kill_all_workers()
        batch.wait_for("no worker is left; this process saves the images, more slowly")
        wait_until(lambda: batch.images_put_by_driver >= 20)
        batch.cluster.start_worker()
        batch.wait_for("workers are available; they save the images")
        wait_until(lambda: batch.images_put_by("WORKER3") >= 20)
        assert 0 == batch.wait(), batch.said
        batch.check_nothing_twice()


def test_after_a_scheduler_is_killed_and_started_again_its_workers_are_used_again(tmp_path):
    with ClusterBatch(tmp_path, 900) as batch:
        batch.start("--creates-per-minute", "1200")
        assert batch.bills_reach(100), batch.said
        batch.cluster.kill_scheduler()
        batch.wait_for("this process saves the images meanwhile")
        # The ones before have ended with their scheduler, as Dask has it.
        batch.cluster.start_worker()
        batch.cluster.start_worker()
        batch.wait_for("workers are available; they save the images")
        wait_until(lambda: batch.images_put_by("WORKER3") + batch.images_put_by("WORKER4") >= 20)
        assert 0 == batch.wait(), batch.said
        batch.check_nothing_twice()


# ── a store that refuses ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_store_that_refuses_everybody_ends_submitting_and_a_later_run_finishes(tmp_path):
    with ClusterBatch(tmp_path, 400) as batch:
        batch.start("--creates-per-minute", "1200", "--max-pending", "40")
        assert batch.bills_reach(100), batch.said
        batch.bucket.fail("403 AccessDenied", times=5_000)
        refused_from = len(batch.service.bills)
        assert 3 == batch.wait(), batch.said
        batch.check_money()
        bought = len(batch.service.bills)
        # What was pending, and what was submitted before the driver was refused, too.
        assert bought < batch.jobs / 2 + refused_from
        batch.bucket.mend()
        assert 0 == batch.resume(), batch.said
        batch.check_nothing_twice()


def test_a_store_that_refuses_one_worker_stops_nobody(tmp_path):
    with ClusterBatch(tmp_path, 400) as batch:
        batch.start("--creates-per-minute", "1200")
        assert batch.bills_reach(100), batch.said
        batch.bucket.fail("403 AccessDenied", times=500, who="WORKER1")
        assert 0 == batch.wait(), batch.said
        batch.check_nothing_twice()
        assert batch.images_put_by("WORKER2") > batch.images_put_by("WORKER1")
