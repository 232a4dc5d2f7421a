"""What is told of a run: its figures, the report in the folder, the log, and how much of it is wanted."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import forked_process
import pytest
from waiting import PATIENCE

from cometflux import flux
from cometflux.cli import main
from cometflux.cli.batch.statistics import RunStatistics, in_words, spread, write_report
from cometflux.cli.terminal.event_log import describe, sentence
from cometflux.errors import ConnectError, PredictionFailedError
from cometflux.events import Accepted, Ended, Polled, Retried, Saved, Submitted, Throttled
from cometflux.jobs import Job
from cometflux.outcomes import Outcome, OutcomeKind
from cometflux.predictions import Prediction, Status

pytestmark = pytest.mark.usefixtures("folder")

REPORT_KEYS = [
    *("began_at", "ended_at", "elapsed", "created", "delivered", "resumed", "unsaved", "outcomes", "pictures", "bytes"),
    *("retries", "throttles", "polls", "failed_polls", "time_at_service", "detection_delay"),
    *("jobs", "exit_code", "interrupted", "ended_by", "journal", "estimated_cost", "cost_basis", "without_price"),
    "problems",
]
JOB = Job(model="black-forest-labs/flux-schnell", input={"prompt": "a fox"})
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def service(serving):
    with serving(latency=0.05, pixels=256) as service:
        yield service


def prompts(folder, number):
    (folder / "p.txt").write_text("".join(f"fox {each}\n" for each in range(number)))


def report(folder="p-images"):
    return json.loads((Path(folder) / "report.json").read_text())


# The figures.


def run(figures, name, *, accepted, created, completed, noticed, monkeypatch):
    """Let a prediction pass by; times are seconds, *accepted* and *noticed* by our clock."""
    for at, event in (
        (accepted, Accepted(key=name, index=0, prediction_id=name)),
        (noticed, Polled(key=name, prediction_id=name, status=Status.SUCCEEDED)),
    ):
        monkeypatch.setattr(time, "time", lambda at=at: START.timestamp() + at)
        figures.watch(event)
    prediction = Prediction(
        id=name,
        status=Status.SUCCEEDED,
        created_at=START + timedelta(seconds=created),
        completed_at=START + timedelta(seconds=completed),
    )
    figures.add(Outcome(index=0, key=name, job=JOB, kind=OutcomeKind.SUCCEEDED, prediction=prediction))


def test_how_late_an_end_was_noticed_is_told_though_the_clocks_differ(monkeypatch):
    """The service's clock is an hour ahead; the quickest answer shows how far, but for what it took to come."""
    figures = RunStatistics()
    hour = 3600
    one = {"accepted": 0.1, "created": hour, "completed": hour + 5, "noticed": 6.1}
    two = {"accepted": 0.4, "created": hour, "completed": hour + 8, "noticed": 8.6}
    run(figures, "one", **one, monkeypatch=monkeypatch)
    run(figures, "two", **two, monkeypatch=monkeypatch)
    assert [1.0, 0.5] == [round(each, 3) for each in figures.delays()]
    assert {"count": 2, "p50": 5.0, "p95": 8.0} == figures.summary()["time_at_service"]
    assert {"count": 2, "p50": 0.5, "p95": 1.0} == figures.summary()["detection_delay"]


def test_a_service_that_tells_no_times_has_no_figures_of_time():
    figures = RunStatistics()
    figures.watch(Accepted(key="a", index=0, prediction_id="a"))
    figures.watch(Polled(key="a", prediction_id="a", status=Status.SUCCEEDED))
    prediction = Prediction(id="a", status=Status.SUCCEEDED)
    figures.add(Outcome(index=0, key="a", job=JOB, kind=OutcomeKind.SUCCEEDED, prediction=prediction))
    assert {"count": 0, "p50": None, "p95": None} == figures.summary()["time_at_service"]
    assert 1 == figures.summary()["created"]


def test_what_is_over_is_not_kept():
    """A hundred thousand predictions pass by, and two numbers of each stay."""
    figures = RunStatistics()
    for name in "abc":
        figures.watch(Accepted(key=name, index=0, prediction_id=name))
        figures.watch(Polled(key=name, prediction_id=name, status=Status.SUCCEEDED))
        prediction = Prediction(id=name, status=Status.SUCCEEDED)
        figures.add(Outcome(index=0, key=name, job=JOB, kind=OutcomeKind.SUCCEEDED, prediction=prediction))
    figures.watch(Accepted(key="d", index=0, prediction_id="d"))
    figures.watch(Retried(key="d", index=0, error=PredictionFailedError(Prediction(id="d", status=Status.FAILED))))
    assert ({}, {}) == (figures._accepted, figures._noticed)


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [([], None, None), ([3.0], 3.0, 3.0), ([2.0, 1.0], 1.0, 2.0), ([float(n) for n in range(1, 101)], 50.0, 95.0)],
    ids=["none", "one", "two", "a hundred"],
)
def test_half_and_95_percent_do_not_exceed_what_is_told(values, p50, p95):
    assert {"count": len(values), "p50": p50, "p95": p95} == spread(values)


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (2_540_000, "2.5 MB")]
)
def test_bytes_are_said_as_people_say_them(size, words):
    assert words == in_words(size)


