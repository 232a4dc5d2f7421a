"""Save on the workers of a real cluster while workers, the scheduler and the driver are killed or stand still.

The place is a bucket of a real S3 server. After each run the bills, the journal and the objects are compared.
"""

import signal
import time

import pytest
from canary import CANARY
from cluster_batch import ClusterBatch
from dask_cluster import memory_of
from s3_server import SECRET

pytest.importorskip("distributed")
pytestmark = [pytest.mark.realtime, pytest.mark.hard]


@pytest.fixture
def batch(tmp_path, request):
    with ClusterBatch(tmp_path, getattr(request, "param", 300)) as batch:
        yield batch


def test_a_clean_run_saves_every_image_once_and_the_key_is_in_no_other_process(batch):
    assert 0 == batch.run(), batch.said
    batch.check_nothing_twice()
    assert (batch.jobs, 0) == (batch.images_put_by_workers, batch.images_put_by_driver)
    for process in (*batch.cluster.workers, batch.cluster.scheduler):
        for region in memory_of(process.pid):
            assert CANARY.encode() not in region
    assert any(SECRET.encode() in region for region in memory_of(batch.cluster.workers[0].pid)), "the search finds"
    for path in (batch.folder / "cluster").rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes()
    assert not any(CANARY.encode() in batch.bucket.read(name) for name in batch.bucket.names())
    assert 0 == batch.run(), batch.said
    assert batch.jobs == len(batch.service.bills)


@pytest.mark.parametrize("seed", range(4))
def test_killed_workers_cost_nothing(tmp_path, seed):
    """Five kills of a worker in each of four runs."""
    with ClusterBatch(tmp_path, 300, seed=seed) as batch:
        batch.start("--creates-per-minute", "1800")
        for number in range(1, 6):
            assert batch.bills_reach(number * 45 + batch.chance.randint(0, 20)), batch.said
            time.sleep(batch.chance.uniform(0, 0.3))
            batch.cluster.kill_worker(batch.chance.choice(batch.cluster.workers))
        assert 0 == batch.wait(), batch.said
        assert "is gone; its images are saved elsewhere" in batch.said
        batch.check_nothing_twice()


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_scheduler_does_not_even_end_the_run(tmp_path, seed):
    with ClusterBatch(tmp_path, 200, seed=seed) as batch:
        batch.start("--creates-per-minute", "1200")
        assert batch.bills_reach(batch.chance.randint(5, 120)), batch.said
        batch.cluster.kill_scheduler()
        assert 0 == batch.wait(), batch.said
        assert "this process saves the images" in batch.said
        batch.check_nothing_twice()


def test_a_worker_that_stands_still_holds_nobody_up(tmp_path):
    with ClusterBatch(tmp_path, 1200) as batch:
        batch.start("--creates-per-minute", "1800", "--max-pending", "200")
        assert batch.bills_reach(150), batch.said
        stopped = batch.cluster.workers[0]
        stopped.send_signal(signal.SIGSTOP)
        before, since = len(batch.service.bills), time.monotonic()
        time.sleep(30.0)
        rate = (len(batch.service.bills) - before) / (time.monotonic() - since)
        stopped.send_signal(signal.SIGCONT)
        assert 0 == batch.wait(), batch.said
        batch.check_nothing_twice()
        print(f"{rate:.1f} submissions/s of 30 while a worker stood still")
        assert rate > 0.4 * 30
