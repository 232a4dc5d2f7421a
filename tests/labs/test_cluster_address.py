"""An address at which no scheduler is: one sentence, soon, before anything is submitted."""

import os
import socket
import time
from pathlib import Path

import pytest
from cluster_batch import ClusterBatch

pytest.importorskip("distributed")
pytestmark = [pytest.mark.realtime, pytest.mark.hard]


@pytest.fixture
def silent_port():
    """A port that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "tcp://no-such-host.invalid:8786", "silent"])
def test_an_address_without_a_scheduler_is_one_sentence_within_fifteen_seconds(tmp_path, address, silent_port):
    address = f"tcp://127.0.0.1:{silent_port}" if address == "silent" else address
    with ClusterBatch(tmp_path, 5, workers=0) as batch:
        began = time.monotonic()
        driver = batch.start(saving=("--cluster", address))
        # It stays as a zombie, of which can be read how long it had to wait for a core: other tests run, too.
        os.waitid(os.P_PID, driver.pid, os.WEXITED | os.WNOWAIT)
        waited = int(Path(f"/proc/{driver.pid}/schedstat").read_text().split()[1]) / 1e9
        took = time.monotonic() - began - waited
        assert 3 == batch.wait(), batch.said
        reason = f"no Dask scheduler answers at {address}"
        [line] = batch.said.splitlines()
        assert line.startswith(f"error: {reason}")
        assert [] == batch.service.bills
        print(f"{took:.1f} s, and {waited:.1f} s of waiting for a core")
        assert took <= 15.0
