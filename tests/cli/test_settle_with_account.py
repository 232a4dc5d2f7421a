"""Unknown jobs, settled by the account's own list: adopted with proof, else told."""

import json
from pathlib import Path

import pytest
from command_line import run
from journal_records import count_states
from PIL import Image

from cometflux import Journal
from cometflux.journal.writer import JournalWriter


@pytest.fixture
def account(service, monkeypatch, capsys):
    """The service of the environment, with an access token. Requests are repeated fast; absence counts at once."""
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", service.access_token)
    monkeypatch.setattr("cometflux.account.lists._WAITS", (0.01,))
    monkeypatch.setattr("cometflux.account.settling.DELAY", 0.0)
    return service


def batch(*prompts, code=5):
    Path("a.csv").write_text("\n".join(["prompt,key", *(f"{each},{each.split()[-1]}" for each in prompts)]))
    run("batch a.csv --max-pending 1", code)


def status():
    return count_states("a-images")


def owners():
    """The ids of the journal by prompt."""
    with Journal("a-images") as journal:
        return {record.input["prompt"]: record.prediction_id for record in journal.records()}


def settled(capsys, options="", code=0):
    capsys.readouterr()
    run(f"unknown a-images --settle --json {options}", code)
    return {row["key"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}


@pytest.mark.slow
def test_what_the_account_proves_is_adopted_and_fetched(account, capsys):
    account.fail("drop", after=True, times=2)
    batch("a fox", "an owl", "a toad")
    capsys.readouterr()
    run("unknown a-images --settle")
    assert "  cometflux resume a-images" == capsys.readouterr().err.splitlines()[-1]
    assert {"planned": 3, "saved": 1, "pending": 2} == status()
    run("resume a-images")
    assert {"planned": 3, "saved": 3} == status()
    assert {bill.input["prompt"]: bill.id for bill in account.bills} == owners()
    assert 3 == len(account.bills)


def test_people_are_told_what_became_of_each_job(account, capsys):
    account.fail("drop", after=True, prompt="a fox")
    account.fail("drop", prompt="an owl")
    batch("a fox", "an owl")
    capsys.readouterr()
    run("unknown a-images --settle", 5)
    fox = account.bills[0].id
    assert [
        f"fox (flux-schnell: a fox): adopted as prediction {fox}; the next run polls it",
        "owl (flux-schnell: an owl): the account has no prediction of it",
        "to resume:",
        "  cometflux resume a-images",
        "1 job of 2 stays unknown",
        "to submit again those that the account does not have:",
        "  cometflux unknown a-images --settle --resend-missing",
    ] == capsys.readouterr().err.splitlines()


def test_a_reference_image_is_compared_by_its_digest(account, capsys):
    for name, color in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (64, 64), color).save(name)
    account.fail("drop", after=True, times=2)
    Path("a.csv").write_text("prompt,key,input_image\nat night,a,a.png\nat night,b,b.png\n")
    run("batch a.csv --max-pending 1 --model kontext-pro", 5)
    found = settled(capsys)
    assert [bill.id for bill in account.bills] == [found["a"]["prediction_id"], found["b"]["prediction_id"]]


def test_what_was_never_accepted_is_offered_and_sent_again_only_if_told(account, capsys):
    account.fail("drop")
    batch("a fox")
    assert "none" == settled(capsys, code=5)["fox"]["settled"]
    run("resume a-images", 5)
    assert 0 == len(account.bills)
    assert "resent" == settled(capsys, "--resend-missing")["fox"]["settled"]
    run("resume a-images --limit 1", 4)
    assert 0 == len(account.bills), "the submission that may have been accepted counts"
    run("resume a-images --limit 2")
    assert (1, {"planned": 1, "saved": 1}) == (len(account.bills), status())


def test_right_after_its_submission_the_absence_of_a_task_proves_nothing(account, capsys, monkeypatch):
    monkeypatch.setattr("cometflux.account.settling.DELAY", 60.0)
    account.fail("drop")
    batch("a fox")
    assert "early" == settled(capsys, "--resend-missing", code=5)["fox"]["settled"]


def test_jobs_with_one_input_are_settled_as_a_group(account, capsys):
    account.fail("drop", after=True, times=2)
    Path("a.csv").write_text("prompt,key\na fox,one\na fox,two\n")
    run("batch a.csv --max-pending 1", 5)
    found = settled(capsys)
    assert {bill.id for bill in account.bills} == {found["one"]["prediction_id"], found["two"]["prediction_id"]}


@pytest.mark.slow
def test_each_lost_submission_of_a_job_gets_its_id(account, capsys):
    account.fail("drop", after=True)
    batch("a fox")
    run("unknown a-images --resend fox")
    account.fail("drop", after=True)
    run("resume a-images", 5)
    found = settled(capsys)
    assert {bill.id for bill in account.bills} == set(found["fox"]["prediction_ids"])
    run("resume a-images")
    assert (2, {"planned": 1, "saved": 1}) == (len(account.bills), status())
    assert {} == settled(capsys)


