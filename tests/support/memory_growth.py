"""By how much this process grows, whatever the tests before took. Only Linux tells; elsewhere nothing is checked."""

import contextlib
import ctypes
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@contextlib.contextmanager
def at_most(most):
    """Fail if, at any time in the block, the process has *most* bytes more than before."""
    if not _RESET.exists():
        yield
        return
    # What was freed and kept would be taken again without a trace. Only glibc can give it back.
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    # From now on the peak is the highest since now.
    _RESET.write_text("5")
    before = _peak()
    yield
    grown = _peak() - before
    assert grown < most, f"the process grew by {grown} bytes"


def _peak():
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
