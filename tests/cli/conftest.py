"""What the tests of the command share: a folder to work in, and a service that the environment leads to."""

import contextlib

import command_process
import pytest

from cometflux import PollPolicy
from cometflux.testing import LocalService


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in, in a terminal of 100 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("COMETAPI_API_KEY", raising=False)
    # Where nobody listens, should a test forget its service.
    monkeypatch.setenv("COMETFLUX_BASE_URL", "http://127.0.0.1:9/replicate/v1")
    return tmp_path


@pytest.fixture
def serving(folder, monkeypatch, polling_at_once):
    """Start services that the command finds: ``with serving(latency=0.2) as service``."""

    @contextlib.contextmanager
    def start(**options):
        with LocalService.in_thread(**options) as service:
            monkeypatch.setenv("COMETFLUX_BASE_URL", service.url)
            monkeypatch.setenv("COMETAPI_KEY", service.key)
            yield service

    return start


@pytest.fixture
def polling_at_once(monkeypatch):
    """So that no test waits for its turn to poll."""
    for name in ("floor", "ceiling"):
        monkeypatch.setitem(PollPolicy.__init__.__kwdefaults__, name, 0.02)


@pytest.fixture
def service(serving):
    """A service whose predictions take no time."""
    with serving(latency=0.0, pixels=1024) as service:
        yield service


@pytest.fixture
def slow(serving):
    """A service whose predictions take long enough to be interrupted."""
    with serving(latency=0.2, pixels=1024) as service:
        yield service


@pytest.fixture(autouse=True)
def _nothing_left_running():
    yield
    command_process.kill_all()
