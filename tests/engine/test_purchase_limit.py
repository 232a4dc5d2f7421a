"""The budget: counted right before each POST, what may be charged as charged, over all runs of a folder."""

import asyncio
import contextlib
import sqlite3
from decimal import Decimal

import pytest

from cometflux import Job, Journal, flux, open_session
from cometflux.errors import ConfigError, InputError, LimitError, SessionStoppedError
from cometflux.events import Accepted, Ended
from cometflux.outcomes import OutcomeKind

DEV = "black-forest-labs/flux-dev"
PRICES = {"flux-schnell": 0.1, "flux-dev": {"per_image": 0.3}}


@pytest.fixture
def opened(service, tmp_path):
    def open_it(**options):
        options = {"journal": tmp_path, "prices": PRICES, **options}
        return open_session(api_key=service.key, base_url=service.url, **options)

    return open_it


async def outcomes_of(batch):
    return [outcome async for outcome in batch]


def charged(service):
    return sum(
        Decimal("0.1") if bill.model != DEV else Decimal("0.3") * bill.input.get("num_outputs", 1)
        for bill in service.bills
    )


@pytest.mark.slow
@pytest.mark.parametrize("is_journalled", [True, False])
@pytest.mark.parametrize(("budget", "bills"), [(0.3, 3), (0.39, 3), (1, 10), (Decimal("0.05"), 0)])
async def test_a_budget_stops_the_session_before_it_is_passed(budget, bills, is_journalled, service, opened):
    """Three times ten cents are thirty cents, and not a float above it."""
    service.fail("422", times=2)
    service.fail("429", times=2)
    options = {} if is_journalled else {"journal": None}
    async with opened(max_pending=5, max_cost=budget, **options) as session:
        with pytest.raises(SessionStoppedError) as raised:
            await outcomes_of(session.generate([str(n) for n in range(30)]))
    assert isinstance(raised.value.cause, LimitError)
    assert "estimate" in str(raised.value.cause)
    assert bills == len(service.bills)


async def test_a_budget_counts_what_earlier_runs_may_have_spent(service, opened):
    service.fail("drop", after=True)
    jobs = [*("one", "two"), flux.Dev(prompt="three", num_outputs=2), *("four", "five")]
    for budget, spent in ((0.2, "0.2"), (0.79, "0.2"), (0.8, "0.8"), (0.9, "0.9")):
        async with opened(max_pending=1, max_cost=budget) as session:
            with pytest.raises(SessionStoppedError):
                await outcomes_of(session.generate(jobs))
        assert Decimal(spent) == charged(service)


async def test_predictions_and_cost_are_limited_together(service, opened):
    for limits in ({"max_predictions": 2, "max_cost": 9}, {"max_predictions": 9, "max_cost": 0.2}):
        async with opened(**limits) as session:
            with pytest.raises(SessionStoppedError):
                await outcomes_of(session.generate(["one", "two", "three"]))
        assert 2 == len(service.bills)


async def test_with_a_budget_a_model_without_a_price_is_not_submitted(service, opened):
    jobs = ["one", flux.Pro11(prompt="two"), "three"]
    async with opened(max_cost=5) as session:
        outcomes = await outcomes_of(session.generate(jobs))
    assert ["succeeded", "not_sent", "succeeded"] == [each.kind for each in sorted(outcomes, key=lambda o: o.index)]
    (refused,) = [each.error for each in outcomes if not each.ok]
    assert (InputError, "model") == (type(refused), refused.field)
    assert 2 == len(service.bills)


async def test_a_budget_needs_the_price_of_what_the_journal_has(service, opened):
    async with opened() as session:
        await session.run("one")
    with pytest.raises(ConfigError, match="flux-schnell"):
        async with opened(prices={"flux-dev": 1}, max_cost=5):
            raise AssertionError("it was opened")
    async with opened():
        """The journal is free again."""


async def test_a_damaged_row_is_no_reason_to_refuse_a_journal_without_a_budget(service, opened, tmp_path):
    async with opened() as session:
        await session.run("one")
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as database, database:
        database.execute("UPDATE jobs SET plan = 'not JSON'")
    async with opened():
        """Its row is reported when it is read."""
    with pytest.raises(ConfigError, match="no price"):
        async with opened(max_cost=5):
            raise AssertionError("it was opened")


