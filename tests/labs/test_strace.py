"""A batch that dies at a certain system call: at each sync and each link of its first ones, and at writes and removals.

Chance has no part in it: the call that is the last one is counted, and it does not happen. Behind each such death the
money and the files are looked at, and the batch goes on to its end.
"""

import signal

import pytest
import traced_batch
from bill_checks import Shop, no_strike
from strace import traced

JOBS = 48

# What the last call is: how it is spelt, which ones of it, and which of those belong to the ordinary run.
DEATHS = {
    # SQLite's; one that knows no other than fsync is covered by the next.
    "journal-sync": ("fdatasync", range(1, 41), {2, 9}),
    "file-sync": ("fsync", range(1, 41), {4}),
    "link": ("?link,?linkat,?rename,?renameat,?renameat2", range(1, 41), {1, 3}),
    # What was linked has two names until one is removed.
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
def test_a_batch_that_dies_at_a_certain_system_call_buys_nothing_twice_and_loses_nothing(calls, number, tmp_path):
    with Shop(tmp_path / "batch", jobs=JOBS, faults=(), latency=0.02) as shop:
        code, out, err = shop.run(no_strike(), traced_batch.__file__, traced((calls, f"signal=KILL:when={number}")))
        assert (-signal.SIGKILL, "", "") == (code, out, err), "the batch was over before its time"
        shop.check_money()
        shop.check_files()

        outcomes = shop.run_to_the_end()
        shop.check_money()
        shop.check_files()
        shop.check_end(outcomes)
