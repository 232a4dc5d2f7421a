"""A batch of the command that is run again: what its folder remembers, and what is never bought twice."""

import contextlib
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import command_process
import pytest
from command_line import run
from one_pixel import PNG
from posix_calls import IS_ROOT, signals
from waiting import PATIENCE, rest_of, wait_until, wait_until_it_waits

from cometflux import Journal
from cometflux.cli import main
from cometflux.cli.batch.next_command import resume_line
from cometflux.cli.batch.run_end import RunEnd
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.screen import Screen
from cometflux.journal.draft import Draft
from cometflux.journal.writer import JournalWriter

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")


def write(*rows, header="prompt,key", name="a.csv"):
    Path(name).write_text("\n".join([header, *rows, ""]))


def status(folder="a-images"):
    with Journal(folder) as journal:
        counts = journal.status()
    assert counts["planned"] == sum(counts.values()) - counts["planned"], "the parts add up"
    return {name: count for name, count in counts.items() if count}


def prompts(service):
    return sorted(bill.input["prompt"] for bill in service.bills)


def pictures(folder="a-images"):
    return sorted(str(path) for path in Path(folder).glob("[0-9]*") if path.suffix != ".json")


def start(line, **options):
    return command_process.start(*shlex.split(line), **options)


STOPS = [pytest.param(number, 128 + number, id=number.name) for number in signals("SIGINT", "SIGTERM", "SIGHUP")]


