"""Prompts on the command line: each run makes new pictures, and the folder's journal keeps all of them."""

import contextlib
import json
import re
import shlex
import signal
import sqlite3
from pathlib import Path

import command_process
import pytest
from command_line import run
from journal_records import count_states
from posix_calls import IS_ROOT, signals
from waiting import rest_of, wait_until

from cometflux.cli import main
from cometflux.testing import LocalService

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")


def start(line, **options):
    return command_process.start(*shlex.split(line), **options)


def status(folder="images"):
    return count_states(folder)


def pictures(folder="images"):
    return sorted(path.name for path in Path(folder).glob("[0-9]*") if path.suffix != ".json")


# Run again.


def test_the_same_line_again_makes_new_pictures_whose_numbers_go_on(service, capsys):
    run("generate 'a fox' 'an owl'")
    first = capsys.readouterr()
    run("generate 'a fox' 'an owl'")
    second = capsys.readouterr()
    assert 4 == len(service.bills)
    assert ["00000-a-fox.webp", "00001-an-owl.webp", "00002-a-fox.webp", "00003-an-owl.webp"] == pictures()
    assert sorted(second.out.splitlines()) == ["images/00002-a-fox.webp", "images/00003-an-owl.webp"]
    assert {"planned": 4, "saved": 4} == status()
    for err in (first.err, second.err):
        assert "2 pictures in images" == err.splitlines()[-1]
        assert "note:" not in err
        assert "from earlier runs" not in err


def test_prompts_that_are_alike_are_jobs_of_their_own(service):
    run("generate 'a fox' 'a fox' --count 2")
    assert {"planned": 4, "saved": 4} == status()
    assert 4 == len({bill.id for bill in service.bills}) == len(pictures())


def test_pictures_that_were_there_before_the_journal_stay(service):
    Path("images").mkdir()
    Path("images/00000-a-fox.webp").write_bytes(b"mine")
    run("generate 'a fox'")
    assert b"mine" == Path("images/00000-a-fox.webp").read_bytes()
    assert 2 == len(pictures())


# Limits.


def test_a_limit_is_one_for_all_runs_into_one_folder(service, capsys):
    run("generate 'a fox' 'an owl' --limit 3")
    capsys.readouterr()
    run("generate 'a fox' 'an owl' --limit 3 --max-pending 1", 4)
    err = capsys.readouterr().err
    assert 3 == len(service.bills)
    assert "limit of 3 predictions" in err
    assert "images: 3 of 4 saved, 1 waiting\n" in err
    assert "  cometflux resume images --limit 4 --max-pending 1" == err.splitlines()[-1]
    run("resume images --limit 4")
    assert 4 == len(service.bills) == len(pictures())


def test_a_budget_is_one_for_all_runs_into_one_folder(service):
    run("generate 'a fox' 'an owl' --max-cost 0.03 --price flux-schnell=0.01")
    run("generate 'a fox' 'an owl' --max-cost 0.03 --price flux-schnell=0.01", 4)
    assert 3 == len(service.bills)


def test_a_dry_run_counts_the_predictions_of_the_folder_and_writes_nothing(service, capsys):
    run("generate 'a fox' 'an owl'")
    before = {path: path.read_bytes() for path in Path("images").iterdir()}
    capsys.readouterr()
    run("generate 'a fox' 'an owl' --dry-run --limit 3")
    assert "--limit 3 allows 1 of them: 2 are bought already" in capsys.readouterr().out
    run("generate 'a fox' --out elsewhere --dry-run")
    assert not Path("elsewhere").exists()
    assert before == {path: path.read_bytes() for path in Path("images").iterdir()}


# Interrupted.


