"""What jobs cost, as the journal has it: the estimate and the charge are told apart."""

import json

import pytest

from cometflux.journal.attempts import Charge, Estimate
from cometflux.journal.costs import CostSum, describe_costs
from cometflux.journal.record import JobRecord
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status

NEW = JobRecord(identity="key:a", index=0, key="a", model="o/m", input={}, fingerprint="f")
GIVEN, CATALOGUE = Estimate(micros=40_000, basis="given"), Estimate(micros=3_500, basis="catalogue as given")
FAILED = Prediction(id="p1", status=Status.FAILED, error="Prediction interrupted; please retry")


def accepted(estimate, number=1):
    return NEW.sending(1.0, "b", 1, estimate).accepted(Prediction(id=f"p{number}", status=Status.STARTING), 2.0)


def bought_twice(first, second):
    failed = accepted(first).ended(OutcomeKind.FAILED, FAILED, None)
    return failed.sending(3.0, "b", 1, second).accepted(Prediction(id="p2", status=Status.STARTING), 4.0)


@pytest.mark.parametrize(
    ("record", "cost", "basis"),
    [
        (NEW, None, None),
        (accepted(GIVEN), "0.04", "given"),
        (accepted(None), None, None),
        (accepted(GIVEN).reset(), None, None),
        (bought_twice(GIVEN, GIVEN), "0.08", "given"),
        (bought_twice(GIVEN, CATALOGUE), "0.0435", "given, catalogue as given"),
        (bought_twice(GIVEN, None), None, None),
    ],
    ids=["new", "bought", "no price", "reset", "bought twice", "at two prices", "once without a price"],
)
def test_the_estimate_of_a_job_is_that_of_all_its_predictions(record, cost, basis):
    told = describe_costs(record)
    assert (cost, basis, None, None) == (*(told[name] for name in ("estimated_cost", "cost_basis")), *charge_of(told))


def charge_of(told):
    return told["charged"], told["refunded"]


def test_what_the_account_showed_stands_beside_it():
    charges = [Charge(prediction_id="p1", quota=16_000, refunded=16_000), Charge(prediction_id="p2", quota=16_000)]
    told = describe_costs(bought_twice(GIVEN, GIVEN).charged(charges))
    assert {"estimated_cost": "0.08", "cost_basis": "given", "charged": "0.064", "refunded": "0.032"} == told
    json.dumps(told, allow_nan=False)


def test_costs_of_several_jobs_are_added():
    costs = CostSum()
    for record in (NEW, accepted(GIVEN), bought_twice(CATALOGUE, GIVEN), accepted(None)):
        costs.add(record.charged([Charge(prediction_id="p1", quota=16_000)]) if record.prediction_id else record)
    assert (83_500, {"given": 2, "catalogue as given": 1}, 1) == (costs.estimated, costs.bases, costs.without_price)
    assert (96_000, 0, 3) == (costs.charged, costs.refunded, costs.charges)
