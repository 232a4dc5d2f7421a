"""Run one job with every fault of the local service: check its outcome, and that it is never billed twice."""

import pytest

from cometflux import open_session
from cometflux.errors import PatienceError
from cometflux.outcomes import OutcomeKind
from cometflux.testing.faults import FAULTS

pytestmark = pytest.mark.slow

SUCCEEDED = OutcomeKind.SUCCEEDED

# The outcome of the job if the fault is before the submission is accepted, and if it is after.
CREATE = {
    "401": (OutcomeKind.REJECTED, OutcomeKind.REJECTED),
    "402": (OutcomeKind.REJECTED, OutcomeKind.REJECTED),
    "403": (OutcomeKind.REJECTED, OutcomeKind.REJECTED),
    "404": (OutcomeKind.REJECTED, OutcomeKind.REJECTED),
    "413": (OutcomeKind.REJECTED, OutcomeKind.REJECTED),
    "422": (OutcomeKind.REJECTED, OutcomeKind.REJECTED),
    "429": (SUCCEEDED, None),
    "429-date": (SUCCEEDED, None),
    "429-body": (SUCCEEDED, None),
    "429-silent": (SUCCEEDED, None),
    "invalid-request": (OutcomeKind.REJECTED, OutcomeKind.REJECTED),
    "no-model": (OutcomeKind.REJECTED, OutcomeKind.REJECTED),
    "500": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "502": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "503": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "504": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "524": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "drop": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "reset": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "hang": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "torn-head": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "torn": (OutcomeKind.UNKNOWN, SUCCEEDED),
    "torn-early": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "stalled": (OutcomeKind.UNKNOWN, SUCCEEDED),
    "garbage": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "html": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "list": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "no-id": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "redirect": (OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN),
    "id-in-data": (OutcomeKind.UNKNOWN, SUCCEEDED),
    "id-in-task": (OutcomeKind.UNKNOWN, SUCCEEDED),
}
PREDICTION = {
    "failed": OutcomeKind.FAILED,
    "failed-transient": OutcomeKind.FAILED,
    "canceled": OutcomeKind.CANCELED,
    "aborted": OutcomeKind.CANCELED,
    "expired": OutcomeKind.EXPIRED,
    "missing-image": OutcomeKind.FAILED,
    "odd-status": SUCCEEDED,
    "early-output": SUCCEEDED,
    "data-uri": SUCCEEDED,
    "wrapped": SUCCEEDED,
    "stale-inner": SUCCEEDED,
    "endless": SUCCEEDED,
    "no-status": SUCCEEDED,
    "error-only": OutcomeKind.FAILED,
    "no-output": SUCCEEDED,
    "nested-output": SUCCEEDED,
    "blank-in-url": SUCCEEDED,
}
UNSAVED = {"404", "output-404", "no-output"}
"""Faults after which there is no output to save."""


def takes(place):
    return [name for name, fault in FAULTS.items() if place == fault.on or place in fault.also]


async def end_of(service, tmp_path):
    async with open_session(api_key=service.key, base_url=service.url) as session:
        batch = session.generate(["x"], save_to=tmp_path)
        outcome = await anext(batch)
    assert outcome.kind is SUCCEEDED or outcome.error is not None
    return outcome


@pytest.mark.parametrize("fault", takes("create"))
async def test_a_fault_before_a_submission_is_accepted(service, tmp_path, fault):
    service.fail(fault, on="create")
    outcome = await end_of(service, tmp_path)
    assert CREATE[fault][0] is outcome.kind
    assert (1 if outcome.ok else 0) == len(service.bills)


@pytest.mark.parametrize("fault", [name for name in takes("create") if CREATE[name][1]])
async def test_a_fault_after_a_submission_is_accepted(service, tmp_path, fault):
    """A refusal after acceptance is false. It may cost this job, but not a second bill."""
    service.fail(fault, on="create", after=True)
    outcome = await end_of(service, tmp_path)
    assert CREATE[fault][1] is outcome.kind
    assert 1 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize("fault", takes("get"))
async def test_a_fault_of_a_poll(service, tmp_path, fault):
    service.fail(fault, on="get", times=2)
    outcome = await end_of(service, tmp_path)
    assert outcome.ok
    assert 1 == len(service.bills)


@pytest.mark.parametrize("fault", takes("prediction"))
async def test_a_fault_of_a_prediction(service, tmp_path, fault):
    service.fail(fault)
    outcome = await end_of(service, tmp_path)
    assert PREDICTION[fault] is outcome.kind
    assert (outcome.kind is SUCCEEDED and fault not in UNSAVED) is outcome.ok
    assert outcome.error is None or not isinstance(outcome.error, PatienceError)
    assert 1 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize("fault", takes("output"))
async def test_a_fault_of_an_output(service, tmp_path, fault):
    service.fail(fault, on="output")
    outcome = await end_of(service, tmp_path)
    assert SUCCEEDED is outcome.kind
    assert (fault not in UNSAVED) is outcome.ok
    assert 1 == len(service.bills)
    assert [] == service.leaks


def test_every_fault_is_in_a_table():
    assert set(takes("create")) == set(CREATE)
    assert set(takes("prediction")) == set(PREDICTION)
