"""Kill the process of a batch again and again, with a faulty service: check the bills, the journal and the files.

The moments are random. The seed, and the bill and the delay after which each process ended, are printed.
"""

import signal

import batch_process
import pytest
from bill_checks import KilledBatch, is_unknown

JOBS = 400
KILLS = 12
FEW_JOBS, FEW_KILLS = 150, 5
STOPS = 4
MANY_JOBS = 2500
MANY_KILLS = 40


@pytest.fixture
def batch(tmp_path, seed, jobs):
    with KilledBatch(tmp_path, jobs=jobs, seed=seed) as batch:
        yield batch


@pytest.mark.parametrize(
    ("seed", "jobs", "kills"),
    [(1, FEW_JOBS, FEW_KILLS), *(pytest.param(seed, JOBS, KILLS, marks=pytest.mark.hard) for seed in range(1, 6))],
)
def test_a_batch_that_is_killed_again_and_again_pays_nothing_twice_and_loses_nothing(batch, kills):
    outcomes = kill_again_and_again(batch, kills)

    bills, posts = len(batch.service.bills), batch.posts()
    again = batch.run_to_the_end()
    assert (bills, posts) == (len(batch.service.bills), batch.posts())
    assert [{**outcome, "resumed": True} for outcome in outcomes] == again


@pytest.mark.hard
def test_a_long_batch_that_is_killed_forty_times_pays_nothing_twice_and_loses_nothing(tmp_path):
    with KilledBatch(tmp_path, jobs=MANY_JOBS, seed=1) as batch:
        kill_again_and_again(batch, MANY_KILLS)
        print(f"{MANY_KILLS} kills, {len(batch.service.bills)} bills")


def kill_again_and_again(batch, kills):
    """Run the batch despite *kills*, and check money and files after each; return the outcomes printed at the end."""
    cut_off = set()
    for more in reversed(range(kills)):
        code, _ = batch.run_until_struck(signal.SIGKILL, more)
        assert -signal.SIGKILL == code
        batch.check_money()
        batch.check_files()
        cut_off |= {prompt for prompt, record in batch.records().items() if record.state_name == "sending"}
    assert cut_off, "no submission was cut off"

    return batch.finish()


@pytest.mark.parametrize(
    ("seed", "jobs"), [(1, FEW_JOBS), *(pytest.param(seed, JOBS, marks=pytest.mark.hard) for seed in range(1, 5))]
)
def test_a_batch_that_is_stopped_again_and_again_leaves_no_submission_unknown(batch):
    for more in reversed(range(STOPS)):
        assert (batch_process.CLOSED, "") == batch.run_until_struck(signal.SIGTERM, more)
        batch.check_money()
        batch.check_files()
        records = batch.records().values()
        assert [] == [record for record in records if is_unknown(record) and not shows_a_fault(record)]

    batch.finish()


def shows_a_fault(record):
    """Whether the service, not the kill, made a submission unknown."""
    known = record.evidence
    return known is not None and (known.status is not None or known.fault is not None)
