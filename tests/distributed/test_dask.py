"""Saving on a real Dask cluster on the loopback."""

import asyncio
import contextlib
import os
import signal
import socket
import warnings

import pytest
from dask_cluster import Cluster
from waiting import PATIENCE

from cometflux import open_session
from cometflux.distributed import EngineLostError
from cometflux.distributed.dask import DaskEngine
from cometflux.errors import ConfigError

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.realtime, pytest.mark.processes, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
async def cluster():
    async with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, dashboard_address=None, asynchronous=True, processes=True
    ) as cluster:
        yield cluster


async def make(service, folder, count=20, **options):
    async with open_session(api_key=service.key, base_url=service.url, **options) as session:
        prompts = [f"boat {number}" for number in range(count)]
        return [outcome async for outcome in session.generate(prompts, save_to=folder)]


async def test_images_are_saved_by_the_workers_of_a_cluster(cluster, service, tmp_path):
    outcomes = await make(service, tmp_path / "a", savers=cluster.scheduler_address, journal=tmp_path)
    assert all(outcome.ok for outcome in outcomes)
    assert 20 == len([*(tmp_path / "a").glob("*.webp")]) == len([*(tmp_path / "a").glob("*.json")])
    again = await make(service, tmp_path / "a", journal=tmp_path)
    assert all(outcome.resumed and outcome.ok for outcome in again)
    assert 20 == len(service.bills)


@pytest.mark.hard
async def test_a_set_is_finished_though_all_workers_are_killed(cluster, service, tmp_path):
    async with open_session(api_key=service.key, base_url=service.url, savers=cluster.scheduler_address) as session:
        outcomes = []
        async for outcome in session.generate([f"boat {n}" for n in range(30)], save_to=tmp_path):
            outcomes.append(outcome)
            if len(outcomes) == 5:
                for nanny in cluster.workers.values():
                    await nanny.kill()
    assert 30 == len(outcomes) == len(service.bills)
    assert all(outcome.ok for outcome in outcomes)


async def test_processes_are_started_beside_another_cluster_without_a_warning(service, tmp_path):
    with contextlib.ExitStack() as stack:
        # It has the usual port of a dashboard, if nobody else on this machine has.
        with contextlib.suppress(OSError):
            stack.enter_context(socket.create_server(("", 8787)))
        said = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always", UserWarning)
        outcomes = await make(service, tmp_path, 2, savers=1)
    assert all(outcome.ok for outcome in outcomes)
    assert [] == [str(each.message) for each in said if issubclass(each.category, UserWarning)]


async def test_an_address_without_a_scheduler_is_refused_before_anything_is_sent(service, tmp_path, monkeypatch):
    monkeypatch.setattr("cometflux.distributed.dask.CONNECT", 0.5)
    with pytest.raises(ConfigError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        async with asyncio.timeout(PATIENCE):
            await make(service, tmp_path, savers="tcp://127.0.0.1:9")
    assert [] == service.bills


@pytest.mark.parametrize("given", [True, 0, -1, 1000, "", " ", 1.5, [], "nonsense://x"])
async def test_what_is_not_a_cluster_is_refused(given, service, tmp_path):
    with pytest.raises(ConfigError):
        await make(service, tmp_path, savers=given)
    assert [] == service.bills


# ── workers that hang ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def engine(cluster):
    engine = DaskEngine(cluster.scheduler_address)
    await engine.open()
    yield engine
    await engine.aclose()


@pytest.mark.hard
@pytest.mark.posix
async def test_a_worker_that_hangs_when_it_is_tried_out_keeps_no_other_from_being_used(
    cluster, engine, monkeypatch, caplog
):
    monkeypatch.setattr("cometflux.distributed.dask.TRY_OUT", 3.0)
    hanging, other = cluster.workers.values()
    os.kill(hanging.pid, signal.SIGSTOP)
    try:
        assert {other.worker_address: 2} == await engine.workers()
        began = asyncio.get_running_loop().time()
        assert {other.worker_address: 2} == await engine.workers()
        assert asyncio.get_running_loop().time() - began < 3.0, "it is waited for once"
        said = f"the worker {hanging.worker_address} is not used until it answers: it did not answer within 3 s"
        assert [said] == [record.getMessage() for record in caplog.records if "worker" in record.getMessage()]
    finally:
        os.kill(hanging.pid, signal.SIGCONT)
    both = {other.worker_address: 2, hanging.worker_address: 2}

    found = {}
    async with asyncio.timeout(PATIENCE):
        while found != both:
            found = await engine.workers()


@pytest.fixture
def own_cluster(tmp_path):
    with Cluster(tmp_path / "cluster", workers=1) as cluster:
        cluster.wait_for_workers()
        yield cluster


async def page_under_way(engine, worker):
    await asyncio.gather(*[engine.carry_out(b"no page", worker) for _ in range(50)])


async def roll_call(engine, worker):
    await engine.workers()


@pytest.mark.hard
@pytest.mark.posix
@pytest.mark.parametrize("stopped", [True, False], ids=["a stopped worker", "a worker at work"])
@pytest.mark.parametrize("call", [page_under_way, roll_call])
async def test_a_lost_scheduler_ends_every_call_and_no_error_is_left_unread(call, stopped, own_cluster, caplog):
    """The loop complains of a future or a task that ended with an error which nobody read: see `loop_complaints`."""
    engine = DaskEngine(own_cluster.address)
    await engine.open()
    (name,) = await engine.workers()
    if stopped:
        own_cluster.workers[0].send_signal(signal.SIGSTOP)
    calls = [asyncio.ensure_future(call(engine, name)) for _ in range(3)]
    await asyncio.sleep(0.05)
    own_cluster.scheduler.kill()
    own_cluster.scheduler.wait()
    async with asyncio.timeout(PATIENCE):
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ends} <= {type(None), EngineLostError}
    with pytest.raises(EngineLostError, match="the Dask scheduler is lost"):
        await engine.workers()
    await engine.aclose()