async def test_a_job_that_waits_for_the_budget_is_sent_if_another_was_refused(service, opened):
    service.fail("422")
    async with opened(max_cost=0.1) as session:
        outcomes = await asyncio.gather(*(session.run(str(n)) for n in range(2)), return_exceptions=True)
    assert 1 == len(service.bills) == sum(not isinstance(each, Exception) for each in outcomes)


@pytest.mark.parametrize(
    "option",
    [
        *({"max_cost": value} for value in (0, -1, float("nan"), "5", True)),
        *({"prices": value} for value in ({"flux-dev": -1}, {"flux-dev": "0.04"}, {"flux-deev": 1}, [], 3)),
    ],
    ids=str,
)
async def test_a_wrong_budget_or_price_is_refused(option, opened):
    with pytest.raises(ConfigError, match=next(iter(option))):
        opened(**option)


async def test_outcomes_and_events_show_the_estimate_and_its_basis(service, opened):
    seen = []
    service.fail("failed-transient")
    async with opened(on_event=seen.append, retry_failed=1, max_pending=1) as session:
        outcomes = await outcomes_of(session.generate(["one", flux.Dev(prompt="two", num_outputs=3)]))
    assert [(Decimal("0.20"), "given"), (Decimal("0.90"), "given")] == [
        (outcome.estimated_cost, outcome.cost_basis) for outcome in outcomes
    ]
    assert [Decimal("0.10"), Decimal("0.10"), Decimal("0.90")] == [
        e.estimated_cost for e in seen if type(e) is Accepted
    ]
    assert [Decimal("0.20"), Decimal("0.90")] == [event.estimated_cost for event in seen if type(event) is Ended]


async def test_a_job_that_was_not_sent_costs_nothing_and_one_without_a_price_has_no_estimate(service, opened):
    service.fail("422")
    async with opened(max_pending=1, journal=None) as session:
        outcomes = await outcomes_of(session.generate(["one", flux.Pro11(prompt="two"), Job.of("three", key="x")]))
    assert [OutcomeKind.REJECTED, OutcomeKind.SUCCEEDED, OutcomeKind.SUCCEEDED] == [each.kind for each in outcomes]
    assert [0, None, Decimal("0.10")] == [each.estimated_cost for each in outcomes]


async def test_an_outcome_of_an_earlier_run_has_its_estimate(service, opened, tmp_path):
    for _ in range(2):
        async with opened() as session:
            (outcome,) = await outcomes_of(session.generate(["one"], save_to=tmp_path))
        assert Decimal("0.10") == outcome.estimated_cost
    assert outcome.resumed


# ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────────────


def estimates(folder):
    """Return what the journal says that the predictions of each job cost, in cents."""
    with Journal(folder) as journal:
        return {
            record.input["prompt"]: [each and (each.micros // 10_000, each.basis) for each in record.estimates]
            for record in journal.records()
        }


async def test_the_journal_keeps_the_estimate_of_each_prediction_that_may_be_charged(service, opened, tmp_path):
    service.fail("422", prompt="refused")
    service.fail("drop", after=True, prompt="lost")
    service.fail("failed-transient", prompt="again")
    jobs = ["one", "refused", "lost", "again", flux.Dev(prompt="two", num_outputs=2), flux.Pro11(prompt="no price")]
    async with opened(retry_failed=1) as session:
        await outcomes_of(session.generate(jobs))
    schnell, two = (10, "given"), (60, "given")
    assert {
        "one": [schnell],
        "refused": [],
        "lost": [schnell],
        "again": [schnell, schnell],
        "two": [two],
        "no price": [None],
    } == estimates(tmp_path)


async def test_an_estimate_stays_that_of_the_submission_when_prices_change(service, opened, tmp_path):
    service.fail("drop", after=True)
    async with opened() as session:
        await outcomes_of(session.generate(["one"]))
    async with opened(prices={"flux-schnell": 0.2}, on_unknown="resend", max_resends=1) as session:
        await outcomes_of(session.generate(["one"]))
    assert {"one": [(10, "given"), (20, "given")]} == estimates(tmp_path)


async def test_without_prices_the_journal_has_no_word_of_them(service, opened, tmp_path):
    async with opened(prices=None) as session:
        await outcomes_of(session.generate(["one"]))
    assert {"one": [None]} == estimates(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as database:
        assert "estimate" not in str(database.execute("SELECT * FROM jobs").fetchall())