def skip_if_ignored(number):
    """A process under nohup ignores SIGHUP, and so does the command."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored here")


# Run again.


def test_a_second_run_buys_nothing_prints_the_same_paths_and_says_that_nothing_was_left(service, capsys):
    write("a fox,", "an owl,k")
    run("batch a.csv")
    first = capsys.readouterr().out
    requests = len(service.requests)
    run("batch a.csv")
    out, err = capsys.readouterr()
    assert (2, requests) == (len(service.bills), len(service.requests))
    assert sorted(first.splitlines()) == sorted(out.splitlines()) == pictures()
    assert "resuming a-images: 2 of 2 saved\n" in err
    assert re.search(r"succeeded +2\nfrom earlier runs +2\nbought +0\n.*estimate.*\nelapsed", err)
    assert "nothing was left to do: 2 pictures in a-images" == err.splitlines()[-1]


def test_what_failed_or_is_unknown_is_not_told_to_be_in_the_folder(service, capsys):
    write("a fox,")
    service.fail("failed")
    run("batch a.csv", 1)
    write("a fox,", "an owl,", "a toad,")
    service.fail("drop", after=True)
    run("batch a.csv --max-pending 1", 5)
    capsys.readouterr()
    run("batch a.csv", 5)
    err = capsys.readouterr().err
    assert "nothing was left to do: 1 of 3 jobs is saved in a-images, 1 failed, 1 is unknown\n" in err


def test_one_job_that_failed_is_one_job(service, capsys):
    write("a fox,")
    service.fail("failed")
    run("batch a.csv", 1)
    capsys.readouterr()
    run("batch a.csv", 1)
    assert "nothing was left to do: 0 of 1 job is saved in a-images, 1 failed\n" in capsys.readouterr().err


def test_pictures_are_told_to_be_of_the_file_where_the_folder_has_others(service, capsys):
    write("a fox,", "an owl,")
    run("batch a.csv")
    write("a fox,")
    capsys.readouterr()
    run("batch a.csv")
    assert "nothing was left to do: 1 picture of this file in a-images" == capsys.readouterr().err.splitlines()[-1]
    write("a fox,", "a toad,")
    run("batch a.csv")
    assert "2 pictures of this file in a-images" == capsys.readouterr().err.splitlines()[-1]


def test_a_folder_is_resumed_without_its_prompt_file_and_asks_for_nothing(service, capsys):
    write("a fox,", "an owl,k")
    run("batch a.csv")
    Path("a.csv").unlink()
    capsys.readouterr()
    run("resume a-images --json")
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert [(True, True), (True, True)] == [(record["ok"], record["resumed"]) for record in records]
    assert {"#00000", "k"} == {record["key"] for record in records}
    assert (2, "nothing was left to do: 2 pictures in a-images") == (len(service.bills), err.splitlines()[-1])


def test_only_what_is_new_in_the_file_is_bought(service, capsys):
    write("a fox,", "an owl,k")
    run("batch a.csv")
    write("a toad,", "an owl,k", "a fox,")
    run("batch a.csv")
    assert ["a fox", "a toad", "an owl"] == prompts(service)
    assert {"planned": 3, "saved": 3} == status()
    assert "resuming a-images: 2 of 3 saved, 1 waiting\n" in capsys.readouterr().err


def test_rows_in_another_order_are_the_same_jobs(service):
    write("a fox,", "an owl,k", "a toad,")
    run("batch a.csv")
    write("a toad,", "a fox,", "an owl,k")
    run("batch a.csv")
    assert 3 == len(service.bills) == len(pictures())


def test_what_is_bought_and_no_longer_in_the_file_stays_counted_and_is_told(service, capsys):
    write("a fox,", "an owl,")
    run("batch a.csv")
    write("a fox,")
    capsys.readouterr()
    run("batch a.csv")
    assert {"planned": 2, "saved": 2} == status()
    err = capsys.readouterr().err
    assert "note: 1 job of an earlier run is not in this file, but paid for and counted\n" in err
    write("a toad,")
    run("batch a.csv")
    err = capsys.readouterr().err
    assert "note: 2 jobs of an earlier run are not in this file, but paid for and counted\n" in err


def test_what_was_not_sent_and_is_no_longer_in_the_file_stays_planned(service, capsys):
    write("a fox,", "an owl,")
    run("batch a.csv --limit 1 --max-pending 1", 4)
    write("a fox,")
    capsys.readouterr()
    run("batch a.csv")
    assert {"planned": 2, "saved": 1, "waiting": 1} == status()
    note = "note: 1 job planned before is not in this file, and is not sent: cometflux resume a-images makes it"
    assert f"{note}, --replace drops it\n" in capsys.readouterr().err
    run("resume a-images")
    assert ["a fox", "an owl"] == prompts(service)


@pytest.mark.slow
def test_the_command_for_jobs_of_before_can_be_pasted_into_a_shell(capsys):
    write("a fox,", "an owl,")
    run("batch a.csv --local --out 'my tour' --limit 1 --max-pending 1", 4)
    write("a fox,")
    capsys.readouterr()
    run("batch a.csv --local --out 'my tour'")
    (note,) = [line for line in capsys.readouterr().err.splitlines() if "planned before" in line]
    command = note.partition(" sent: cometflux ")[2].partition(" makes it")[0]
    assert "resume 'my tour' --local" == command
    run(command)
    assert {"planned": 2, "saved": 2} == status("my tour")


def test_replace_drops_what_was_not_sent_and_is_no_longer_in_the_file(service, capsys):
    write("a fox,", "an owl,")
    run("batch a.csv --limit 1 --max-pending 1", 4)
    write("a fox,")
    capsys.readouterr()
    run("batch a.csv --replace")
    assert {"planned": 1, "saved": 1} == status()
    assert "note: 1 job planned before is not in this file, and is not sent: dropped\n" in capsys.readouterr().err
    run("resume a-images")
    assert ["a fox"] == prompts(service)


@pytest.mark.slow
def test_two_prompt_files_in_one_folder_keep_each_other(service, capsys):
    write("a fox,", "an owl,")
    run("batch a.csv --limit 1 --max-pending 1 --out tour", 4)
    Path("b.txt").write_text("a toad\na newt\n")
    run("batch b.txt --limit 2 --max-pending 1 --out tour", 4)
    capsys.readouterr()
    run("status tour")
    out = capsys.readouterr().out
    assert "a.csv: 1 of 2 saved, 1 waiting\n" in out
    assert "b.txt: 1 of 2 saved, 1 waiting\n" in out
    run("status tour --json")
    files = json.loads(capsys.readouterr().out)["files"]
    assert {"a.csv": 2, "b.txt": 2} == {name: counts["planned"] for name, counts in files.items()}
    run("resume tour")
    assert ["a fox", "a newt", "a toad", "an owl"] == prompts(service)
    assert 4 == len(service.bills)


def test_a_file_with_nothing_of_the_folder_in_it_is_told_to_be_new(service, capsys):
    write("a fox,", "an owl,")
    run("batch a.csv")
    write("a toad,")
    run("batch a.csv")
    assert "note: none of the 2 jobs in a-images is in this file; the one in it is new\n" in capsys.readouterr().err


def test_a_key_for_another_input_is_told_with_its_line_and_nothing_is_sent(service, capsys):
    write("a fox,a", "an owl,b")
    run("batch a.csv")
    write("a newt,", "a hen,b", "a toad,a")
    capsys.readouterr()
    run("batch a.csv", 2)
    where = "is in the journal with another input; give it another key, use another folder with --out, or "
    where += "redo the job with resume --redo-from"
    assert [f"error: a.csv, line 3: key 'b' {where}", f"error: a.csv, line 4: key 'a' {where}"] == (
        capsys.readouterr().err.splitlines()[:2]
    )
    assert (2, {"planned": 2, "saved": 2}) == (len(service.bills), status())


def test_copies_of_one_row_are_jobs_of_their_own(service):
    write("a fox,k", "an owl,")
    for count in (1, 2, 3, 2):
        run(f"batch a.csv --count {count}")
    assert ["a fox"] * 3 + ["an owl"] * 3 == prompts(service)


def test_what_the_service_still_has_comes_before_what_is_new(service):
    """Outputs are gone after an hour, and a limit may end the run."""
    write("an owl,k")
    service.fail("drop", after=True)
    run("batch a.csv", 5)
    run(f"unknown a-images --adopt k={service.bills[0].id}")
    write("a fox,", "a toad,", "an owl,k")
    run("batch a.csv --limit 1 --max-pending 1", 4)
    assert {"planned": 3, "saved": 1, "waiting": 2} == status()


# Limits, failures, keys.


def test_a_limit_ends_with_exit_code_4_and_a_higher_one_goes_on(service, capsys):
    write("a fox,", "an owl,", "a toad,")
    run("batch a.csv --limit 1 --json", 4)
    out, err = capsys.readouterr()
    assert ["not_sent", "not_sent", "succeeded"] == sorted(json.loads(line)["kind"] for line in out.splitlines())
    assert "error: the limit of 1 prediction is reached\n" in err
    *_, said, line = err.splitlines()
    assert ("to resume, raise the limit, for example:", "  cometflux resume a-images --limit 3") == (
        said,
        line,
    )
    run("resume a-images --limit 2", 4)
    assert 2 == len(service.bills)
    run(line.removeprefix("  cometflux "))
    assert ({"planned": 3, "saved": 3}, 3) == (status(), len(service.bills))


def test_a_limit_below_what_is_bought_is_raised_above_it(service, capsys):
    write("a fox,", "an owl,", "a toad,")
    run("batch a.csv --limit 2", 4)
    run("resume a-images --limit 1", 4)
    assert "  cometflux resume a-images --limit 3" == capsys.readouterr().err.splitlines()[-1]


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="asks bash what it reads")
@pytest.mark.parametrize("name", [b"it's\x1b[31m\n7", b"caf\xe9\\1", "t\u00e9 \u2028".encode(), b"-plain"])
def test_the_line_that_goes_on_names_any_folder_as_bash_reads_it(name, service, capsys):
    folder = os.fsdecode(name)
    write("a fox,", "an owl,")
    assert 4 == main(["batch", "a.csv", f"--out={folder}", "--limit", "0"])
    line = capsys.readouterr().err.splitlines()[-1]
    script = f"cometflux() {{ printf '%s\\0' \"$@\"; }}\n{line}"
    read = subprocess.run(["/bin/bash", "-c", script], capture_output=True, timeout=PATIENCE, check=True).stdout
    expected = b"./" + name if name.startswith(b"-") else name
    assert [b"resume", expected, b"--limit", b"2", b""] == read.split(b"\0")
    assert line.isprintable()


def test_outcomes_that_were_not_drawn_are_told_as_the_journal_has_them(service, capsys):
    write("a fox,", "an owl,b")
    run("batch a.csv")
    write(*(f"toad {number}," for number in range(9)), "an owl,b")
    capsys.readouterr()
    run("batch a.csv --limit 3 --max-pending 1 --json", 4)
    records = {record["key"]: record for record in map(json.loads, capsys.readouterr().out.splitlines())}
    assert 10 == len(records)
    assert (True, True, ["a-images/00001-an-owl.webp"]) == tuple(
        records["b"][name] for name in ("ok", "resumed", "files")
    )


def test_what_failed_for_a_passing_reason_is_bought_again_when_allowed(service, capsys):
    write("a fox,")
    service.fail("failed-transient")
    run("batch a.csv", 1)
    run("resume a-images", 1)
    assert 1 == len(service.bills)
    run("resume a-images --retry-failed 1")
    assert (2, {"planned": 1, "saved": 1}) == (len(service.bills), status())


def test_another_key_is_refused_unless_it_is_said_to_be_new(service, capsys, monkeypatch):
    write("a fox,")
    run("batch a.csv")
    monkeypatch.setenv("COMETAPI_KEY", "another")
    capsys.readouterr()
    run("batch a.csv", 3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("which may belong to another account; to use the new key, add --new-key")
    run("batch a.csv --new-key")
    assert 1 == len(service.bills)


def test_the_address_of_a_folder_is_taken_for_its_own_key_only(service, capsys, monkeypatch):
    write("a fox,")
    run("batch a.csv")
    monkeypatch.delenv("COMETFLUX_BASE_URL")
    run("resume a-images")
    monkeypatch.setenv("COMETAPI_KEY", "another")
    capsys.readouterr()
    run("resume a-images", 3)
    assert "begun with another API key" in capsys.readouterr().err
    # Through nowhere, should it be sent after all.
    run("resume a-images --new-key --proxy http://127.0.0.1:9", 3)
    assert "belongs to http://127.0.0.1" in capsys.readouterr().err


def test_a_folder_that_names_an_address_and_proves_no_key_gets_none(service, capsys, monkeypatch):
    """It may come from somebody who wants the key to be sent there."""
    write("a fox,")
    run("batch a.csv --limit 0", 4)
    with contextlib.closing(sqlite3.connect("a-images/journal.sqlite3")) as changed, changed:
        changed.execute("UPDATE header SET key_salt = NULL, key_sum = NULL")
    monkeypatch.delenv("COMETFLUX_BASE_URL")
    monkeypatch.setenv("COMETAPI_KEY", "of-somebody-else")
    seen = len(service.requests)
    capsys.readouterr()
    run("resume a-images", 3)
    assert "is damaged: it does not say whose it is" in capsys.readouterr().err
    assert seen == len(service.requests)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second", "said"), [("--local", "", "was made with"), ("", "--local", "without")])
def test_a_folder_of_the_local_service_is_one_for_good(first, second, said, service, capsys):
    write("a fox,")
    run(f"batch a.csv {first}")
    capsys.readouterr()
    run(f"batch a.csv {second}", 3)
    assert (
        f"error: the folder 'a-images' was made with{'out' if first == '' else ''} --local" in capsys.readouterr().err
    )
    run(f"resume a-images {second}", 3)
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_with_the_local_service_a_second_run_draws_only_what_is_not_on_the_disk(capsys):
    write("a fox,", "an owl,")
    run("batch a.csv --local")
    Path("a-images/00000-a-fox.webp").unlink()
    capsys.readouterr()
    run("batch a.csv --local")
    assert re.search(r"from earlier runs +1\nbought +1\n", capsys.readouterr().err)
    assert 2 == len(pictures())


# What is wrong with the folder.


def test_two_processes_cannot_work_on_one_folder_and_status_adds_up_meanwhile(slow, capsys):
    write(*(f"fox {number}," for number in range(6)))
    running = start("batch a.csv --max-pending 2")
    running.stdout.readline()
    # So that it is not over before the others have looked.
    running.send_signal(signal.SIGSTOP)
    run("batch a.csv", 3)
    assert "is in use by another process" in capsys.readouterr().err
    for line in ("unknown a-images --abandon x", "resume a-images", f"save {slow.bills[0].id} --out a-images"):
        run(line, 3)
        assert capsys.readouterr().err.endswith("; wait for it, or stop it\n")
    run("status a-images")
    assert "a batch is running in this folder" in capsys.readouterr().out
    running.send_signal(signal.SIGCONT)

    def is_over():
        assert 6 == status()["planned"]
        return running.poll() is not None

    wait_until(is_over)
    assert 6 == len(slow.bills)
    run("status a-images")
    assert "planned  6\nsaved    6\nno batch is running in this folder\n" == capsys.readouterr().out


def test_status_as_json_has_always_the_same_keys(service, capsys):
    write("a fox,")
    run("batch a.csv")
    capsys.readouterr()
    run("status a-images --json")
    kinds = ("unsaved", "failed", "canceled", "expired", "detached", "not_sent", "rejected", "unknown", "pending")
    expected = {"planned": 1, "saved": 1, **dict.fromkeys(kinds, 0), "waiting": 0}
    assert expected == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "line", ["status .", "unknown .", "resume .", "status nowhere", "resume nowhere", "failures ."]
)
def test_a_folder_without_a_journal_is_one_line_and_exit_code_3(line, service, folder, capsys):
    run(line, 3)
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    missing = "folder 'nowhere'" if "nowhere" in line else "journal at '"
    assert err.startswith(f"error: there is no {missing}")
    assert err.endswith("; cometflux batch FILE --out FOLDER makes one\n")
    assert [] == list(folder.iterdir())


@pytest.mark.parametrize("command", ["status", "unknown", "resume"])
def test_what_is_no_journal_is_told_with_the_command_that_makes_one(command, service, capsys):
    with contextlib.closing(sqlite3.connect("other.sqlite3")) as other, other:
        other.execute("CREATE TABLE things(name)")
    Path("notes.txt").write_text("a fox\n" * 1000)
    for name in ("other.sqlite3", "notes.txt"):
        run(f"{command} {name}", 3)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("; cometflux batch FILE --out FOLDER makes one")


@pytest.mark.slow
@pytest.mark.parametrize("line", ["batch a.csv", "resume a-images", "status a-images", "unknown a-images"])
def test_a_damaged_journal_is_one_line_and_exit_code_3(line, service, capsys):
    write("a fox,")
    run("batch a.csv")
    journal = Path("a-images/journal.sqlite3")
    journal.write_bytes(b"\0" * 4096 + journal.read_bytes()[4096:])
    capsys.readouterr()
    run(line, 3)
    out, err = capsys.readouterr()
    assert ("", 1, 1) == (out, err.count("\n"), len(service.bills))
    assert err.startswith("error: ")
    assert "journal" in err


@pytest.mark.skipif(IS_ROOT, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_exit_code_3_and_can_be_looked_at(service, capsys):
    write("a fox,")
    run("batch a.csv")
    Path("a-images").chmod(0o500)
    try:
        run("batch a.csv", 3)
        assert "cannot be written to" in capsys.readouterr().err
        run("status a-images")
    finally:
        Path("a-images").chmod(0o700)


def test_a_journal_that_cannot_be_written_any_more_ends_the_run_with_exit_code_3_and_names_the_ids(service):
    write(*(f"fox {number}," for number in range(100)))
    # Enough to plan them all, and for some to be bought.
    import resource

    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (250_000, 250_000))
    running = start("batch a.csv --max-pending 4", preexec_fn=limit)
    _, err = rest_of(running)
    assert (3, 1) == (running.returncode, err.count("error: ")), err
    assert 0 < len(service.bills) < 100
    assert "error: the journal 'a-images/journal.sqlite3' cannot be used: " in err
    saved = {json.loads(path.read_text())["prediction"]["id"] for path in Path("a-images").glob("[0-9]*.json")}
    assert all(bill.id in saved or bill.id in err for bill in service.bills)
    code = main(["resume", "a-images"])
    assert (code, 100) == (5 if "unknown" in status() else 0, len(pictures()) + status().get("unknown", 0))
    assert 100 == len(service.bills)


# Reference images.


@pytest.mark.slow
@pytest.mark.parametrize("change", ["changed", "gone"])
def test_an_image_that_changed_or_vanished_ends_its_job_only(change, service, folder, capsys, monkeypatch):
    Path("refs").mkdir()
    Path("refs/b.png").write_bytes(PNG)
    Path("refs/a.csv").write_text("prompt,model,input_image\na fox,schnell,\npaint it,kontext-pro,b.png\n")
    run("batch refs/a.csv --out out --limit 1 --max-pending 1", 4)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    if change == "changed":
        (folder / "refs" / "b.png").write_bytes(PNG + b"\0")
    else:
        (folder / "refs" / "b.png").unlink()
    run("resume ../out", 1)
    said = " ".join(capsys.readouterr().err.split())
    assert "input_image: '" in said
    assert ("has changed since the job was planned; put" if change == "changed" else "No such file") in said
    (folder / "refs" / "b.png").write_bytes(PNG)
    run("resume ../out")
    assert ["a fox", "paint it"] == prompts(service)


# Ending.


def test_killed_in_the_middle_and_resumed_nothing_is_bought_twice(slow):
    names = sorted(f"fox {number}" for number in range(30))
    write(*(f"{name}," for name in names))
    running = start("batch a.csv --max-pending 8")
    running.stdout.readline()
    running.kill()
    rest_of(running)
    assert 0 < len(slow.bills) < 30
    code = main(["resume", "a-images"])
    unknown = status().get("unknown", 0)
    assert (5 if unknown else 0) == code
    assert len(names) - unknown <= len(slow.bills) <= 30
    assert len(set(prompts(slow))) == len(prompts(slow)), "each is bought once"
    assert 30 == len(pictures()) + unknown


def test_an_interrupted_resume_says_how_many_pictures_are_new(slow):
    write(*(f"fox {number}," for number in range(16)))
    run("batch a.csv --limit 2", 4)
    running = start(f"resume a-images --max-pending 2 --base-url {slow.url}")
    for _ in range(3):
        running.stdout.readline()
    running.terminate()
    _, err = rest_of(running)
    new = len(pictures()) - 2
    assert 0 < new == len(slow.bills) - 2
    assert re.search(
        rf"^interrupted: {new} predictions? bought, {new} new pictures? in a-images$", err, re.MULTILINE
    ), err


def test_the_line_that_is_printed_by_sigterm_finishes_the_batch_as_it_stands(slow, folder):
    write(*(f"fox {number}," for number in range(16)), name="it's.csv")
    running = start(f'batch "it\'s.csv" --max-pending 4 --base-url {slow.url}')
    running.stdout.readline()
    running.terminate()
    _, err = rest_of(running)
    assert 143 == running.returncode
    assert len(slow.bills) < 16
    assert re.search(r"^interrupted: \d+ predictions bought, \d+ pictures in it's-images$", err, re.MULTILINE)
    line = err.splitlines()[-1]
    assert line.startswith("  cometflux resume ")
    script = f'cometflux() {{ "{sys.executable}" -m cometflux.cli "$@"; }}\n{line}'
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COMETFLUX_BASE_URL": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (0, 16) == (done.returncode, len(slow.bills)), done.stderr
    assert {"planned": 16, "saved": 16} == status("it's-images")


def test_a_second_ctrl_c_leaves_at_once_with_the_line_and_without_the_ids(serving):
    with serving(latency=60, pixels=4096) as service:
        write("a fox,", "an owl,")
        running = start("batch a.csv")
        wait_until(lambda: len({each.path for each in service.requests if "/predictions/" in each.path}) == 2)
        running.send_signal(signal.SIGINT)
        assert "stopping: " in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        _, err = rest_of(running)
    assert 130 == running.returncode
    assert "Traceback" not in err
    assert "2 predictions are paid and not saved; the journal has their ids\n" in err
    assert ["a-images: 0 of 2 saved, 2 detached", "to resume:", "  cometflux resume a-images"] == (
        err.splitlines()[-3:]
    )


@pytest.mark.parametrize(
    ("savers", "option"), [(2, "--workers 2"), ("tcp://host:8786", "--cluster tcp://host:8786"), (None, "")]
)
def test_the_command_that_resumes_has_the_same_processes_save(savers, option):
    assert f"cometflux resume tour {option}".strip() == resume_line(Path("tour"), RunOptions(savers=savers))


def test_interrupted_with_json_every_job_is_one_line_all_the_same(slow):
    write(*(f"fox {number}," for number in range(30)))
    running = start("batch a.csv --max-pending 4 --json")
    first = running.stdout.readline()
    running.send_signal(signal.SIGINT)
    out, _ = rest_of(running)
    assert 130 == running.returncode
    records = [json.loads(line) for line in [first, *out.splitlines()]]
    assert list(range(30)) == sorted(record["index"] for record in records)
    assert len(slow.bills) == sum(record["ok"] for record in records) < 30


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks the kernel what a process catches")
@pytest.mark.parametrize(("number", "code"), STOPS)
def test_a_signal_while_prompts_are_read_says_that_nothing_was_sent(number, code, service):
    skip_if_ignored(number)
    running = start("batch -", stdin=subprocess.PIPE)
    wait_until_it_waits(running)
    running.send_signal(number)
    _, err = rest_of(running)
    running.stdin.close()
    assert (code, "interrupted; nothing was sent\n") == (running.returncode, err)
    assert [] == service.bills


@pytest.mark.parametrize(("number", "code"), STOPS)
def test_a_signal_while_the_journal_is_planned_leaves_it_free(number, code, service, capsys, monkeypatch):
    skip_if_ignored(number)
    write("a fox,")
    rows = Draft.__iter__

    def interrupted(draft):
        yield from rows(draft)
        # The estimate reads the draft before the journal does.
        if Path("a-images").exists():
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Draft, "__iter__", interrupted)
    run("batch a.csv", code)
    assert "interrupted; nothing was sent by this run\n" == capsys.readouterr().err
    assert [] == service.bills
    with Journal("a-images") as journal:
        assert not journal.is_running


@pytest.mark.parametrize(("number", "code"), STOPS)
def test_a_signal_after_the_last_step_does_not_say_that_nothing_was_sent(number, code, service, capsys, monkeypatch):
    skip_if_ignored(number)
    write("a fox,")
    close = Screen.close

    def interrupted(screen):
        close(screen)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(Screen, "close", interrupted)
    run("batch a.csv", code)
    assert "1 picture in a-images" == capsys.readouterr().err.splitlines()[-1]
    assert 1 == len(service.bills)


@pytest.mark.parametrize("line", ["batch a.csv", "resume a-images"])
def test_a_signal_before_the_first_step_names_the_command_that_goes_on_with_what_is_bought(
    line, service, capsys, monkeypatch
):
    write("an owl,k")
    service.fail("drop", after=True)
    run("batch a.csv", 5)
    run(f"unknown a-images --adopt k={service.bills[0].id}")
    capsys.readouterr()
    monkeypatch.setattr(JournalWriter, "open", lambda _: os.kill(os.getpid(), signal.SIGINT))
    run(line, 130)
    assert [
        "interrupted; nothing was sent by this run",
        "a-images: 0 of 1 saved, 1 pending",
        "to resume:",
        "  cometflux resume a-images",
    ] == capsys.readouterr().err.splitlines()


def test_a_signal_behind_the_last_step_does_not_say_that_nothing_was_sent(service, capsys, monkeypatch):
    write("a fox,")
    monkeypatch.setattr(RunEnd, "_read_status", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    run("batch a.csv", 143)
    assert "nothing was sent" not in capsys.readouterr().err
    assert 1 == len(service.bills)
