"""The command at work, against the local service."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from cometflux.cli import main
from cometflux.testing import LocalService

KEYS = ["index", "key", "kind", "ok", "model", "prompt", "prediction_id", "files", "error", "money"]


started = []


@pytest.fixture(autouse=True)
def _nothing_left_running():
    yield
    while started:
        process = started.pop()
        process.kill()
        process.wait()
        for stream in filter(None, (process.stdout, process.stderr)):
            stream.close()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    # Where nobody listens, should a test forget its service.
    monkeypatch.setenv("COMETFLUX_BASE_URL", "http://127.0.0.1:9/replicate/v1")
    return tmp_path


@pytest.fixture
def service(monkeypatch):
    with LocalService.in_thread(latency=0.05, pixels=4096) as service:
        use(service, monkeypatch)
        yield service


def use(service, monkeypatch):
    monkeypatch.setenv("COMETFLUX_BASE_URL", service.url)
    monkeypatch.setenv("COMETAPI_KEY", service.key)


def pictures(folder):
    return sorted(str(path) for path in Path(folder).iterdir() if path.suffix != ".json")


def wait_until(condition):
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up, "it did not come about"
        time.sleep(0.02)


def start(*arguments, **options):
    process = subprocess.Popen(
        [sys.executable, "-m", "cometflux.cli", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )
    started.append(process)
    return process


# All is well.


def test_generate_prints_the_paths_and_says_last_where_the_pictures_are(service, capsys):
    assert 0 == main(["generate", "a fox", "an owl", "--num-outputs", "2"])
    out, err = capsys.readouterr()
    assert pictures("images") == sorted(out.splitlines())
    assert 4 == len(out.splitlines())
    assert "4 pictures in images" == err.splitlines()[-1]
    assert re.search(r"succeeded +2\npictures +4\nelapsed +[0-9.]+ s\n", err)
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


def test_json_is_one_record_per_outcome_with_the_same_keys_always(service, capsys):
    service.fail("failed")
    assert 1 == main(["generate", "a fox", "[red]an\x1b[31m owl\x85", "--json", "--max-pending", "1"])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\x85" not in out + err
    failed, succeeded = map(json.loads, out.splitlines())
    assert [KEYS, KEYS] == [list(failed), list(succeeded)]
    assert (0, "00000", "failed", False, "a fox", [], "accepted") == tuple(
        failed[name] for name in ("index", "key", "kind", "ok", "prompt", "files", "money")
    )
    assert "flagged as sensitive" in failed["error"]
    assert {
        "index": 1,
        "key": "00001",
        "kind": "succeeded",
        "ok": True,
        "model": "black-forest-labs/flux-schnell",
        "prompt": "[red]an\x1b[31m owl\x85",
        "prediction_id": service.bills[1].id,
        "files": pictures("images"),
        "error": None,
        "money": "accepted",
    } == succeeded


def test_the_local_service_needs_no_key_and_says_that_nothing_is_paid(capsys, monkeypatch):
    monkeypatch.delenv("COMETAPI_KEY", raising=False)
    assert 0 == main(["generate", "a fox", "--local"])
    out, err = capsys.readouterr()
    assert pictures("images") == out.splitlines()
    expected = "the local service draws these pictures; nothing is sent to CometAPI and nothing is paid"
    assert expected == err.splitlines()[0]
    assert "1 picture in images" == err.splitlines()[-1]


# Not all is well.


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
    assert re.search(rf"00000  {kind}  ", err)
    assert reason in " ".join(err.split())
    assert r"flux-schnell: a [bold]fox[/bold]\x1b[31m" in err
    assert "0 pictures in images" == err.splitlines()[-1]


def test_what_is_unknown_may_be_billed_and_is_not_repeated(service, capsys):
    service.fail("drop", after=True)
    assert 1 == main(["generate", "a fox", "an owl", "--max-pending", "1"])
    out, err = capsys.readouterr()
    assert 2 == len(service.bills)
    assert 1 == len(out.splitlines())
    assert "1 is unknown: it may be billed, and is not repeated" in err


def test_what_fails_alike_is_named_once(service, capsys):
    service.fail("failed", rate=1.0)
    assert 1 == main(["generate", *(f"fox {number}" for number in range(9))])
    err = " ".join(capsys.readouterr().err.split())
    assert 1 == err.count("flagged as sensitive")
    assert re.search(r"\(the same with (\d{5}, ){3}\d{5} and 4 others\)", err)


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
    assert 0 == running.wait(10)
    assert "3 pictures in images" == err.splitlines()[-1]
    assert 3 == len(pictures("images"))


# Ctrl-C.


def test_ctrl_c_waits_for_what_is_paid_and_says_what_was_bought(service):
    running = start("generate", *(f"fox {number}" for number in range(200)), "--max-pending", "2", "--json")
    first = running.stdout.readline()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=10)
    assert 130 == running.returncode
    bought, saved = len(service.bills), len(pictures("images"))
    assert bought == saved < 200
    assert f"interrupted: {bought} predictions bought, {saved} pictures in images" == err.splitlines()[-1]
    assert "Traceback" not in err
    records = [json.loads(line) for line in [first, *out.splitlines()]]
    assert list(range(200)) == sorted(record["index"] for record in records)
    assert bought == sum(record["ok"] for record in records)
    assert {"succeeded", "not_sent"} == {record["kind"] for record in records}


def test_a_second_ctrl_c_leaves_at_once_and_names_what_is_left_behind(monkeypatch):
    with LocalService.in_thread(latency=60, pixels=4096) as service:
        use(service, monkeypatch)
        running = start("generate", "a fox", "an owl")
        wait_until(lambda: len([request for request in service.requests if request.method == "GET"]) >= 2)
        running.send_signal(signal.SIGINT)
        assert "stopping: " in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=10)
        assert 130 == running.returncode
        ids = sorted(bill.id for bill in service.bills)
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("interrupted: 2 predictions bought, 0 pictures in images; not waited for, and paid: ")
    assert ids == sorted(last.rpartition(": ")[2].split(", "))


def test_sigterm_is_ctrl_c_with_an_exit_code_of_its_own(service):
    running = start("generate", *(f"fox {number}" for number in range(200)), "--max-pending", "1")
    running.stdout.readline()
    running.terminate()
    _, err = running.communicate(timeout=10)
    assert 143 == running.returncode
    assert err.splitlines()[-1].startswith("interrupted: ")


# The terminal.


def watched(monkeypatch, *arguments, **environment):
    """Run the command with stderr on a terminal, and return what it showed there."""
    for name, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
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
    out, _ = running.communicate(timeout=10)
    assert 0 == running.returncode
    return out, shown.decode()


def test_a_bar_lives_on_the_terminal_and_leaves_stdout_alone(service, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    out, shown = watched(monkeypatch, "generate", "a fox", "--count", "2", "--max-pending", "1")
    assert pictures("images") == sorted(out.splitlines())
    assert re.search(r"1 pending, [01] succeeded, [0-9]+/min", shown)
    assert "\x1b[32m" in shown


def test_no_color_is_obeyed(service, monkeypatch):
    _, shown = watched(monkeypatch, "generate", "a fox", NO_COLOR="1")
    assert "succeeded" in shown
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)


# The local service as a command.


def test_the_local_service_serves_until_it_is_stopped(monkeypatch):
    serving = start("local-service", "--port", "0", "--key", "mine", "--latency", "0", "--fault", "failed")
    lines = [serving.stdout.readline().removeprefix("export ").strip() for _ in range(2)]
    for line in lines:
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)
    assert "COMETAPI_KEY=mine" == lines[1]
    assert 1 == main(["generate", "a fox"])
    assert 0 == main(["generate", "a fox"])
    serving.send_signal(signal.SIGINT)
    _, err = serving.communicate(timeout=10)
    assert 0 == serving.returncode
    assert "the local service has stopped; predictions it would have billed: 2" == err.splitlines()[-1]


def test_a_port_that_is_taken_is_one_line_and_exit_code_3(service, capsys):
    port = service.origin.rpartition(":")[2]
    assert 3 == main(["local-service", "--port", port])
    expected = f"error: port {port} on 127.0.0.1 is in use; choose another, or 0 for any that is free\n"
    assert ("", expected) == capsys.readouterr()