@pytest.mark.parametrize("number", signals("SIGKILL", "SIGTERM"))
def test_a_run_that_was_killed_is_resumed_and_nothing_is_bought_twice(number, slow):
    prompts = " ".join(f"'fox {each}'" for each in range(40))
    running = start(f"generate {prompts} --max-pending 2")
    running.stdout.readline()
    running.send_signal(number)
    _, err = rest_of(running)
    assert 0 < len(slow.bills) < 40
    if number == signal.SIGTERM:
        assert "  cometflux resume images --max-pending 2" == err.splitlines()[-1]
    code = main(["resume", "images"])
    unknown = status().get("unknown", 0)
    assert (5 if unknown else 0) == code
    bought = [bill.input["prompt"] for bill in slow.bills]
    assert len(set(bought)) == len(bought), "each is bought once"
    assert 40 == len(pictures()) + unknown


def test_what_is_unknown_is_listed_and_a_later_run_is_not_blamed_for_it(service, capsys):
    service.fail("drop", after=True)
    run("generate 'a fox'", 5)
    err = capsys.readouterr().err
    assert "  cometflux unknown images" in err.splitlines()
    run("unknown images")
    assert "#00000" in capsys.readouterr().out
    run("generate 'an owl'")
    assert "  cometflux unknown images" in capsys.readouterr().err.splitlines()
    assert 2 == len(service.bills)


@pytest.mark.slow
def test_jobs_that_were_not_sent_are_told_once_at_the_start_and_dropped_on_request(service, capsys):
    run("generate 'a fox' 'an owl' --limit 1 --max-pending 1", 4)
    capsys.readouterr()
    run("generate 'a toad'")
    err = capsys.readouterr().err
    assert "note: 1 job planned before is not in this run, and is not sent: cometflux resume images" in " ".join(
        err.split()
    )
    assert "1 picture in images" == err.splitlines()[-1]
    run("generate 'a newt' --replace")
    assert ": dropped" in capsys.readouterr().err
    assert {"planned": 3, "saved": 3} == status()
    assert 3 == len(service.bills)


@pytest.mark.slow
def test_what_failed_is_listed_and_made_again(service, capsys):
    service.fail("failed")
    run("generate 'a fox'", 1)
    assert "  cometflux failures images" == capsys.readouterr().err.splitlines()[-1]
    run("generate 'an owl'")
    assert "1 picture in images" == capsys.readouterr().err.splitlines()[-1], "nothing of what failed before"
    run("resume images --redo failed")
    assert {"planned": 2, "saved": 2} == status()
    assert 3 == len(service.bills)


# In a folder with other jobs.


@pytest.mark.slow
def test_a_batch_of_the_folder_keeps_its_jobs(service, capsys):
    Path("a.txt").write_text("a fox\nan owl\na toad\n")
    run("batch a.txt --out shop --limit 1 --max-pending 1", 4)
    run("generate 'a newt' --out shop")
    assert {"planned": 4, "saved": 2, "waiting": 2} == status("shop")
    assert "00003-a-newt.webp" in pictures("shop")
    run("batch a.txt --out shop")
    assert {"planned": 4, "saved": 4} == status("shop")
    manifest = [json.loads(line) for line in Path("shop/manifest.jsonl").read_text().splitlines()]
    assert ["a fox", "an owl", "a toad", "a newt"] == [line["input"]["prompt"] for line in manifest]
    run("gallery shop")
    assert "a newt" in Path("shop/index.html").read_text()
    assert 4 == len(service.bills)


def test_two_runs_at_once_into_one_folder_are_one_clear_error_before_anything_is_sent(serving, capsys):
    with serving(latency=600, pixels=1024) as service:
        running = start("generate 'a fox'")
        wait_until(lambda: service.bills)
        run("generate 'a newt'", 3)
        err = capsys.readouterr().err
        assert f"(process {running.pid}); wait for it, or use another folder with --out" in " ".join(err.split())
        assert ["a fox"] == [bill.input["prompt"] for bill in service.bills]
        assert {"planned": 1, "pending": 1} == status()


# Other accounts.


