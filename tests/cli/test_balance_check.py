"""A batch whose estimate exceeds the balance says so before the first POST, and asks."""

import json
import os
import sys
from pathlib import Path

import forked_process
import pytest
from waiting import PATIENCE

from cometflux.cli import main

BILLING, USER = "/v1/dashboard/billing/", "/api/user/self"
QUESTION = "? [y/N] "
SAYS = "by estimate this costs $0.10, and the balance is"


@pytest.fixture(autouse=True)
def prompts(folder, tmp_path, monkeypatch):
    """A prompt file of four jobs that cost $0.10 by estimate, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (folder / "a.txt").write_text("a fox\nan owl\na hen\na cow\n")


def command(line):
    return main(line.split())


def run(more="", command_line="batch a.txt --model dev"):
    return command(f"{command_line} --max-pending 1 {more}")


def balance_requests(service):
    return [each for each in service.requests if each.path.startswith((BILLING, USER))]


def test_without_a_terminal_it_is_said_and_nothing_is_sent(service, capsys):
    service.credit = 0.0999
    assert 2 == run()
    out, err = capsys.readouterr()
    assert ("", [f"{SAYS} $0.0999", "nothing was sent; --yes sends it anyway"]) == (out, err.splitlines())
    assert [] == service.bills
    assert not Path("a-images").exists()


def test_with_yes_it_is_said_and_sent(service, capsys):
    service.credit = 0.05
    assert 0 == run("--yes")
    assert 1 == capsys.readouterr().err.count(f"{SAYS} $0.05")
    assert 4 == len(service.bills)


def start(*arguments, terminal):
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": terminal, "COLUMNS": "100"}
    process = forked_process.Popen(
        [sys.executable, "-m", "cometflux.cli", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    return process, ours


@pytest.mark.parametrize(
    ("line", "place", "name"),
    [
        ("batch a.txt --dry-run", "catalogue", "the price catalogue"),
        ("batch a.txt --price schnell=1", "billing", "the balance"),
        ("balance", "billing", "the account"),
    ],
)
def test_a_terminal_shows_what_a_slow_service_is_waited_for(line, place, name, service):
    service.fail("slow", on=place, rate=1)
    process, ours = start(*line.split(), terminal="xterm")
    shown = ""
    try:
        while f"waiting for {name}" not in shown:
            shown += os.read(ours, 4096).decode()
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(ours)


def answer(text, *arguments):
    """Run the command at a terminal on which a person types; return its exit code and what the terminal shows."""
    process, ours = start(*arguments, terminal="dumb")
    shown = ""
    try:
        while data := os.read(ours, 4096):
            shown += data.decode()
            if QUESTION in shown and text:
                os.write(ours, text.encode())
                text = ""
    except OSError:
        # The other side is closed.
        pass
    finally:
        os.close(ours)
    return process.wait(PATIENCE), shown


@pytest.mark.parametrize(("text", "code", "bills"), [("n\n", 2, 0), ("y\n", 0, 4)])
@pytest.mark.parametrize("most", ["2", "100"])
def test_a_person_is_asked_once_whatever_the_reasons_are(most, text, code, bills, service):
    service.credit = 0.05
    line = ["batch", "a.txt", "--model", "dev", "--confirm-above", most]
    found, shown = answer(text, *line)
    assert (code, 1, 1) == (found, shown.count(QUESTION), shown.count(f"{SAYS} $0.05")), shown
    assert bills == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize("credit", [0.1, 5, 100_000_000])
def test_a_balance_that_is_enough_is_not_mentioned(credit, service, capsys):
    service.credit = credit
    assert 0 == run()
    assert "balance" not in capsys.readouterr().err
    assert 4 == len(service.bills)


def test_the_balance_of_the_account_counts_too(service, monkeypatch, capsys):
    run("--yes")
    service.credit = 0.15
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", service.access_token)
    assert 2 == run(command_line="batch a.txt --model dev --out b")
    assert "and the balance is $0.07" in capsys.readouterr().err
    assert USER in {each.path for each in balance_requests(service) if each.authorised}


def test_only_what_is_still_to_be_sent_counts_and_within_the_limits(service):
    service.credit = 1
    assert 4 == run("--limit 3")
    service.credit = 0.09
    assert 4 == run("--max-cost 0.09", "resume a-images")
    assert 0 == run("", "resume a-images")
    assert 4 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["401", "404", "500", "html", "garbage", "text-amounts", "no-amounts", "drop", "torn", "huge", "hang"]
)
def test_a_balance_that_cannot_be_read_is_one_note_and_stops_nothing(fault, service, monkeypatch, capsys):
    monkeypatch.setattr("cometflux.cli.batch.balance_check.LONGEST", 0.5)
    service.fail(fault, on="billing", rate=1.0)
    assert 0 == run()
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert 1 == len(notes)
    assert notes[0].startswith("note: the estimate is not compared with the balance: ")
    assert 4 == len(service.bills)


def test_a_balance_is_fetched_once_before_the_first_submission_and_never_after_it(service):
    service.fail("failed-transient", times=2)
    run("--retry-failed 3")
    paths = [each.path for each in service.requests]
    first = next(number for number, each in enumerate(service.requests) if each.method == "POST")
    assert [f"{BILLING}subscription", f"{BILLING}usage"] == [path for path in paths if path.startswith(BILLING)]
    assert all(not path.startswith(BILLING) for path in paths[first:])


def test_predictions_that_are_paid_for_do_not_wait_for_the_balance(service):
    service.fail("output-404", rate=1.0)
    run()
    seen = len(balance_requests(service))
    assert 1 <= len(service.bills)
    run("", "resume a-images")
    assert seen == len(balance_requests(service))


@pytest.mark.slow
@pytest.mark.parametrize("more", ["--local", "--dry-run"])
def test_what_buys_nothing_needs_no_balance(more, service):
    run(more)
    assert [] == balance_requests(service)


def test_a_batch_with_nothing_left_to_send_needs_no_balance(service):
    run()
    seen = len(service.requests)
    assert 0 == run()
    assert seen == len(service.requests)


def test_the_key_goes_to_no_address_that_the_folder_does_not_prove_to_be_its_own(service, monkeypatch):
    assert 4 == run("--limit 1")
    seen = len(balance_requests(service))
    monkeypatch.delenv("COMETFLUX_BASE_URL")
    monkeypatch.setenv("COMETAPI_KEY", "of-somebody-else")
    assert 3 == run("", "resume a-images")
    assert seen == len(balance_requests(service))


def test_without_a_price_the_balance_is_not_fetched(service):
    service.fail("no-amounts", on="catalogue", rate=1.0)
    assert 0 == run()
    assert [] == balance_requests(service)


def test_a_wrong_access_token_stops_no_batch(service, monkeypatch, capsys):
    monkeypatch.setenv("COMETAPI_ACCESS_TOKEN", "sk-another-key")
    assert 0 == run()
    assert "note: the estimate is not compared with the balance: the access token is an API key" in (
        capsys.readouterr().err
    )


def test_the_report_and_the_lines_have_the_estimate_of_the_run(service, capsys):
    assert 0 == run("--json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [("0.025", "catalogue as given")] * 4 == [(each["estimated_cost"], each["cost_basis"]) for each in lines]
    report = json.loads(Path("a-images/report.json").read_text())
    assert ("0.10", "catalogue as given", 0) == tuple(
        report[name] for name in ("estimated_cost", "cost_basis", "without_price")
    )
