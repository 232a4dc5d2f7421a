"""What a batch really cost: the account's charges and refunds, in the journal and printed."""

import asyncio
import json
from pathlib import Path

import pytest
from command_line import run

from cometflux import Journal, flux, open_session
from cometflux.account.usage import dollars


@pytest.fixture
def account(service, monkeypatch):
    """The service of the environment, with an access token. Requests are repeated fast."""
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", service.access_token)
    monkeypatch.setattr("cometflux.account.lists._WAITS", (0.01,))
    return service


def batch(*prompts, code=0):
    Path("a.csv").write_text("\n".join(["prompt,key", *(f"{each},{each.split()[-1]}" for each in prompts)]))
    run("batch a.csv --max-pending 1", code)


def costs(capsys):
    capsys.readouterr()
    run("costs a-images --json")
    return json.loads(capsys.readouterr().out)


def charges():
    with Journal("a-images") as journal:
        return {each.prediction_id: each for record in journal.records() for each in record.charges}


def billed(service):
    return sum(bill.quota for bill in service.bills)


def test_the_charges_are_those_of_the_bills_and_are_kept_with_their_source_and_time(account, capsys):
    batch("a fox", "an owl")
    found = costs(capsys)
    total = billed(account)
    assert (2, total, 0, total, 0) == tuple(
        found[name] for name in ("predictions", "charged_quota", "refunded_quota", "net_quota", "without_charge")
    )
    assert (dollars(total), {"log": 2}, []) == (found["net"], found["sources"], found["failed_and_charged"])
    kept = charges()
    assert {bill.id: bill.quota for bill in account.bills} == {name: each.quota for name, each in kept.items()}
    assert all(each.source == "log" and each.at <= each.read + 1 for each in kept.values())


def test_failed_predictions_that_were_charged_are_listed_until_they_are_refunded(account, capsys):
    account.fail("failed", prompt="an owl")
    batch("a fox", "an owl", code=1)
    (failed,) = costs(capsys)["failed_and_charged"]
    owl = next(bill for bill in account.bills if bill.input["prompt"] == "an owl")
    assert ("owl", owl.id, "failed", owl.quota) == tuple(
        failed[name] for name in ("key", "prediction_id", "ended", "quota")
    )
    run("costs a-images")
    assert f"owl failed, and charged {dollars(owl.quota)} (id {owl.id})" in " ".join(capsys.readouterr().out.split())
    account.refunds = True
    found = costs(capsys)
    assert ([], owl.quota, billed(account) - owl.quota) == (
        found["failed_and_charged"],
        found["refunded_quota"],
        found["net_quota"],
    )
    assert owl.quota == charges()[owl.id].refunded


def test_costs_are_not_counted_twice_when_they_are_read_twice(account, capsys):
    batch("a fox")
    assert costs(capsys) == costs(capsys)
    assert billed(account) == costs(capsys)["net_quota"]


def test_other_predictions_of_the_account_cost_this_folder_nothing(account, capsys):
    batch("a fox")
    run('generate "a hen" --out elsewhere')
    assert (1, account.bills[0].quota) == (costs(capsys)["predictions"], costs(capsys)["charged_quota"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "place", "sources", "note"),
    [
        ("html", "log", {"task": 3}, "the log is not read"),
        ("404", "log", {"task": 3}, "the log is not read"),
        ("ids-cut", "log", {"task": 3}, None),
        ("rows-missing", "log", {"log": 1, "task": 2}, None),
        ("flat-rows", "log", {"log": 3}, None),
        ("503", "log", {"task": 3}, "the log is not read"),
    ],
)
def test_a_log_with_a_fault_is_completed_by_the_list_of_tasks(account, capsys, fault, place, sources, note):
    batch("a fox", "an owl", "a hen")
    account.fail(fault, on=place, rate=1.0)
    found = costs(capsys)
    assert (sources, billed(account)) == (found["sources"], found["net_quota"])
    assert note is None or any(note in each for each in found["notes"])


def test_what_the_log_said_stays_if_only_the_list_of_tasks_can_be_read_later(account, capsys):
    account.refunds = True
    account.fail("failed", prompt="an owl")
    batch("a fox", "an owl", code=1)
    before = costs(capsys)
    account.fail("404", on="log", rate=1.0)
    after = costs(capsys)
    assert before["refunded_quota"] > 0
    assert "the log is not read" in after.pop("notes")[0]
    assert before == {**after, "notes": []}


def test_a_charge_that_the_account_does_not_show_is_told(account, capsys):
    batch("a fox", "an owl", "a hen")
    for place in ("log", "tasks"):
        account.fail("rows-missing", on=place, rate=1.0)
    assert (1, 2) == (costs(capsys)["sources"]["log"], costs(capsys)["without_charge"])
    run("costs a-images")
    assert "without a charge in the account 2" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("fault", ["401", "html", "404"])
