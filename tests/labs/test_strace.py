"""Kill a batch at a given system call: at each of its first syncs and links, and at writes and removals.

Nothing is random: the calls are counted, and the last one does not happen. After each kill, the money and the files are
checked, and the batch is resumed to its end.
"""

import signal

import pytest
import traced_batch
from bill_checks import KilledBatch, no_kill
from strace import traced

JOBS = 48

# The last call: its names, its numbers, and the numbers that are part of an ordinary run.
DEATHS = {
    # SQLite's; a system that only has fsync is covered by the next.
    "journal-sync": ("fdatasync", range(1, 41), {2, 9}),
    "file-sync": ("fsync", range(1, 41), {4}),
    "link": ("?link,?linkat,?rename,?renameat,?renameat2", range(1, 41), {1, 3}),
    # A linked file has two names until one is removed.
    "removal": ("?unlink,?unlinkat", range(2, 41, 9), ()),
    # A commit is several.
    "journal-write": ("pwrite64", range(7, 240, 21), ()),
}


@pytest.mark.parametrize(
    ("calls", "number"),
    [
        pytest.param(calls, number, id=f"{name}-{number}", marks=() if number in ordinary else pytest.mark.hard)
        for name, (calls, numbers, ordinary) in DEATHS.items()
        for number in numbers
    ],
)
def test_a_batch_killed_at_a_given_system_call_pays_nothing_twice_and_loses_nothing(calls, number, tmp_path):
    with KilledBatch(tmp_path / "batch", jobs=JOBS, faults=(), latency=0.02) as batch:
        code, out, err = batch.run(no_kill(), traced_batch.__file__, traced((calls, f"signal=KILL:when={number}")))
        assert (-signal.SIGKILL, "", "") == (code, out, err), "the batch was over before its time"
        batch.check_money()
        batch.check_files()

        batch.finish()
