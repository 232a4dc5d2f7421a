"""Saving from Python on the cluster of a `distributed.Client` of one's own."""

import asyncio
import os
import subprocess
import sys

import pytest
from cluster_batch import ClusterBatch

from cometflux import open_session

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.realtime, pytest.mark.hard]


def test_a_client_of_ones_own_leads_to_its_cluster_and_stays_open(tmp_path, monkeypatch):
    with ClusterBatch(tmp_path, 60) as batch:
        for name, value in batch.bucket.environment.items():
            monkeypatch.setenv(name, value)
        with distributed.Client(batch.cluster.address) as client:
            assert all(outcome.ok for outcome in asyncio.run(_make(batch, client)))
            assert "running" == client.status
            assert 3 == client.submit(sum, [1, 2]).result()
        batch.check_nothing_twice()
        assert (60, 0) == (batch.images_put_by_workers, batch.images_put_by_driver)


async def test_an_asynchronous_client_on_the_same_loop_does_it_too(tmp_path, monkeypatch):
    with ClusterBatch(tmp_path, 60) as batch:
        for name, value in batch.bucket.environment.items():
            monkeypatch.setenv(name, value)
        async with distributed.Client(batch.cluster.address, asynchronous=True) as client:
            assert all(outcome.ok for outcome in await _make(batch, client))
            assert "running" == client.status
        batch.check_nothing_twice()
        assert (60, 0) == (batch.images_put_by_workers, batch.images_put_by_driver)


def test_a_script_that_would_start_itself_again_is_told_how_not_to(tmp_path):
    """Each process that it starts imports it."""
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio, cometflux\n"
        "async def main():\n"
        "    async with cometflux.open_session(api_key='sk-x', savers=1): pass\n"
        "asyncio.run(main())\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, script], check=False, env=environment, capture_output=True, text=True)
    assert 1 == done.returncode
    assert "processes for saving cannot be started: " in done.stderr.splitlines()[-1]
    assert done.stderr.endswith("begin what it does with: if __name__ == '__main__':\n")


async def _make(batch, client):
    service = batch.service
    prompts = [f"{number} paper boats" for number in range(batch.jobs)]
    place, journal = "s3://pictures/tour", batch.folder / "journal"
    async with open_session(api_key=service.key, base_url=service.url, savers=client, journal=journal) as session:
        return [outcome async for outcome in session.generate(prompts, save_to=place)]
