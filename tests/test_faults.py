"""Every fault of the local service against one job: how it ends, and that it is never billed twice."""

import pytest

from cometflux import open_session
from cometflux.jobs import Kind
from cometflux.testing.faults import FAULTS

SUCCEEDED = Kind.SUCCEEDED

# What becomes of the job: where the fault comes before the submission is accepted, and where it comes after.
CREATE = {
    "401": (Kind.REJECTED, Kind.REJECTED),
    "402": (Kind.REJECTED, Kind.REJECTED),
    "403": (Kind.REJECTED, Kind.REJECTED),
    "404": (Kind.REJECTED, Kind.REJECTED),
    "413": (Kind.REJECTED, Kind.REJECTED),
    "422": (Kind.REJECTED, Kind.REJECTED),
    "429": (SUCCEEDED, None),
    "429-date": (SUCCEEDED, None),
    "429-body": (SUCCEEDED, None),
    "429-silent": (SUCCEEDED, None),
    "invalid-request": (Kind.REJECTED, Kind.REJECTED),
    "no-model": (Kind.REJECTED, Kind.REJECTED),
    "500": (Kind.UNKNOWN, Kind.UNKNOWN),
    "502": (Kind.UNKNOWN, Kind.UNKNOWN),
    "503": (Kind.UNKNOWN, Kind.UNKNOWN),
    "504": (Kind.UNKNOWN, Kind.UNKNOWN),
    "524": (Kind.UNKNOWN, Kind.UNKNOWN),
    "drop": (Kind.UNKNOWN, Kind.UNKNOWN),
    "reset": (Kind.UNKNOWN, Kind.UNKNOWN),
    "hang": (Kind.UNKNOWN, Kind.UNKNOWN),
    "torn-head": (Kind.UNKNOWN, Kind.UNKNOWN),
    "torn": (Kind.UNKNOWN, SUCCEEDED),
    "torn-early": (Kind.UNKNOWN, Kind.UNKNOWN),
    "stalled": (Kind.UNKNOWN, SUCCEEDED),
    "garbage": (Kind.UNKNOWN, Kind.UNKNOWN),
    "html": (Kind.UNKNOWN, Kind.UNKNOWN),
    "list": (Kind.UNKNOWN, Kind.UNKNOWN),
    "no-id": (Kind.UNKNOWN, Kind.UNKNOWN),
    "redirect": (Kind.REJECTED, Kind.REJECTED),
}
PREDICTION = {
    "failed": Kind.FAILED,
    "failed-transient": Kind.FAILED,
    "canceled": Kind.CANCELED,
    "aborted": Kind.CANCELED,
    "expired": Kind.EXPIRED,
    "missing-image": Kind.FAILED,
    "odd-status": SUCCEEDED,
    "early-output": SUCCEEDED,
    "data-uri": SUCCEEDED,
    "wrapped": SUCCEEDED,
}
UNSAVED = {"404", "output-404"}
"""Faults of an output that do not pass."""


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
    """The refusals among them are lies that no service tells; a lie may cost this job, but no second bill."""
    service.fail(fault, on="create", after=True)
    outcome = await end_of(service, tmp_path)
    assert CREATE[fault][1] is outcome.kind
    assert 1 == len(service.bills)


@pytest.mark.parametrize("fault", takes("get"))
async def test_a_fault_of_a_question(service, tmp_path, fault):
    service.fail(fault, on="get", times=2)
    outcome = await end_of(service, tmp_path)
    assert outcome.ok
    assert 1 == len(service.bills)


@pytest.mark.parametrize("fault", takes("prediction"))
async def test_a_way_for_a_prediction_to_go(service, tmp_path, fault):
    service.fail(fault)
    outcome = await end_of(service, tmp_path)
    assert PREDICTION[fault] is outcome.kind
    assert (outcome.kind is SUCCEEDED) is outcome.ok
    assert 1 == len(service.bills)


@pytest.mark.parametrize("fault", takes("output"))
async def test_a_fault_of_an_output(service, tmp_path, fault):
    service.fail(fault, on="output")
    outcome = await end_of(service, tmp_path)
    assert SUCCEEDED is outcome.kind
    assert (fault not in UNSAVED) is outcome.ok
    assert 1 == len(service.bills)
    assert [] == service.leaks


def test_every_fault_stands_in_a_table():
    assert set(takes("create")) == set(CREATE)
    assert set(takes("prediction")) == set(PREDICTION)
