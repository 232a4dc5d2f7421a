"""Saving on a real Dask cluster on the loopback."""

import asyncio
import contextlib
import socket
import warnings

import pytest
from waiting import PATIENCE

from cometflux import open_session
from cometflux.errors import ConfigError

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.realtime, pytest.mark.filterwarnings("ignore")]


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
