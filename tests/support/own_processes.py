"""Which tests start programs or servers of their own: they have the marker `processes`.

A test gets the marker if its code, as `code_names` finds it, names such a call. A test that starts one in another
way has the marker in its module. If it does not, it fails.
"""

import sys

import code_names
import pytest

_NAMES = {
    *("create_subprocess_exec", "create_subprocess_shell", "fork", "forkpty", "multiprocessing", "Popen"),
    *("posix_spawn", "ProcessPoolExecutor", "s3_server", "StdioServerParameters", "subprocess", "sync_playwright"),
    *("ThreadedMotoServer",),
}
_EVENTS = {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen"}
_EVENTS.add("s3_server.Bucket")
_NOT_COUNTED = {"openssl"}
"""Makes a certificate in some milliseconds."""

_search = code_names.Search(_NAMES)
_started = []


def _note(event, arguments):
    if event in _EVENTS and not (arguments and arguments[0] in _NOT_COUNTED):
        _started.append(event)


sys.addaudithook(_note)


def first_in(*values):
    """Return a name of a call that starts a program or a server, in code; None if there is none."""
    return _search.first_in(values)


def pytest_collection_modifyitems(items):
    for item in items:
        if first_in(*code_names.values_of(item)) is not None:
            item.add_marker("processes")


def pytest_collection_finish():
    _started.clear()


@pytest.fixture(autouse=True)
def _no_process_without_the_marker(request):
    yield
    started = _started[:]
    _started.clear()
    # The slow proofs have a target of their own.
    if not any(map(request.node.get_closest_marker, ("processes", "hard"))):
        assert [] == started, "the test starts a program or a server: mark it with @pytest.mark.processes"
