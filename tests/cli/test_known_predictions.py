"""The commands for a prediction that is known by its id: its state, its end, its images."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from command_line import run

from cometflux import Journal
from cometflux.testing import Bill

pytestmark = [pytest.mark.usefixtures("folder", "polling_at_once"), pytest.mark.slow]


@pytest.fixture
def made(service, capsys):
    """Make a prediction as another program does, and return its id."""

    def make(options="", code=0, prompt="a paper boat"):
        run(f'generate "{prompt}" --out made {options}', code)
        capsys.readouterr()
        return service.bills[-1].id

    return make


def rows(text):
    return dict(line.rstrip().split(maxsplit=1) for line in text.splitlines() if not line.startswith(" "))


# ── get ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("option", ["", "--wait"])
def test_the_state_of_a_prediction_is_printed(option, service, made, capsys):
    prediction_id = made("--seed 7")
    run(f"get {prediction_id} {option}")
    shown = rows(capsys.readouterr().out)
    assert ("succeeded", "black-forest-labs/flux-schnell") == (shown["status"], shown["model"])
    assert ("a paper boat", "7", prediction_id) == (shown["prompt"], shown["seed"], shown["id"])
    assert shown["output"].startswith(service.origin)
    assert 1 == len(service.bills)


@pytest.mark.parametrize("option", ["", "--wait"])
def test_as_json_it_is_one_object_with_the_fields_of_a_prediction(option, made, capsys):
    prediction_id = made()
    run(f"get {prediction_id} --json {option}")
    shown = json.loads(capsys.readouterr().out)
    assert (prediction_id, "succeeded", 1) == (shown["id"], shown["status"], len(shown["output"]))
    assert "a paper boat" == shown["input"]["prompt"]
    assert {"model", "version", "error", "metrics", "created_at", "completed_at"} < shown.keys()


def test_a_prediction_that_runs_is_shown_as_it_is_or_waited_for(serving, capsys):
    with serving(latency=0.4, pixels=1024) as service:
        submit(service)
        prediction_id = service.bills[0].id
        run(f"get {prediction_id}")
        assert rows(capsys.readouterr().out)["status"] in ("starting", "processing")
        run(f"get {prediction_id} --wait")
        out, err = capsys.readouterr()
        assert "succeeded" == rows(out)["status"]
        assert "the prediction is not over; polling it until it is; Ctrl-C exits\n" == err


def submit(service):
    import asyncio

    from cometflux import open_session

    async def send():
        async with open_session(api_key=service.key, base_url=service.url) as session:
            return await session.submit("a paper boat")

    return asyncio.run(send())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("failed", "failed", "failed: "),
        ("canceled", "canceled", "was canceled"),
        ("expired", "succeeded", "its output is gone"),
    ],
)
@pytest.mark.parametrize("option", ["", "--wait", "--json"])
def test_a_prediction_without_an_image_is_shown_and_told_with_exit_code_1(
    option, fault, status, said, service, made, capsys
):
    service.fail(fault)
    prediction_id = made(code=1)
    run(f"get {prediction_id} {option}", 1)
    out, err = capsys.readouterr()
    shown = json.loads(out) if option == "--json" else rows(out)
    assert status == shown["status"]
    assert err.startswith(f"error: prediction {prediction_id} ")
    assert said in err
    assert 1 == len(err.splitlines())


def test_a_hostile_response_stays_text(service, made, capsys):
    prediction_id = made(prompt="\x1b[2Jboom \u202e [red]x[/red]")
    for option in ("", "--json"):
        run(f"get {prediction_id} {option}")
        out = capsys.readouterr().out
        assert "[red]x[/red]" in out
        assert not {"\x1b", "\u202e"} & {*out}


def test_ctrl_c_ends_the_wait_and_changes_nothing(serving, capsys):
    with serving(latency=30, pixels=1024) as service:
        prediction_id = submit(service)

        def press():
            while not any("GET" == each.method for each in service.requests):
                pass
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=press)
        thread.start()
        run(f"get {prediction_id} --wait", 130)
        thread.join()
        assert "" == capsys.readouterr().out


# ── save ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_images_of_a_prediction_are_saved_with_their_records_and_their_paths_printed(service, made, capsys):
    prediction_id = made("--num-outputs 2")
    run(f"save {prediction_id} --out out")
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [f"out/{prediction_id}-1.webp", f"out/{prediction_id}-2.webp"] == [str(path) for path in paths]
    for path in paths:
        record = json.loads(path.with_suffix(".json").read_text())
        assert (prediction_id, "a paper boat") == (record["prediction"]["id"], record["input"]["prompt"])
    assert not Path("out/journal.sqlite3").exists()
    run(f"save {prediction_id} --out out")
    assert paths == [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert 1 == len(service.bills)


def test_a_prediction_that_runs_is_waited_for_and_saved(serving, capsys):
    with serving(latency=0.3, pixels=1024) as service:
        run(f"save {submit(service)} --out out")
        out, err = capsys.readouterr()
        (line,) = out.splitlines()
        assert "the prediction is not over" in err
        assert Path(line).is_file()


@pytest.mark.parametrize("fault", ["502", "drop", "torn", "429"])
@pytest.mark.parametrize("line", ["get {} --wait", "save {} --out out"])
def test_a_transient_fault_of_the_first_poll_does_not_end_the_wait(line, fault, service, made):
    prediction_id = made()
    # The HTTP library repeats the request itself after a dropped connection.
    service.fail(fault, on="get", times=2)
    run(line.format(prediction_id))
    assert 1 == len(service.bills)


@pytest.mark.parametrize("loss", ["a picture", "nothing"])
def test_a_folder_whose_journal_knows_the_prediction_gets_the_names_of_its_batch(loss, service, capsys):
    Path("a.csv").write_text("prompt,key\na fox,f\nan owl,o\n")
    run("batch a.csv")
    paths = sorted(Path("a-images").glob("*.webp"))
    with Journal("a-images") as journal:
        ids = {record.key: record.prediction_id for record in journal.records()}
    before = paths[1].read_bytes()
    if loss == "a picture":
        paths[1].unlink()
        paths[1].with_suffix(".json").unlink()
    capsys.readouterr()
    run(f"save {ids['o']} --out a-images")
    assert f"{paths[1]}\n" == capsys.readouterr().out
    assert (before, paths) == (paths[1].read_bytes(), sorted(Path("a-images").glob("*.webp")))
    assert "o" == json.loads(paths[1].with_suffix(".json").read_text())["key"]
    run("status a-images --json")
    assert 2 == json.loads(capsys.readouterr().out)["saved"]
    assert 2 == len(service.bills)


def test_the_journal_learns_that_the_images_of_an_unsaved_prediction_are_saved(service, capsys):
    Path("a.csv").write_text("prompt,key\na fox,f\n")
    service.fail("output-404", times=2)
    run("batch a.csv", 1)
    run("save " + service.bills[0].id + " --out a-images", 1)
    assert "error: " in capsys.readouterr().err
    run("save " + service.bills[0].id + " --out a-images")
    capsys.readouterr()
    run("status a-images --json")
    assert 1 == json.loads(capsys.readouterr().out)["saved"]


def test_a_journal_that_does_not_know_the_prediction_is_left_as_it_is(service, made, capsys):
    prediction_id = made()
    Path("a.csv").write_text("prompt,key\na fox,f\n")
    run("batch a.csv")
    run(f"save {prediction_id} --out a-images")
    assert Path("a-images", f"{prediction_id}.webp").is_file()
    with Journal("a-images") as journal:
        assert ["f"] == [record.key for record in journal.records()]


def test_a_place_that_is_no_folder_is_told_before_anything_is_fetched(service, made, capsys):
    prediction_id = made()
    Path("taken").write_text("")
    run(f"save {prediction_id} --out taken", 3)
    assert "error: " in capsys.readouterr().err


def test_an_expired_output_is_one_sentence(service, made, capsys):
    service.fail("expired")
    prediction_id = made(code=1)
    run(f"save {prediction_id} --out out", 1)
    said = f"error: prediction {prediction_id} succeeded, but its output is gone; the service keeps outputs"
    assert capsys.readouterr().err.startswith(said)


# ── both ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

both = pytest.mark.parametrize("line", ["get {}", "get {} --json", "get {} --wait", "save {} --out out"])


@both
def test_an_id_that_no_prediction_can_have_is_exit_code_2(line, service, capsys):
    for bad in ("a/b", "../x", "''", "'a b'", "x" * 257):
        run(line.format(bad), 2)
        out, err = capsys.readouterr()
        assert ("", 1) == (out, len(err.splitlines()))
        assert err.startswith("error: ")
    assert [] == service.requests


@both
def test_without_a_key_it_is_exit_code_3(line, folder, monkeypatch, capsys):
    monkeypatch.delenv("COMETAPI_KEY", raising=False)
    run(line.format("abc"), 3)
    assert "error: there is no API key; set COMETAPI_KEY\n" == capsys.readouterr().err


@both
def test_an_id_of_nobody_is_named_with_exit_code_1(line, service, capsys, monkeypatch):
    monkeypatch.setattr("cometflux.engine.poller.LONGEST_REFUSAL", 0.1)
    run(line.format("nobodys"), 1)
    out, err = capsys.readouterr()
    *before, last = err.splitlines()
    assert ("", "error: the service does not know the prediction nobodys") == (out, last.partition(";")[0].strip())
    waits = (
        []
        if line in ("get {}", "get {} --json")
        else ["the service does not know the prediction yet; polling it for 30 s; Ctrl-C exits"]
    )
    assert waits == before


@both
def test_a_key_that_is_refused_is_exit_code_3(line, service, capsys, monkeypatch):
    monkeypatch.setattr("cometflux.engine.poller.LONGEST_REFUSAL", 0.1)
    monkeypatch.setenv("COMETAPI_KEY", "another")
    run(line.format("abc"), 3)
    assert "check COMETAPI_KEY" in capsys.readouterr().err


@both
def test_a_service_that_cannot_be_reached_is_told_without_a_word_about_money(line, folder, monkeypatch, capsys):
    monkeypatch.setenv("COMETAPI_KEY", "k")
    run(line.format("abc"), 1)
    assert "paid" not in capsys.readouterr().err


def test_a_bill_is_never_written(service, made, capsys):
    prediction_id = made()
    for line in ("get {}", "get {} --wait", "save {} --out out"):
        run(line.format(prediction_id))
    assert [prediction_id] == [bill.id for bill in service.bills if isinstance(bill, Bill)]