def test_an_account_that_cannot_be_read_is_one_error_and_changes_nothing(account, capsys, fault):
    batch("a fox")
    for place in ("log", "tasks"):
        account.fail(fault, on=place, rate=1.0)
    capsys.readouterr()
    run("costs a-images", 3 if fault == "401" else 1)
    out, err = capsys.readouterr()
    assert ("", 1) == (out, len(err.splitlines()))
    assert account.access_token not in err
    assert {} == charges()


def test_unknown_jobs_are_told_with_the_command_that_settles_them(account, capsys):
    account.fail("drop", after=True)
    batch("a fox", "an owl", code=5)
    capsys.readouterr()
    run("costs a-images")
    assert "  cometflux unknown a-images --settle" == capsys.readouterr().err.splitlines()[-1]
    assert 1 == costs(capsys)["unknown"]
    run("unknown a-images --settle")
    run("resume a-images")
    found = costs(capsys)
    assert (0, billed(account)) == (found["unknown"], found["net_quota"])


def test_a_folder_without_predictions_costs_nothing_and_nobody_is_asked(account, capsys):
    account.fail("422", rate=1.0)
    batch("a fox", code=1)
    seen = len(account.requests)
    assert (0, "$0.00") == (costs(capsys)["predictions"], costs(capsys)["net"])
    assert seen == len(account.requests)


def test_charges_stay_when_the_batch_goes_on(account, capsys):
    batch("a fox")
    costs(capsys)
    batch("a fox", "an owl")
    assert 1 == len(charges())
    assert 2 == costs(capsys)["predictions"]
    assert 2 == len(charges())


def test_without_an_access_token_nothing_is_asked(account, capsys, monkeypatch):
    batch("a fox")
    capsys.readouterr()
    monkeypatch.delenv("COMETAPI_ACCESS_TOKEN")
    run("costs a-images", 3)
    assert "there is no access token; set COMETAPI_ACCESS_TOKEN" in capsys.readouterr().err


# ── the estimate beside the charge ───────────────────────────────────────────────────────────────────────────────────


def buy(*jobs):
    """Buy with a price for one of the models."""

    async def work():
        async with open_session(journal="a-images", prices={"flux-schnell": 0.04}) as session:
            async for _ in session.generate(jobs, save_to="a-images"):
                pass

    asyncio.run(work())


def test_the_estimate_stands_beside_the_charge_and_is_never_added_to_it(account, capsys):
    buy("a fox", "an owl")
    found = costs(capsys)
    assert ("$0.08", 80_000, {"given": 2}, 0) == tuple(
        found[name] for name in ("estimated", "estimated_micros", "bases", "without_price")
    )
    assert (billed(account), dollars(billed(account))) == (found["charged_quota"], found["charged"])
    run("costs a-images")
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert ["predictions 2", "by estimate (given) $0.08", f"charged {dollars(billed(account))}"] == rows[:3]


def test_predictions_without_a_price_are_counted_and_an_unknown_one_is_in_the_estimate(account, capsys):
    account.fail("drop", after=True)
    buy("a fox", flux.Dev(prompt="an owl"))
    found = costs(capsys)
    assert (1, 1, 40_000, 1) == tuple(
        found[name] for name in ("predictions", "unknown", "estimated_micros", "without_price")
    )
    run("costs a-images")
    assert "without an estimate 1" in " ".join(capsys.readouterr().out.split())


def test_the_manifest_has_estimates_and_from_then_on_charges(account, capsys):
    buy("a fox")
    costs(capsys)
    (line,) = [json.loads(text) for text in Path("a-images/manifest.jsonl").read_text().splitlines()]
    charged = dollars(billed(account)).removeprefix("$")
    assert ("0.04", "given", charged, "0.00") == tuple(
        line[name] for name in ("estimated_cost", "cost_basis", "charged", "refunded")
    )


def report():
    values = json.loads(Path("a-images/report.json").read_text())
    return tuple(values[name] for name in ("estimated_cost", "cost_basis", "without_price"))


def test_the_report_has_the_estimate_of_all_runs_and_the_end_tells_it(account, capsys):
    account.fail("drop", after=True)
    buy("a fox", "an owl", flux.Dev(prompt="a hen"))
    run("resume a-images", 5)
    assert ("0.08", "given", 1) == report()
    told = " ".join(capsys.readouterr().err.split())
    assert "by estimate, earlier runs included $0.08 (given, 1 more without a price)" in told


@pytest.fixture
def no_catalogue(account, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    account.fail("404", on="catalogue", rate=1.0)


def test_without_prices_the_report_says_so(account, no_catalogue, capsys):
    batch("a fox")
    assert (None, None, 1) == report()
    assert "estimate" not in capsys.readouterr().err


def test_without_any_price_no_estimate_is_printed(account, no_catalogue, capsys):
    batch("a fox")
    run("costs a-images")
    assert "estimate" not in capsys.readouterr().out
