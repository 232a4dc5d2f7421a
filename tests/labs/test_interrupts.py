"""A program gets Ctrl-C twice, the second time at a random line of the loop's code: it ends in time and loses nothing.

The seed is printed. Most of the lines belong to the closing session. A lost step of the loop shows as a program that
does not end, or as a submission whose response was lost.
"""

import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import interrupted_process
import pytest

from cometflux import Journal
from cometflux.testing import LocalService

RUNS = 40
AT_A_TIME = 2
GRACE = 5.0
START = 10.0
"""Seconds that Python may take to start and to end on a busy machine."""


@pytest.mark.hard
@pytest.mark.parametrize("seed", [1, 2])
def test_a_program_that_is_interrupted_twice_ends_in_time_and_loses_nothing(tmp_path, seed):
    chance = random.Random(seed)
    print(f"seed {seed}")
    moments = [(chance.uniform(0.3, 2.5), int(20 * 3000 ** chance.random())) for _ in range(RUNS)]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        runs = [pool.submit(run, tmp_path / str(number), *moment) for number, moment in enumerate(moments)]
    codes = [each.result() for each in runs]
    # A few programs end before the second moment comes, and by the first interrupt all the same.
    assert {-signal.SIGINT} == set(codes)


def run(folder, seconds, lines):
    """Run a program that is interrupted, check its time and its money, and return its exit code."""
    folder.mkdir()
    with LocalService.in_thread(pixels=1024, latency=1.0) as service:
        values = (service.url, service.key, folder, GRACE, seconds, lines)
        command = [sys.executable, interrupted_process.__file__, *map(str, values)]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, timeout=START + GRACE + 60, check=False)
        took = time.monotonic() - began
        bills = {bill.id for bill in service.bills}
    assert took < START + seconds + GRACE, (seconds, lines, took, done.stderr)
    with Journal(folder) as journal:
        records = list(journal.records())
    known = {record.prediction_id for record in records} - {None}
    unknown = [record.key for record in records if record.state_name in ("unknown", "sending")]
    assert (bills, []) == (known, unknown), (seconds, lines, done.stderr)
    return done.returncode
