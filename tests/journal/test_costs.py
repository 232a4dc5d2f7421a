"""What jobs cost, as the journal has it: the estimate and the charge are told apart."""

import contextlib
import json
import sqlite3
import tempfile
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux import Journal
from cometflux.errors import JournalError
from cometflux.journal.attempts import Charge, Estimate
from cometflux.journal.costs import CostSum, describe_costs
from cometflux.journal.record import JobRecord
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status

NEW = JobRecord(identity="key:a", index=0, key="a", model="o/m", input={}, fingerprint="f")
GIVEN, CATALOGUE = Estimate(micros=40_000, basis="given"), Estimate(micros=3_500, basis="catalogue as given")
FAILED = Prediction(id="p1", status=Status.FAILED, error="Prediction interrupted; please retry")
ESTIMATES = st.sampled_from([None, GIVEN, CATALOGUE])
CHARGES = st.builds(Charge, prediction_id=st.sampled_from(["p1", "p2"]), quota=st.integers(0, 10**9))
WAYS = {
    "planned": lambda record: record,
    "sending": lambda record: record,
    "accepted": lambda record: record.accepted(Prediction(id="p1", status=Status.STARTING), 2.0),
    **{
        kind.value: lambda record, kind=kind: record.ended(kind, FAILED, None)
        for kind in OutcomeKind
        if kind is not OutcomeKind.DETACHED
    },
}


@st.composite
def records_of_any_kind(draw):
    record = NEW
    for way in draw(st.lists(st.sampled_from(sorted(WAYS)), max_size=3)):
        record = WAYS[way](record if way == "planned" else record.sending(1.0, "b", 1, draw(ESTIMATES)))
    return record.charged(draw(st.lists(CHARGES, max_size=2))) if record.bought else record


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


@pytest.mark.slow
@given(st.lists(records_of_any_kind(), max_size=6))
def test_a_journal_adds_up_what_its_records_say(records):
    costs = CostSum()
    named = [attrs.evolve(record, identity=f"key:{number}") for number, record in enumerate(records)]
    for record in named:
        costs.add(record)
    with tempfile.TemporaryDirectory() as folder:
        writer = JournalWriter(Path(folder))
        writer.open()
        writer.commit(named)
        writer.close()
        with Journal(folder) as journal:
            assert costs == journal.costs()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("estimate.basis", 1.5),
        ("estimate.micros", 1.5),
        ("estimate.micros", "x"),
        ("charges[0].quota", 1.5),
        ("charges[0].refunded", "x"),
    ],
)
def test_an_amount_that_something_else_has_changed_makes_the_journal_damaged(path, value, tmp_path):
    charge = Charge(prediction_id="p1", quota=16_000, refunded=8_000)
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        writer.commit([accepted(GIVEN).charged([charge])])
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as database, database:
        database.execute("UPDATE jobs SET progress = json_set(progress, ?, ?)", (f"$.{path}", value))
    with Journal(tmp_path) as journal, pytest.raises(JournalError, match=r"an? \w+ is not what was written"):
        journal.costs()
