"""The command at work, against the local service."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest
from command_process import start
from rich.console import Console
from waiting import PATIENCE, rest_of, wait_until

from cometflux import Journal, RetryPolicy
from cometflux.cli import main
from cometflux.cli.batch.statistics import write_report
from cometflux.cli.batch.summary import RunSummary
from cometflux.errors import ConnectError, OutputError, PredictionFailedError, UnknownSubmissionError
from cometflux.events import Accepted, Ended, Retried
from cometflux.jobs import Job
from cometflux.outcomes import Outcome, OutcomeKind
from cometflux.predictions import Prediction, Status

KEYS = [
    "index",
    "key",
    "kind",
    "ok",
    "model",
    "prompt",
    "prediction_id",
    "files",
    "expected",
    "error",
    "money",
    "resumed",
    "estimated_cost",
    "cost_basis",
    "tags",
]

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def service(serving):
    with serving(latency=0.05, pixels=4096) as service:
        yield service


def pictures(folder):
    return sorted(str(path) for path in Path(folder).glob("[0-9]*") if path.suffix != ".json")


def ids_in_journal():
    with Journal("images") as journal:
        return {each for record in journal.records() for each in record.prediction_ids}


# All is well.


def test_generate_prints_the_paths_and_says_last_where_the_pictures_are(service, capsys):
    assert 0 == main(["generate", "a fox", "an owl", "--num-outputs", "2"])
    out, err = capsys.readouterr()
    assert pictures("images") == sorted(out.splitlines())
    assert 4 == len(out.splitlines())
    assert "4 pictures in images" == err.splitlines()[-1]
    assert re.search(
        r"succeeded +2\nbought +2\nby estimate +\$0.006 \(catalogue as given\)\npictures +4\nelapsed +[0-9.]+ s\n", err
    )
    assert "\x1b" not in out + err


def test_options_reach_the_service_with_their_types(service):
    given = ["--model", "2-flex", "--steps", "7", "--guidance", "2", "--prompt-upsampling", "no", "--input", "seed=-3"]
    assert 0 == main(["generate", "a fox", "--aspect-ratio", "16:9", *given, "--out", "there"])
    (bill,) = service.bills
    expected = {"prompt": "a fox", "aspect_ratio": "16:9", "steps": 7, "guidance": 2, "prompt_upsampling": False}
    assert {**expected, "seed": -3} == dict(bill.input)
    assert "black-forest-labs/flux-2-flex" == bill.model
    assert 1 == len(pictures("there"))


def test_images_are_sent_as_data_uris(service, folder):
    assert 0 == main(["generate", "a fox", "--output-format", "png", "--out", "refs"])
    (reference,) = pictures("refs")
    arguments = ["--model", "2-pro", "--input-images", reference, "--input-images", "https://example.org/a.png"]
    assert 0 == main(["generate", "two foxes", *arguments])
    first, second = service.bills[-1].input["input_images"]
    assert first.startswith("data:image/png;base64,")
    assert "https://example.org/a.png" == second


def test_each_copy_has_its_own_seed(service):
    assert 0 == main(["generate", "a fox", "--count", "3", "--seed", "41"])
    assert [41, 42, 43] == sorted(bill.input["seed"] for bill in service.bills)


def test_a_batch_goes_to_a_folder_named_after_its_file(service, folder):
    (folder / "tour.csv").write_text("prompt,model,seed\na fox,dev,7\nan owl,,\n")
    assert 0 == main(["batch", "tour.csv"])
    bills = {bill.input["prompt"]: (bill.model, bill.input.get("seed")) for bill in service.bills}
    assert {
        "a fox": ("black-forest-labs/flux-dev", 7),
        "an owl": ("black-forest-labs/flux-schnell", None),
    } == bills
    assert ["tour-images/00000-a-fox.webp", "tour-images/00001-an-owl.webp"] == pictures("tour-images")


def test_prompts_come_from_stdin_one_per_line(service, monkeypatch):
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"a fox\n\nan owl\n")))
    assert 0 == main(["batch", "-"])
    assert ["stdin-images/00000-a-fox.webp", "stdin-images/00001-an-owl.webp"] == pictures("stdin-images")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["prompts.txt", "-"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [([], ["# a note", "#1 fan, cheering", "a fox # red"]), (["--comments"], ["a fox # red"])],
    ids=["without --comments", "with --comments"],
)
def test_lines_that_begin_with_a_hash_are_prompts_unless_comments_are_wanted(
    service, monkeypatch, folder, file, options, expected
):
    text = b"# a note\na fox # red\n  #1 fan, cheering\n"
    (folder / "prompts.txt").write_bytes(text)
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(text)))
    assert 0 == main(["batch", file, *options])
    assert expected == sorted(bill.input["prompt"] for bill in service.bills)


def test_json_is_one_record_per_outcome_with_the_same_keys_always(service, capsys):
    service.fail("failed")
    assert 1 == main(["generate", "a fox", "[red]an\x1b[31m \x85owl", "--json", "--max-pending", "1"])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\x85" not in out + err
    failed, succeeded = map(json.loads, out.splitlines())
    assert [KEYS, KEYS] == [list(failed), list(succeeded)]
    assert (0, "#00000", "failed", False, "a fox", [], "accepted") == tuple(
        failed[name] for name in ("index", "key", "kind", "ok", "prompt", "files", "money")
    )
    assert "flagged as sensitive" in failed["error"]
    assert {
        "index": 1,
        "key": "#00001",
        "kind": "succeeded",
        "ok": True,
        "model": "black-forest-labs/flux-schnell",
        "prompt": "[red]an\x1b[31m \x85owl",
        "prediction_id": service.bills[1].id,
        "files": pictures("images"),
        "expected": 1,
        "error": None,
        "money": "accepted",
        "resumed": False,
        "estimated_cost": "0.003",
        "cost_basis": "catalogue as given",
        "tags": {},
    } == succeeded


@pytest.mark.slow
def test_the_local_service_needs_no_key_and_says_that_nothing_is_paid(capsys, monkeypatch):
    monkeypatch.delenv("COMETAPI_KEY", raising=False)
    assert 0 == main(["generate", "a fox", "--local"])
    out, err = capsys.readouterr()
    assert pictures("images-local") == out.splitlines()
    expected = "the local service draws these pictures; nothing is sent to CometAPI, and nothing is charged"
    assert expected == err.splitlines()[0]
    assert "1 picture in images-local" == err.splitlines()[-1]


# Not all is well.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        ({"fault": "failed"}, "failed", "flagged as sensitive"),
        ({"fault": "canceled"}, "canceled", "was canceled"),
        ({"fault": "expired"}, "expired", "its output is gone"),
        ({"fault": "422"}, "rejected", "nothing is billed"),
        ({"fault": "output-404", "rate": 1.0}, "not saved", "the prediction is paid for (id "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_went_wrong_is_named_with_its_reason_and_the_exit_code_is_1(fault, kind, reason, service, capsys):
    service.fail(**fault)
    assert 1 == main(["generate", "a [bold]fox[/bold]\x1b[31m"])
    out, err = capsys.readouterr()
    assert "" == out
    assert "\x1b" not in err
    assert re.search(rf"#00000  {kind}  ", err)
    assert reason in " ".join(err.split())
    assert r"flux-schnell: a [bold]fox[/bold]\x1b[31m" in err
    assert "0 pictures in images" in err.splitlines()
    command = "resume" if kind in ("rejected", "not saved") else "failures"
    assert f"  cometflux {command} images" == err.splitlines()[-1]


def test_what_is_unknown_may_be_billed_and_is_not_repeated(service, capsys):
    service.fail("drop", after=True)
    assert 5 == main(["generate", "a fox", "an owl", "--max-pending", "1"])
    out, err = capsys.readouterr()
    assert 2 == len(service.bills)
    assert 1 == len(out.splitlines())
    assert "1 is unknown: it may be billed, and is not repeated" in err


@pytest.mark.slow
@pytest.mark.parametrize(("options", "times"), [([], 1), (["--quiet"], 0)], ids=["", "quiet"])
def test_without_a_terminal_it_is_said_once_that_there_is_no_connection(options, times, folder, capsys, monkeypatch):
    """Otherwise a run would be silent until it ends."""
    monkeypatch.setenv("COMETAPI_KEY", "sk-local")
    monkeypatch.setitem(RetryPolicy.__init__.__kwdefaults__, "wait", 0.01)
    assert 1 == main(["generate", "a fox", "an owl", *options])
    told = "cannot connect to 127.0.0.1:9 (connection refused); trying again"
    assert times == capsys.readouterr().err.splitlines().count(told)


def test_what_fails_alike_is_named_once(service, capsys):
    service.fail("failed", rate=1.0)
    assert 1 == main(["generate", *(f"fox {number}" for number in range(9))])
    err = " ".join(capsys.readouterr().err.split())
    assert 1 == err.count("flagged as sensitive")
    assert re.search(r"\(the same for (#\d{5}, ){3}#\d{5} and 4 others\)", err)


def test_one_other_is_one_other(service, capsys):
    service.fail("failed", rate=1.0)
    assert 1 == main(["generate", *(f"fox {number}" for number in range(6))])
    assert " and 1 other)" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "kind"), [("failed", "failed"), ("output-404", "not saved"), ("422", "rejected")])
@pytest.mark.parametrize("number", [5, 6, 15])
def test_the_report_names_each_job_with_a_problem_and_the_line_says_so(number, fault, kind, service, folder, capsys):
    Path("prompts.txt").write_text("".join(f"fox {each}\n" for each in range(number)))
    service.fail(fault, rate=1.0)
    assert 1 == main(["batch", "prompts.txt", "--out", "out"])
    problems = json.loads(Path("out", "report.json").read_text())["problems"]
    assert [(f"#{each:05d}", kind) for each in range(number)] == sorted((k, v["kind"]) for k, v in problems.items())
    assert all(each["error"] for each in problems.values())
    err = capsys.readouterr().err
    is_whole = all(key in err for key in problems)
    assert is_whole != ("report.json lists them all" in err)


def test_a_report_is_written_whatever_characters_the_service_sends(folder):
    path = write_report(folder, {"problems": {"#00000": {"error": "\ud83d \udc80 \x1b"}}})
    assert "\ud83d \udc80 \x1b" == json.loads(path.read_bytes())["problems"]["#00000"]["error"]


def test_every_id_that_is_paid_and_not_saved_is_in_the_journal(service, capsys):
    service.fail("output-404", rate=1.0)
    assert 1 == main(["generate", *(f"fox {number}" for number in range(15))])
    err = capsys.readouterr().err
    assert "… and 5 more; report.json lists them all" in err
    assert "15 predictions are paid and not saved; the journal has their ids" in err.splitlines()
    assert {bill.id for bill in service.bills} == ids_in_journal()


def test_a_picture_that_is_on_disk_though_its_saving_was_cut_off_is_counted(folder):
    """A thread may still write when a second Ctrl-C has left; the record beside the picture tells whose it is."""
    job = Job(model="black-forest-labs/flux-schnell", input={"prompt": "a fox"})
    summary = RunSummary(folder)
    for index, name in enumerate(("one", "two")):
        summary.watch(Accepted(key=name, index=index, prediction_id=name))
        prediction = Prediction(id=name, status=Status.SUCCEEDED, output=("https://example.org/a.png",))
        error = OutputError("the session was closed before the images were saved")
        summary.watch(Ended(key=name, index=index, kind=OutcomeKind.SUCCEEDED, prediction_id=name, error=error))
        values = {"index": index, "key": name, "job": job, "kind": OutcomeKind.SUCCEEDED}
        summary.add(Outcome(**values, prediction=prediction, error=error))
    (folder / "00000-a-fox.json").write_text('{"prediction": {"id": "one"}}')
    (folder / "notes.json").write_text("[]")
    summary.look_again()
    assert (1, ["two"]) == (summary.pictures, list(summary.owed))


def test_what_failed_and_was_bought_again_is_not_told_to_be_paid_and_not_saved(folder):
    summary = RunSummary(folder)
    summary.watch(Accepted(key="a", index=0, prediction_id="one"))
    failed = PredictionFailedError(Prediction(id="one", status=Status.FAILED))
    summary.watch(Retried(key="a", index=0, error=failed))
    summary.watch(Accepted(key="a", index=0, prediction_id="two"))
    assert ["two"] == list(summary.owed)


def test_what_is_bought_again_is_told_apart_from_what_never_left(folder):
    summary = RunSummary(folder)
    errors = [
        PredictionFailedError(Prediction(id="one", status=Status.FAILED)),
        UnknownSubmissionError("the connection broke", "it broke behind the last byte"),
        ConnectError("no connection came about"),
        PredictionFailedError(Prediction(id="two", status=Status.FAILED)),
    ]
    for job_id, error in enumerate(errors):
        summary.watch(Retried(key="a", index=0, error=error, job_id=job_id))
    # The last one never left.
    for job_id in range(3):
        summary.watch(Accepted(key="a", index=0, prediction_id=f"new {job_id}", job_id=job_id))
    shown = StringIO()
    for table in summary.tables(None):
        Console(file=shown).print(table)
    assert re.search(r"bought again +2\s+tried again to connect +1\n", shown.getvalue())


def test_fewer_pictures_than_asked_for_are_told_and_are_no_failure(service, capsys):
    service.fail("missing-image")
    assert 0 == main(["generate", "a fox", "--num-outputs", "2", "--json"])
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert (True, 2, 1) == (record["ok"], record["expected"], len(record["files"]))
    assert re.search(r"#00000  incomplete  1 of 2 pictures came back\n", err)
    assert "flux-schnell: a fox" in err


def test_a_refused_key_is_told_once_with_the_variable_that_holds_it(service, capsys):
    service.fail("401", rate=1.0)
    assert 3 == main(["generate", "a fox", "an owl"])
    err = capsys.readouterr().err
    assert 1 == err.count("HTTP 401")
    assert any(line.endswith("; check COMETAPI_KEY") for line in err.splitlines())


def test_a_disk_that_refuses_stops_the_batch_with_exit_code_3_and_the_ids(serving):
    with serving(latency=0.05, pixels=8_000_000) as service:
        import resource

        # Larger than the journal becomes, and smaller than any picture.
        limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (180_000, 180_000))
        prompts = [f"fox {number}" for number in range(8)]
        running = start("generate", *prompts, "--output-format", "png", "--max-pending", "2", preexec_fn=limit)
        out, err = running.communicate(timeout=PATIENCE)
        ids = {bill.id for bill in service.bills}
    assert (3, "") == (running.returncode, out)
    assert len(ids) < 8
    assert "error: the folder 'images' can no longer be written to\n" in err
    assert all(each in err for each in ids)
    assert ids == ids_in_journal()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("401", "HTTP 401"),
        ("402", "HTTP 402"),
        ("redirect", "redirect"),
        ("html", "text/html"),
    ],
)
def test_an_answer_that_dooms_all_others_stops_the_batch_with_exit_code_3(fault, message, service, capsys):
    service.fail(fault, rate=1.0)
    assert 3 == main(["generate", *(f"fox {number}" for number in range(9)), "--max-pending", "1", "--json"])
    out, err = capsys.readouterr()
    assert [] == service.bills
    assert list(range(9)) == sorted(json.loads(line)["index"] for line in out.splitlines())
    (error,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: the session stopped submitting, because ")
    assert message in error
    assert re.search(r"not sent +8\n", err)


def test_when_nobody_reads_stdout_any_more_the_pictures_are_saved_all_the_same(service):
    running = start("generate", *(f"fox {number}" for number in range(3)), "--max-pending", "1")
    running.stdout.readline()
    running.stdout.close()
    err = running.stderr.read()
    running.stderr.close()
    assert 0 == running.wait(PATIENCE)
    assert "3 pictures in images" == err.splitlines()[-1]
    assert 3 == len(pictures("images"))


def test_while_nobody_reads_stdout_the_pictures_are_saved_all_the_same(service):
    """A pipe holds 64 KiB; what is more waits for its reader, and the work does not."""
    prompts = [f"fox {number} {'x' * 30_000}" for number in range(6)]
    running = start("generate", *prompts, "--json", "--max-pending", "2")
    wait_until(lambda: len(pictures("images")) == 6)
    wait_until(lambda: running.stderr.readline().startswith("waiting for stdout to be read"))
    records = [json.loads(line) for line in running.stdout.read().splitlines()]
    assert (0, list(range(6))) == (running.wait(PATIENCE), sorted(record["index"] for record in records))


@pytest.mark.parametrize("second", [("stopping: ", "interrupted: "), ("interrupted: ",)], ids=["at once", "at the end"])
def test_while_nobody_reads_stdout_ctrl_c_twice_leaves(serving, second):
    with serving(latency=0.05, pixels=4096):
        prompts = [f"fox {number} {'x' * 30_000}" for number in range(40)]
        running = start("generate", *prompts, "--json", "--max-pending", "1")
        wait_until(lambda: len(pictures("images")) > 4)
        running.send_signal(signal.SIGINT)
        # Between two predictions nothing is owed, and then it waits for its reader alone, after all other lines.
        lines = iter(running.stderr.readline, "")
        said = [next(line for line in lines if line.startswith(second))]
        running.send_signal(signal.SIGINT)
        assert 130 == running.wait(PATIENCE)
    err = "".join([*said, *lines])
    assert "interrupted: " in err
    assert "Traceback" not in err
    assert "Fatal" not in err


# Ctrl-C.


def test_ctrl_c_waits_for_what_is_paid_and_says_what_was_bought(service):
    running = start("generate", *(f"fox {number}" for number in range(200)), "--max-pending", "2", "--json")
    first = running.stdout.readline()
    running.send_signal(signal.SIGINT)
    out, err = rest_of(running)
    assert 130 == running.returncode
    bought, saved = len(service.bills), len(pictures("images"))
    assert bought == saved < 200
    assert f"interrupted: {bought} predictions bought, {saved} pictures in images" in err.splitlines()
    assert "  cometflux resume images --max-pending 2" == err.splitlines()[-1]
    assert "Traceback" not in err
    records = [json.loads(line) for line in [first, *out.splitlines()]]
    assert list(range(200)) == sorted(record["index"] for record in records)
    assert bought == sum(record["ok"] for record in records)
    assert {"succeeded", "not_sent"} == {record["kind"] for record in records}


def test_a_second_ctrl_c_leaves_at_once_and_names_what_is_left_behind(serving):
    with serving(latency=60, pixels=4096) as service:
        running = start("generate", "a fox", "an owl")
        wait_until(lambda: len({each.path for each in service.requests if "/predictions/" in each.path}) == 2)
        running.send_signal(signal.SIGINT)
        stopping = running.stderr.readline().strip()
        assert stopping.startswith("stopping: ")
        assert len(stopping) < 80
        running.send_signal(signal.SIGINT)
        _, err = rest_of(running)
        assert 130 == running.returncode
        ids = sorted(bill.id for bill in service.bills)
    assert "Traceback" not in err
    paid = "interrupted: 2 predictions bought, 0 pictures in images; 2 predictions are paid and not saved"
    assert f"{paid}; the journal has their ids" in err.splitlines()
    assert "  cometflux resume images" == err.splitlines()[-1]
    assert set(ids) == ids_in_journal()


def test_two_quick_ctrl_c_lose_sight_of_no_prediction(service):
    """What was bought has its id in the journal, or is counted as unknown."""
    running = start("generate", *(f"fox {number}" for number in range(200)), "--max-pending", "20")
    for _ in range(8):
        running.stdout.readline()
    running.send_signal(signal.SIGINT)
    time.sleep(0.03)
    running.send_signal(signal.SIGINT)
    _, err = rest_of(running)
    assert 130 == running.returncode
    (line,) = [line for line in err.splitlines() if line.startswith("interrupted: ")]
    lost = {bill.id for bill in service.bills} - ids_in_journal()
    unknown = re.search(r"; (\d+) more may be, and (its id is|their ids are) not known", line)
    assert len(lost) <= (int(unknown[1]) if unknown else 0)
    assert f", {len(pictures('images'))} pictures in images" in line


def test_sigterm_is_ctrl_c_with_an_exit_code_of_its_own(service):
    running = start("generate", *(f"fox {number}" for number in range(200)), "--max-pending", "1")
    running.stdout.readline()
    running.terminate()
    _, err = rest_of(running)
    assert 143 == running.returncode
    assert any(line.startswith("interrupted: ") for line in err.splitlines())
    assert "  cometflux resume images --max-pending 1" == err.splitlines()[-1]


def test_an_interruption_of_the_imports_is_exit_code_130_without_a_traceback():
    program = (
        "import sys\n"
        "from cometflux.cli import main\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'cyclopts': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "sys.exit(main(['models']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE, check=False)
    assert (130, b"", b"") == (done.returncode, done.stdout, done.stderr)


# Streams that the shell closed, or that are full.


def run_in_shell(redirections, *arguments):
    """Run the command with its streams as the shell's *redirections* make them."""
    line = f'exec "$0" -m cometflux.cli "$@" {redirections}'
    done = subprocess.run(
        ["/bin/sh", "-c", line, sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("redirections", "expected"),
    [
        (">&-", ("", "1 picture in images")),
        ("2>&-", ("images/00000-a-fox.webp", "")),
        ("2>/dev/full", ("images/00000-a-fox.webp", "")),
        ("<&- >&- 2>&-", ("", "")),
    ],
)
def test_without_a_stream_the_pictures_are_made_and_saved_all_the_same(redirections, expected, service):
    code, out, err = run_in_shell(redirections, "generate", "a fox")
    assert (0, ["images/00000-a-fox.webp"]) == (code, pictures("images"))
    assert expected == (out.strip(), err.strip().rpartition("\n")[2])


def test_nothing_is_bought_for_json_that_has_nowhere_to_go(service):
    expected = "error: stdout is closed, so what --json prints would be lost\n"
    assert (2, "", expected) == run_in_shell(">&-", "generate", "a fox", "--json")
    assert [] == service.bills


def test_without_stdin_no_prompts_come_from_there(service):
    expected = "error: stdin is closed; give a file, or pipe the prompts in\n"
    assert (2, "", expected) == run_in_shell("<&-", "batch", "-")
    assert [] == service.bills


def test_data_that_cannot_be_written_is_exit_code_1_and_the_pictures_are_saved(service):
    code, _, err = run_in_shell(">/dev/full", "generate", "a fox", "--json")
    expected = "error: stdout cannot be written to (No space left on device); the work continues"
    assert (1, expected) == (code, err.splitlines()[0])
    assert ["images/00000-a-fox.webp"] == pictures("images")


@pytest.mark.parametrize("line", ["models --json", "balance --json", "unknown images --json", "gallery images --sheet"])
def test_a_list_that_cannot_be_written_is_one_line_and_exit_code_1(line, service):
    service.fail("drop", after=True)
    assert 5 == main(["generate", "a fox", "--max-pending", "1", "--count", "2"])
    assert (1, "", "error: [Errno 28] No space left on device\n") == run_in_shell(">/dev/full", *line.split())


def test_a_number_of_columns_that_is_0_is_unknown(service, capsys, monkeypatch):
    assert 0 == main(["generate", "a fox"])
    capsys.readouterr()
    for line in ("status images", "generate --help", "generate fox --dry-run"):
        monkeypatch.delenv("COLUMNS", raising=False)
        main(line.split())
        expected = capsys.readouterr()
        monkeypatch.setenv("COLUMNS", "0")
        assert 0 == main(line.split())
        assert expected == capsys.readouterr()


# The terminal.


def watched(monkeypatch, *arguments, **environment):
    """Run the command with stderr on a terminal, and return what it showed there."""
    for name, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    import pty

    ours, theirs = pty.openpty()
    running = start(*arguments, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    out, _ = running.communicate(timeout=PATIENCE)
    assert 0 == running.returncode
    return out, shown.decode()


def test_a_bar_lives_on_the_terminal_and_leaves_stdout_alone(service, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    out, shown = watched(monkeypatch, "generate", "a fox", "--count", "2", "--max-pending", "1")
    assert pictures("images") == sorted(out.splitlines())
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.search(r"[01]/2  \d:\d\d", plain)
    assert "1 pending, 0 succeeded" in plain
    assert "\x1b[32m" in shown


def test_no_color_is_obeyed(service, monkeypatch):
    _, shown = watched(monkeypatch, "generate", "a fox", NO_COLOR="1")
    assert "succeeded" in shown
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)


# The local service as a command.


def test_the_local_service_serves_until_it_is_stopped(monkeypatch):
    running = start("local-service", "--port", "0", "--key", "mine", "--latency", "0", "--fault", "failed")
    lines = [running.stdout.readline().removeprefix("export ").strip() for _ in range(2)]
    for line in lines:
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)
    assert "COMETAPI_KEY=mine" == lines[1]
    assert 1 == main(["generate", "a fox"])
    assert 0 == main(["generate", "a fox"])
    running.send_signal(signal.SIGINT)
    _, err = rest_of(running)
    assert 0 == running.returncode
    assert "the local service has stopped; predictions it would have billed: 2" == err.splitlines()[-1]


def test_a_port_that_is_taken_is_one_line_and_exit_code_3(service, capsys):
    port = service.origin.rpartition(":")[2]
    assert 3 == main(["local-service", "--port", port])
    expected = f"error: port {port} on 127.0.0.1 is in use; choose another, or 0 for any free port\n"
    assert ("", expected) == capsys.readouterr()
