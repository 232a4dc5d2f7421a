"""Kill and interrupt the driver of a batch that other processes save, and resume the batch: in the same way or another.

After each run the bills, the journal and the objects are compared.
"""

import os
import signal

import pytest
from canary import CANARY
from cluster_batch import ClusterBatch, SavedBatch
from dask_cluster import memory_of
from s3_server import SECRET
from waiting import wait_until

pytest.importorskip("distributed")
pytestmark = [pytest.mark.realtime, pytest.mark.hard]
ALONE = ()
PROCESSES = ("--workers", "2")


def test_a_driver_that_is_killed_again_and_again_is_resumed_with_and_without_the_cluster(tmp_path):
    in_flight = 0
    with ClusterBatch(tmp_path, 300) as batch:
        for number in range(10):
            batch.start("--creates-per-minute", "3000", saving=ALONE if number % 3 == 2 else None)
            assert batch.bills_reach(len(batch.service.bills) + batch.chance.randint(5, 25)), batch.said
            in_flight += batch.kill_driver()
        code = batch.run()
        assert code in (0, 5), batch.said
        batch.check_end(unknown=in_flight)
        bills = len(batch.service.bills)
        assert code == batch.run(saving=ALONE), batch.said
        assert bills == len(batch.service.bills)


def test_a_set_begun_on_a_cluster_is_resumed_when_the_cluster_is_no_more(tmp_path):
    with ClusterBatch(tmp_path, 200) as batch:
        batch.start("--creates-per-minute", "1800")
        assert batch.bills_reach(100), batch.said
        in_flight = batch.kill_driver()
        assert batch.images_put_by_driver == 0 < batch.images_put_by_workers
        batch.cluster.kill_all_workers()
        batch.cluster.scheduler.kill()
        before = batch.images_put_by_workers
        assert batch.resume(saving=ALONE) in (0, 5), batch.said
        batch.check_end(unknown=in_flight)
        assert batch.images_put_by_driver
        assert before == batch.images_put_by_workers


def test_a_set_begun_without_a_cluster_is_resumed_on_one(tmp_path):
    with ClusterBatch(tmp_path, 200) as batch:
        batch.start("--creates-per-minute", "1800", saving=ALONE)
        assert batch.bills_reach(100), batch.said
        in_flight = batch.kill_driver()
        before = batch.images_put_by_driver
        assert batch.images_put_by_workers == 0 < before
        assert batch.resume() in (0, 5), batch.said
        batch.check_end(unknown=in_flight)
        assert batch.images_put_by_workers
        assert before == batch.images_put_by_driver


@pytest.fixture
def local(tmp_path):
    """A batch that is saved by processes which the command starts."""
    with SavedBatch(tmp_path, 300) as batch:
        batch.saving = PROCESSES
        yield batch
        wait_until(lambda: not batch.other_processes())


def test_killed_processes_of_the_command_cost_nothing(local):
    local.start("--creates-per-minute", "1800")
    for number in range(1, 4):
        assert local.bills_reach(number * 60), local.said
        os.kill(local.chance.choice(local.savers()), signal.SIGKILL)
    assert 0 == local.wait(), local.said
    assert "is gone; its images are saved elsewhere" in local.said
    local.check_nothing_twice()


def test_the_key_is_in_no_process_that_the_command_starts(local):
    local.start("--creates-per-minute", "1800")
    assert local.bills_reach(100), local.said
    savers = local.savers()
    assert 2 == len(savers)
    for process in savers:
        for region in memory_of(process):
            assert CANARY.encode() not in region
    assert any(SECRET.encode() in region for region in memory_of(savers[0])), "the search finds"
    assert 0 == local.wait(), local.said
    local.check_nothing_twice()


def test_processes_end_by_themselves_when_the_command_is_killed(local):
    local.start("--creates-per-minute", "1800")
    assert local.bills_reach(100), local.said
    assert 2 == len(local.savers())
    in_flight = local.kill_driver()
    wait_until(lambda: not local.other_processes())
    assert local.resume() in (0, 5), local.said
    local.check_end(unknown=in_flight)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_to_the_command_and_its_processes_ends_all_of_them_in_order(local, name):
    """A terminal sends Ctrl-C, and that it is closed, to each process that it has started."""
    number = signal.Signals[name]
    # Slow enough that jobs are left when the new process is there, on a busy machine, too.
    local.start("--creates-per-minute", "900")
    assert local.bills_reach(40), local.said
    killed = local.savers()[0]
    os.kill(killed, signal.SIGKILL)
    # The one that takes its place has left the terminal, too.
    wait_until(lambda: len({*local.savers()} - {killed}) == 2 and not local.savers_in_terminal())
    os.killpg(local.driver.pid, number)
    assert 128 + number == local.wait(), local.said
    assert "Traceback" not in local.said
    assert 1 == local.said.count("Restarting worker")
    assert local.said.endswith("cometflux resume journal --creates-per-minute 900 --workers 2\n")
    wait_until(lambda: not local.other_processes())
    local.check_money()
    assert 0 == local.resume(), local.said
    local.check_nothing_twice()