# The report.


def test_a_batch_leaves_a_report_with_the_same_keys_always(service, folder):
    service.fail("failed")
    service.fail("429-silent")
    prompts(folder, 6)
    assert 1 == main(["batch", "p.txt", "--max-pending", "2"])
    values = report()
    assert REPORT_KEYS == list(values)
    told = {name: values[name] for name in ("jobs", "created", "delivered", "pictures", "throttles", "exit_code")}
    assert {"jobs": 6, "created": 6, "delivered": 5, "pictures": 5, "throttles": 1, "exit_code": 1} == told
    assert {kind.value for kind in OutcomeKind} == set(values["outcomes"])
    assert (5, 1) == (values["outcomes"]["succeeded"], values["outcomes"]["failed"])
    assert sum(path.stat().st_size for path in Path("p-images").glob("0*.webp")) == values["bytes"]
    assert (
        sum(request.method == "GET" and "/predictions/" in request.path for request in service.requests)
        == values["polls"]
    )
    assert 0.04 <= values["time_at_service"]["p50"] < 0.3
    assert 6 == values["detection_delay"]["count"]
    assert 5 == values["journal"]["saved"]


def test_a_run_that_has_nothing_to_do_says_so_in_its_report(service, folder):
    prompts(folder, 1)
    for _ in range(2):
        assert 0 == main(["batch", "p.txt"])
    values = report()
    assert (0, 1, 1, 0) == tuple(values[name] for name in ("created", "delivered", "resumed", "pictures"))
    assert 1 == len(service.bills)


