"""The web application among the examples, served by uvicorn and asked over HTTP."""

import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
from waiting import PATIENCE, wait_until

from cometflux.testing import LocalService

EXAMPLES = Path(__file__).parents[1] / "examples"
GUIDE = EXAMPLES.parent / "docs" / "guides" / "fastapi.md"
KEY = "sk-canary-4242424242"
IMPATIENT = httpx.Timeout(20, read=0.02)
JSON = {"content-type": "application/json"}

pytestmark = [pytest.mark.realtime, pytest.mark.slow]


def load():
    spec = importlib.util.spec_from_file_location("fastapi_app", EXAMPLES / "fastapi_app.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def local():
    with LocalService.in_thread(key=KEY, latency=0.02, pixels=4096) as service:
        yield service


@pytest.fixture
def example(local, tmp_path, monkeypatch):
    monkeypatch.setenv("COMETAPI_KEY", KEY)
    monkeypatch.setenv("COMETFLUX_BASE_URL", local.url)
    monkeypatch.chdir(tmp_path)
    return load()


@contextmanager
def serving(example):
    """Run the application on a thread; what comes is a client of it."""
    config = uvicorn.Config(example.app, port=0, log_level="warning", lifespan="on", timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        assert server.started, "the application did not start"
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive(), "the application did not end"


@pytest.fixture
def client(example):
    with serving(example) as client:
        yield client


def saved():
    return sorted(path.name for path in Path("pictures").glob("*.webp"))


# ── one picture ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_picture_is_answered_saved_and_can_be_fetched_again(local, client):
    answer = client.post("/pictures", json={"prompt": "ein Boot für Zoë", "aspect_ratio": "16:9"})
    assert (200, "image/webp") == (answer.status_code, answer.headers["content-type"])
    (name,) = saved()
    assert Path("pictures", name).read_bytes() == answer.content
    assert answer.content == client.get(answer.headers["content-location"]).content
    assert ["16:9"] == [bill.input["aspect_ratio"] for bill in local.bills]


@pytest.mark.hard
def test_the_same_wish_again_buys_nothing(local, client):
    first, second = (client.post("/pictures", json={"prompt": "a boat"}) for _ in range(2))
    assert first.content == second.content
    assert 1 == len(local.bills)


@pytest.mark.hard
def test_the_same_wish_of_several_at_once_is_bought_once(local, client):
    with ThreadPoolExecutor(6) as strangers:
        answers = [*strangers.map(lambda _: client.post("/pictures", json={"prompt": "a boat"}), range(6))]
    assert 1 == len({answer.content for answer in answers}) == len(local.bills)
    assert {200} == {answer.status_code for answer in answers}


@pytest.mark.hard
def test_a_restart_forgets_nothing(local, example):
    for _ in range(2):
        with serving(example) as client:
            assert 200 == client.post("/pictures", json={"prompt": "a boat"}).status_code
    assert 1 == len(local.bills)


def test_what_somebody_hung_up_on_is_saved_and_theirs_when_they_come_back(local, client):
    with pytest.raises(httpx.ReadTimeout):
        client.post("/pictures", json={"prompt": "a boat"}, timeout=IMPATIENT)
    wait_until(lambda: saved())
    assert 200 == client.post("/pictures", json={"prompt": "a boat"}).status_code
    assert 1 == len(local.bills)


# ── a set ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_set_is_told_of_line_by_line(local, client):
    wishes = [{"prompt": f"boat {number}"} for number in range(4)]
    local.fail("failed")
    answer = client.post("/sets", json=wishes)
    assert "application/x-ndjson" == answer.headers["content-type"]
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert {0, 1, 2, 3} == {line["index"] for line in lines}
    assert ["failed", "succeeded", "succeeded", "succeeded"] == sorted(line["kind"] for line in lines)
    for line in lines:
        assert [200] * (line["kind"] == "succeeded") == [client.get(url).status_code for url in line["pictures"]]
    (failed,) = [line for line in lines if line["kind"] == "failed"]
    assert ("PredictionFailedError", "accepted") == (failed["error"], failed["money"])


@pytest.mark.hard
def test_the_first_outcome_comes_before_the_last(client, local):
    wishes = [{"prompt": f"boat {number}"} for number in range(8)]
    times = []
    with client.stream("POST", "/sets", json=wishes) as answer:
        for _ in answer.iter_lines():
            times.append((len(saved()), time.monotonic()))
    assert 8 == len(times)
    assert times[0][1] < times[-1][1]


@pytest.mark.hard
def test_whoever_hangs_up_on_a_set_loses_nothing_that_was_bought(local, client):
    wishes = [{"prompt": f"boat {number}"} for number in range(8)]
    with client.stream("POST", "/sets", json=wishes) as answer:
        next(answer.iter_lines())
    wait_until(lambda: len(saved()) == len(local.bills))
    bought = len(local.bills)
    answer = client.post("/sets", json=wishes)
    assert 8 == len(answer.text.splitlines()) == len(saved()) == len(local.bills)
    assert bought >= 1


# ── what strangers may not ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_wrong_wish_is_refused_and_buys_nothing(local, client):
    wrong = [
        ("/pictures", {"prompt": ""}),
        ("/pictures", {"prompt": " "}),
        ("/pictures", {"prompt": "x" * 501}),
        ("/pictures", {"prompt": ["a boat"]}),
        ("/pictures", {"prompt": "a boat", "aspect_ratio": "17:3"}),
        ("/pictures", {"prompt": "a boat", "model": "black-forest-labs/flux-1.1-pro-ultra"}),
        ("/pictures", {"prompt": "a boat", "num_outputs": 4}),
        ("/pictures", {}),
        ("/sets", []),
        ("/sets", [{"prompt": "a boat"}] * 9),
        ("/sets", [{"prompt": "a boat"}, {"prompt": "a mill", "aspect_ratio": "17:3"}]),
    ]
    answers = [(route, body, client.post(route, json=body).status_code) for route, body in wrong]
    assert [(*each, 422) for each in wrong] == answers
    # Half of a pair of surrogates, which JSON can tell of and UTF-8 cannot.
    for body in (b'{"prompt": "\\ud800"}', b'{"prompt": "a boat", "\\ud800": 1}'):
        answer = client.post("/pictures", content=body, headers=JSON)
        assert (422, "InputError", "not_sent") == (answer.status_code, answer.json()["error"], answer.json()["money"])
    assert [] == local.bills


@pytest.mark.hard
def test_no_more_is_bought_than_the_operator_allows(local, example):
    example.MAX_PICTURES = 3
    for _ in range(2):
        with serving(example) as client:
            wishes = [{"prompt": f"boat {number}"} for number in range(8)]
            lines = [json.loads(line) for line in client.post("/sets", json=wishes).text.splitlines()]
            answer = client.post("/pictures", json={"prompt": "one more"})
            assert 503 == answer.status_code
            assert "nothing was charged; try again later" == answer.json()["detail"]
        assert 3 == sum(line.get("kind") == "succeeded" for line in lines)
        assert "the pictures without a line were not sent, and not charged" == lines[-1]["detail"]
        assert 3 == len(local.bills)


@pytest.mark.hard
def test_nothing_but_pictures_is_handed_out(client):
    client.post("/pictures", json={"prompt": "a boat"})
    assert {"00000-a-boat.json", "00000-a-boat.webp"} <= {path.name for path in Path("pictures").iterdir()}
    assert Path("purchases", "journal.sqlite3").exists()
    others = [
        *("00000-a-boat.json", "../purchases/journal.sqlite3", "..%2Fpurchases%2Fjournal.sqlite3", "%2Fetc%2Fpasswd"),
        *("missing.webp", ".webp", "..", "%00.webp", "%2e%2e%2f00000-a-boat.webp", f"{'x' * 300}.webp"),
    ]
    assert [(name, 404) for name in others] == [(name, client.get(f"/pictures/{name}").status_code) for name in others]


# ── when things go wrong ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.hard
@pytest.mark.parametrize(
    ("fault", "status", "error", "money"),
    [
        ("401", 503, "AuthenticationError", "rejected"),
        ("402", 503, "CreditError", "rejected"),
        ("422", 502, "RejectedError", "rejected"),
        ("failed", 502, "PredictionFailedError", "accepted"),
        ("output-404", 502, "OutputError", "accepted"),
        ("drop", 502, "UnknownSubmissionError", "unknown"),
    ],
)
def test_an_error_has_an_honest_status_and_no_more_than_a_stranger_may_know(
    local, client, caplog, fault, status, error, money
):
    local.fail(fault, after=fault == "drop")
    answer = client.post("/pictures", json={"prompt": "a boat"})
    assert (status, error, money) == (answer.status_code, answer.json()["error"], answer.json()["money"])
    assert KEY not in answer.text
    assert "127.0.0.1" not in answer.text
    assert [error] == [r.getMessage().partition(":")[0] for r in caplog.records if r.name == "fastapi_app"]
    assert KEY not in caplog.text
    assert len(local.bills) == (money in {"accepted", "unknown"})


def test_an_unknown_is_not_bought_again_however_often_it_is_asked_for(local, client):
    local.fail("drop", after=True)
    statuses = [client.post("/pictures", json={"prompt": "a boat"}).status_code for _ in range(3)]
    assert [502] * 3 == statuses
    assert 1 == len(local.bills)


@pytest.mark.hard
def test_a_stop_waits_for_what_is_bought(local, example):
    with serving(example) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/pictures", json={"prompt": "a boat"}, timeout=IMPATIENT)
        wait_until(lambda: local.bills)
    assert 1 == len(local.bills) == len(saved())


@pytest.mark.hard
def test_the_command_that_the_example_names_serves_and_stops(comet_service, tmp_path):
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "fastapi_app:app", "--port", "0"]
    environment = {**os.environ, "COMETAPI_KEY": comet_service.key, "COMETFLUX_BASE_URL": comet_service.url}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            line = next(line for line in server.stderr if "running on" in line)
            url = line.partition("running on ")[2].split()[0]
            assert 200 == httpx.post(f"{url}/pictures", json={"prompt": "a boat"}, trust_env=False).status_code
        finally:
            server.send_signal(signal.SIGTERM)
            _, said = server.communicate(timeout=PATIENCE)
    assert "Application shutdown complete" in said
    assert server.returncode in {0, -signal.SIGTERM}
    assert 1 == len(comet_service.bills)


def curl_lines():
    """Yield the guide's curl lines: the route and the body of each."""
    commands = re.findall(r"^\$ (curl .*)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    for words in map(shlex.split, commands):
        (url,) = [word for word in words if word.startswith("localhost:8000/")]
        yield url.removeprefix("localhost:8000"), words[words.index("-d") + 1]


def application_of_the_guide(example):
    shown = {}
    for code in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        exec(code, shown)
    return SimpleNamespace(app=shown["app"])


@pytest.mark.parametrize("choose", [lambda example: example, application_of_the_guide], ids=["example", "guide"])
def test_the_curl_lines_of_the_guide_work_with_the_example_and_with_the_code_of_the_guide(local, example, choose):
    """`example` sets the folder and the key."""
    assert ["/pictures", "/sets"] == [route for route, _ in curl_lines()]
    with serving(choose(example)) as client:
        picture, lines = [client.post(route, content=body, headers=JSON) for route, body in curl_lines()]
    assert [200, 200] == [picture.status_code, lines.status_code]
    assert b"RIFF" == picture.content[:4]
    assert ["succeeded", "succeeded"] == [json.loads(line)["kind"] for line in lines.text.splitlines()]
    assert 3 == len(local.bills)