@pytest.mark.slow
def test_a_first_try_without_a_key_is_not_in_the_way_of_the_first_purchase(service, capsys):
    run("generate 'a boat' --local")
    assert "images-local/00000-a-boat.webp\n" == capsys.readouterr().out
    run("generate 'a boat'")
    assert "images/00000-a-boat.webp\n" == capsys.readouterr().out
    run("generate 'a boat' --local")
    assert "images-local/00001-a-boat.webp\n" == capsys.readouterr().out
    assert 1 == len(service.bills)


def test_finished_predictions_of_another_address_are_not_in_the_way(service, monkeypatch):
    run("generate 'a fox'")
    with LocalService.in_thread(latency=0.0, pixels=1024, key="another") as other:
        monkeypatch.setenv("COMETFLUX_BASE_URL", other.url)
        monkeypatch.setenv("COMETAPI_KEY", other.key)
        run("generate 'an owl'")
        run("resume images")
        assert (1, 1) == (len(service.bills), len(other.bills))
    assert ["00000-a-fox.webp", "00001-an-owl.webp"] == pictures()


@pytest.mark.slow
def test_finished_predictions_of_another_key_are_not_in_the_way(service, monkeypatch, capsys):
    run("generate 'a fox'")
    monkeypatch.setenv("COMETAPI_KEY", "another")
    run("generate 'an owl'", 3)
    err = capsys.readouterr().err
    assert "check COMETAPI_KEY" in err, "the service refuses it, not the journal"
    monkeypatch.setenv("COMETAPI_KEY", service.key)
    run("generate 'an owl'")
    run("resume images")
    assert ["a fox", "an owl", "an owl"] == [bill.input["prompt"] for bill in service.bills]


@pytest.mark.parametrize("fault", [{"fault": "drop", "after": True}, {"fault": "output-404", "rate": 1.0}])
def test_predictions_of_another_account_that_are_not_finished_are_one_error_that_names_out(
    fault, service, monkeypatch, capsys
):
    service.fail(fault.pop("fault"), **fault)
    assert main(["generate", "a fox"]) in (1, 5)
    capsys.readouterr()
    requests = len(service.requests)
    with LocalService.in_thread(latency=0.0, pixels=1024) as other:
        monkeypatch.setenv("COMETFLUX_BASE_URL", other.url)
        run("generate 'an owl'", 3)
        assert [] == other.requests
    assert requests == len(service.requests)
    err = " ".join(capsys.readouterr().err.split())
    assert "use another folder with --out" in err
    assert "cometflux resume images" in err


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second", "said"), [("--local", "", "was made with"), ("", "--local", "without")])
def test_a_folder_that_was_named_is_for_the_local_service_or_for_purchases(first, second, said, service, capsys):
    run(f"generate 'a fox' --out mine {first}")
    before = len(service.bills)
    run(f"generate 'a fox' --out mine {second}", 3)
    err = " ".join(capsys.readouterr().err.split())
    assert said in err
    assert "with --out" in err
    assert before == len(service.bills)


# Folders that hold no journal.


def test_a_folder_that_cannot_be_written_to_is_one_error_before_anything_is_sent(service, capsys):
    if IS_ROOT:
        Path("file").write_text("")
        run("generate 'a fox' --out file/x", 3)
    else:
        Path("closed").mkdir(mode=0o500)
        run("generate 'a fox' --out closed", 3)
    assert re.search(r"error: .* cannot be written to", capsys.readouterr().err)
    assert [] == service.bills


def test_a_folder_of_a_newer_version_is_left_alone_and_the_error_names_the_way_out(service, capsys):
    run('generate "a fox"')
    with contextlib.closing(sqlite3.connect("images/journal.sqlite3")) as database:
        database.execute("PRAGMA user_version = 999")
    capsys.readouterr()
    run('generate "a fox"', 3)
    expected = "was written by a newer version of cometflux; use another folder with --out"
    assert f"error: the journal 'images/journal.sqlite3' {expected}\n" == capsys.readouterr().err
    assert 1 == len(service.bills)