def test_after_ctrl_c_the_report_is_there_and_whole(service, folder):
    prompts(folder, 300)
    running = forked_process.Popen(
        [sys.executable, "-m", "cometflux.cli", "batch", "p.txt", "--max-pending", "2", "--json"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    running.stdout.readline()
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=PATIENCE)
    values = report()
    assert 130 == running.returncode == values["exit_code"]
    assert (True, 300, len(service.bills)) == (values["interrupted"], values["jobs"], values["created"])
    assert values["journal"]["saved"] == len(service.bills)


def test_a_report_that_cannot_be_written_is_told_and_changes_nothing_else(service, folder, capsys):
    for name in ("report.json", "report.cometflux.json"):
        (folder / "p-images" / name).mkdir(parents=True)
    prompts(folder, 1)
    assert 0 == main(["batch", "p.txt"])
    err = capsys.readouterr().err
    assert (
        "error: p-images/report.json cannot be written (neither it nor report.cometflux.json is a file of cometflux"
        in err
    )
    assert "1 picture in p-images" in err
    assert not list(Path("p-images").glob(".cometflux-*"))


def test_the_report_that_was_there_stays_whole_where_a_new_one_does_not_fit_on_the_disk(folder):
    write_report(folder, {"began_at": "1"})
    program = (
        "import resource, sys, pathlib\n"
        "from cometflux.cli.batch.statistics import write_report\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "write_report(pathlib.Path('.'), {'a': 'x' * 1000})"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert {"began_at": "1"} == report(folder)
    assert ["report.json"] == [path.name for path in folder.iterdir()]


def test_generate_leaves_a_report_of_its_last_run_and_of_all_jobs_of_the_folder(service):
    for prompt in ("a fox", "an owl"):
        assert 0 == main(["generate", prompt])
    found = json.loads(Path("images/report.json").read_text())
    assert (1, 2) == (found["jobs"], found["journal"]["saved"])


def test_the_closing_table_tells_how_it_went_of_many_and_is_short_for_few(service, folder, capsys):
    prompts(folder, 6)
    assert 0 == main(["batch", "p.txt"])
    err = capsys.readouterr().err
    assert re.search(r"polls +\d+\nsize +[0-9]+ bytes\nelapsed ", err)
    assert re.search(r"at the service 0\.\d\d s each, 95 % of them within 0\.\d\d s\n", err)
    assert re.search(r"noticed \d\.\d\d s after the end, 95 % of them within \d\.\d\d s\n", err)
    assert 0 == main(["generate", "a fox"])
    err = capsys.readouterr().err
    assert ["succeeded", "bought", "by", "pictures", "elapsed", "1"] == [
        line.split()[0] for line in err.splitlines() if line
    ]


# The log.


EVENTS = [
    Submitted(key="a", index=1),
    Accepted(key="a", index=1, prediction_id="p"),
    Polled(key="a", prediction_id="p", status=None, error=ConnectError("no")),
    Throttled(seconds=1.23456),
    Retried(key="a", index=1, error=ConnectError("no connection came about")),
    Saved(key="a", prediction_id="p", files=(Path("x/a.webp"),), size=7),
    Ended(key="a", index=1, kind=OutcomeKind.SUCCEEDED, prediction_id="p", error=None),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_a_log_tells_every_field_of_an_event(event):
    name, values = describe(event)
    # A batch has each key once, and the attempts are for spans.
    told = {field.name for field in attrs.fields(type(event))} - {"job_id", "attempts"}
    renamed = {"size": "bytes"}
    assert type(event).__name__.lower() == name
    assert {renamed.get(each, each) for each in told} == set(values) - {"money"}
    json.dumps(values)


def test_an_event_is_a_sentence():
    assert "a saved prediction_id=p files=x/a.webp bytes=7" == sentence(EVENTS[5])
    assert "throttled seconds=1.235" == sentence(EVENTS[3])


def test_with_log_json_every_line_on_stderr_is_an_object_and_stdout_is_data(service, folder, capsys):
    service.fail("failed")
    prompts(folder, 2)
    assert 1 == main(["batch", "p.txt", "--log-json", "--max-pending", "1"])
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in err.splitlines()]
    assert 1 == len(out.splitlines())
    assert all(["at", "event"] == list(line)[:2] for line in lines)
    names = [line["event"] for line in lines]
    assert {"submitted", "accepted", "polled", "saved", "ended", "report", "note"} == set(names)
    assert 2 == names.count("ended")
    (closing,) = [line for line in lines if line["event"] == "report"]
    assert {**report(), "at": closing["at"], "event": "report"} == closing


def test_with_log_json_an_error_is_an_object_too(capsys, monkeypatch):
    monkeypatch.delenv("COMETAPI_KEY", raising=False)
    assert 3 == main(["generate", "a fox", "--log-json"])
    out, err = capsys.readouterr()
    assert ("", "error", "there is no API key; set COMETAPI_KEY, or try it with --local") == (
        out,
        json.loads(err)["event"],
        json.loads(err)["text"],
    )


@pytest.mark.hard
def test_a_log_that_nobody_reads_holds_up_nothing(service, folder):
    """A pipe holds 64 KiB; what is more waits for its reader, and the work does not."""
    (folder / "p.jsonl").write_text(
        "".join(json.dumps({"prompt": "fox", "key": f"{n}{'x' * 5000}"}) + "\n" for n in range(9))
    )
    reading, writing = os.pipe()
    running = forked_process.Popen(
        [sys.executable, "-m", "cometflux.cli", "batch", "p.jsonl", "--log-json"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
        stderr=writing,
    )
    os.close(writing)
    try:
        assert 0 == running.wait(PATIENCE)
    finally:
        running.kill()
        os.close(reading)
    assert 9 == report()["delivered"]


# How much.


def test_quiet_leaves_data_and_errors_only(service, capsys):
    assert 0 == main(["generate", "a fox", "-q"])
    out, err = capsys.readouterr()
    assert (1, "") == (len(out.splitlines()), err)
    service.fail("failed")
    assert 1 == main(["generate", "a fox", "--quiet"])
    out, err = capsys.readouterr()
    assert "" == out
    assert re.search(r"#00001  failed  .*flagged as sensitive", err)
    assert "elapsed" not in err


def test_quiet_does_not_keep_back_what_is_paid_and_not_saved(service, capsys):
    service.fail("output-404", rate=1.0)
    assert 1 == main(["generate", "a fox", "-q"])
    assert "1 prediction is paid and not saved; the journal has its id\n" in capsys.readouterr().err


def test_quiet_does_not_keep_back_what_is_unknown(service, capsys):
    service.fail("drop", after=True)
    assert 5 == main(["generate", "a fox", "-q"])
    assert "1 is unknown: it may be billed, and is not repeated" in capsys.readouterr().err


def test_verbose_tells_each_outcome_as_it_comes_and_twice_each_event(service, capsys):
    service.fail("failed")
    assert 1 == main(["generate", "a fox", "an owl", "-v", "--max-pending", "1"])
    err = capsys.readouterr().err
    assert re.search(r"^#00000 failed: .*flagged as sensitive", err, re.MULTILINE)
    assert "#00001 succeeded: an owl\n" in err
    assert "polled" not in err
    assert 0 == main(["generate", "a fox", "-vv"])
    err = capsys.readouterr().err
    assert re.search(r"^#00002 polled prediction_id=\w+ status=succeeded seconds=[\d.]+$", err, re.MULTILINE)
    assert "#00002 succeeded: a fox\n" in err


def test_quiet_and_verbose_exclude_each_other(capsys):
    assert 2 == main(["generate", "a fox", "-q", "-v"])
    assert "error: --quiet and --verbose exclude each other; leave one out\n" == capsys.readouterr().err


def test_the_command_leaves_the_logger_of_whoever_calls_it_as_it_was(service):
    log = __import__("logging").getLogger("cometflux")
    before = (list(log.handlers), log.level)
    assert 0 == main(["generate", "a fox", "-q"])
    assert before == (list(log.handlers), log.level)


def test_every_model_of_the_library_is_offered_to_a_shell():
    from cometflux.models.docs import complete_model

    assert len(flux.MODELS) == len(complete_model(None))
