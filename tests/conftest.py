"""What every test runs on: a virtual clock, a loop without loose ends, and the local service."""

import asyncio
import gc
import os
import shutil
import signal
import sys
from pathlib import Path

import code_names
import hypothesis
import known_options
import posix_calls
import pytest
from pytest_asyncio import is_async_test
from virtual_clock import VirtualClockLoop

pytest_plugins = ["own_processes", "pytester"]
# What tests share asserts, too.
pytest.register_assert_rewrite("bill_checks", "cluster_batch", "command_line", "gallery_sight")

ROOT = Path(__file__).parents[1]

hypothesis.configuration.set_hypothesis_home_dir(ROOT / ".hypothesis")
# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile("local", deadline=None)
# A fresh checkout has no examples to remember; what fails there is printed so that it can be run again elsewhere.
hypothesis.settings.register_profile("ci", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# A shell starts what runs in its background with SIGINT ignored, and each program that a test starts would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The tests sync thousands of files, and a disk takes milliseconds for each. Where there is room, they write to memory:
# no test simulates a power failure. Who sets PYTEST_DEBUG_TEMPROOT chooses another place.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 * 1024**3:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_xdist_auto_num_workers():
    # A test of processes or of the real clock waits for a good part of its time.
    return max((os.cpu_count() or 1) * 3 // 2, 1)


def pytest_asyncio_loop_factories(config, item):
    if item.get_closest_marker("realtime"):
        return {"real": asyncio.new_event_loop}
    return {"virtual": VirtualClockLoop}


def pytest_collection_modifyitems(items):
    if sys.platform != "win32":
        return
    for item in items:
        is_marked = item.get_closest_marker("posix")
        name = "its marker" if is_marked else posix_calls.first_in(*code_names.values_of(item))
        if name is not None:
            item.add_marker(pytest.mark.skip(reason=f"needs a system of POSIX: {name}"))


def pytest_collection_finish():
    # What importing has made is there to stay: the collection after each test need not look at it again.
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _known_options():
    known_options.remember()


@pytest.fixture(scope="session", autouse=True)
def working_folder(tmp_path_factory):
    """An empty folder to work in. No test reads or changes what somebody has left in the checkout."""
    # Elsewhere somebody may work in the checkout at the same time.
    before = _names_in(ROOT) if os.environ.get("CI") else None
    folder = tmp_path_factory.mktemp("working-folder")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder
    if before is not None:
        assert [] == sorted(_names_in(ROOT) - before), "the tests have left these in the checkout"


@pytest.fixture(autouse=True)
def _no_trace(working_folder):
    yield
    left = sorted(_names_in(working_folder))
    for name in left:
        shutil.rmtree(working_folder / name, ignore_errors=True)
        (working_folder / name).unlink(missing_ok=True)
    assert [] == left, "the test has left these in the working folder"


def _names_in(folder):
    # Tools keep their caches there.
    return {path.name for path in folder.iterdir() if not path.name.startswith((".", "__"))}


@pytest.fixture(scope="session", autouse=True)
def _nobodys_configuration(tmp_path_factory):
    """What the person who runs the tests has configured is none of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in [name for name in os.environ if name.startswith("COMETFLUX_")]:
            patch.delenv(name)
        yield


# Being automatic, this is set up before every other fixture of a test and torn down after them, when all that was
# opened has been closed.
@pytest.fixture(autouse=True)
def _no_loose_ends(request):
    if is_async_test(request.node):
        request.getfixturevalue("loop_complaints")


@pytest.fixture
async def loop_complaints():
    """What the loop had to complain of; a test that expects a complaint reads it here and clears the list."""
    complaints = []
    # What is there before the test is none of its business, and need not be looked through behind it.
    gc.freeze()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(_describe(context)))
    yield complaints
    if _other_tasks():
        # What has been cancelled, or waits for a socket to close, may come to its end.
        await asyncio.sleep(0.01)
    leaked = sorted(task.get_name() for task in _other_tasks())
    # A task complains of an error nobody asked for only when it is collected.
    gc.collect()
    assert [] == leaked, "these tasks are still running"
    assert [] == complaints, "the loop complains"


def _other_tasks():
    return asyncio.all_tasks() - {asyncio.current_task()}


def _describe(context):
    error = context.get("exception")
    return context["message"] if error is None else f"{context['message']}: {error!r}"


@pytest.fixture
async def service():
    """A local service on the test's own loop and clock; a picture takes one second."""
    from cometflux.testing import LocalService

    async with LocalService(pixels=4096, latency=1.0) as service:
        yield service


@pytest.fixture(scope="module")
def bucket_server():
    """An S3 server with one bucket."""
    from s3_server import Bucket

    with Bucket() as bucket:
        yield bucket


@pytest.fixture
def bucket(bucket_server, monkeypatch):
    """An empty bucket, to which the environment leads."""
    bucket_server.reset()
    for name, value in bucket_server.environment.items():
        monkeypatch.setenv(name, value)
    return bucket_server