def test_another_prediction_of_the_account_with_one_input_is_told_and_not_adopted(account, capsys):
    account.fail("drop", after=True)
    batch("a fox")
    run('generate "a fox" --out elsewhere')
    found = settled(capsys, code=5)["fox"]
    assert ("several", None) == (found["settled"], found["prediction_id"])
    assert {bill.id for bill in account.bills} == set(found["prediction_ids"])
    assert {"planned": 1, "unknown": 1} == status()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "place", "how"),
    [
        ("rows-missing", "tasks", "incomplete"),
        ("late-rows", "tasks", "incomplete"),
        ("ids-cut", "tasks", "several"),
        ("list", "tasks", "incomplete"),
        ("404", "get", "several"),
        ("hang", "get", None),
        ("flat-rows", "tasks", "adopted"),
        ("503", "tasks", "adopted"),
    ],
)
def test_a_list_or_a_proof_with_a_fault_leads_to_no_wrong_verdict(account, capsys, monkeypatch, fault, place, how):
    monkeypatch.setattr("cometflux.account.settle._PAUSE", 0.01)
    account.fail("drop", after=True, prompt="an owl")
    batch("a fox", "an owl", "a toad", "a hen")
    if fault == "hang":
        how, fault = "adopted", "drop"
    account.fail(fault, on=place, **({"times": 1} if fault in ("503", "drop") else {"rate": 1.0}))
    found = settled(capsys, "--resend-missing", 0 if how == "adopted" else 5)["owl"]
    assert how == found["settled"]
    assert {"planned": 4, "saved": 3, "pending" if how == "adopted" else "unknown": 1} == status()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("401", "the account rejects the access token (HTTP 401)"),
        ("404", "the account has no such list here (HTTP 404)"),
        ("html", "the account's list cannot be read: the response is not JSON"),
        ("redirect", "the account has no such list here (HTTP 301)"),
        ("500", "the account answers HTTP 500"),
    ],
)
def test_a_list_that_cannot_be_read_is_one_error_and_changes_nothing(account, capsys, fault, said):
    account.fail("drop", after=True)
    batch("a fox")
    capsys.readouterr()
    account.fail(fault, on="tasks", rate=1.0)
    run("unknown a-images --settle --resend-missing", 3 if fault == "401" else 1)
    out, err = capsys.readouterr()
    assert ("", 1) == (out, len(err.splitlines()))
    assert said in err
    assert account.access_token not in err
    assert {"planned": 1, "unknown": 1} == status()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "code", "said"),
    [
        ("", 3, "there is no access token; set COMETAPI_ACCESS_TOKEN"),
        ("sk-0123456789", 3, "the access token is an API key"),
        ("local-key", 3, "the API key is the access token in COMETAPI_ACCESS_TOKEN"),
        ("not-the-token", 3, "the account rejects the access token"),
    ],
    ids=["none", "an API key", "the key of the service", "another one"],
)
def test_a_missing_or_wrong_token_is_one_sentence(account, capsys, monkeypatch, token, code, said):
    account.fail("drop", after=True)
    batch("a fox")
    capsys.readouterr()
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", token)
    run("unknown a-images --settle", code)
    err = capsys.readouterr().err
    assert said in err
    assert 1 == len(err.splitlines())


def test_without_unknowns_so_it_is_said(account, capsys):
    batch("a fox", code=0)
    capsys.readouterr()
    run("unknown a-images --settle")
    assert "no job in a-images is unknown\n" == capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("options", ["--settle --adopt fox=x1", "--settle --resend fox", "--resend-missing"])
def test_options_that_exclude_each_other_change_nothing(account, capsys, options):
    account.fail("drop", after=True)
    batch("a fox")
    run(f"unknown a-images {options}", 2)
    assert {"planned": 1, "unknown": 1} == status()


@pytest.mark.parametrize("command", ["unknown a-images --settle", "costs a-images"])
def test_while_a_batch_uses_the_journal_nobody_is_asked(account, capsys, command):
    account.fail("drop", after=True)
    batch("a fox")
    writer = JournalWriter("a-images")
    writer.open()
    seen = len(account.requests)
    run(command, 3)
    writer.close()
    assert seen == len(account.requests)
    assert "in use" in capsys.readouterr().err


def test_the_folder_of_somebody_else_gets_neither_the_key_nor_the_token(account, capsys, monkeypatch):
    account.fail("drop", after=True)
    batch("a fox")
    monkeypatch.setenv("COMETAPI_KEY", "another-key")
    seen = len(account.requests)
    run("unknown a-images --settle", 3)
    assert "was begun with another API key" in capsys.readouterr().err
    assert seen == len(account.requests)
