"""`cometflux gallery --serve` as a process: its output, its end and its errors."""

import json
import re
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import command_process
import job_states
import pytest
from waiting import PATIENCE

from cometflux.cli import main

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def foxes(folder):
    (folder / "out").mkdir()
    saved = job_states.succeed(job_states.plan(0), folder / "out", job_states.picture())
    job_states.write(folder / "out", saved)
    return folder / "out"


@pytest.mark.realtime
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_url_and_serves_until_it_is_told_to_stop(foxes, number):
    process = command_process.start("gallery", "out", "--serve")
    url = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", url)
    assert b"<!doctype html>" == urllib.request.urlopen(url).read()[:15]
    marks = f"{url}marks"
    body = b'{"file": "00000-1.png", "mark": "star"}\n'
    urllib.request.urlopen(urllib.request.Request(marks, body, {"Origin": "/".join(url.split("/")[:3])}))
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(f"{url[:-3]}/")
    refused.value.close()
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert (0, "") == (process.returncode, out)
    first, last = err.splitlines()
    assert "until Ctrl-C" in first
    assert "the gallery has stopped" == last
    assert url not in err
    assert body == Path("out/picks.jsonl").read_bytes()


@pytest.mark.realtime
def test_a_port_that_is_taken_is_one_clear_error(foxes, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert 3 == main(["gallery", "out", "--serve", "--port", str(taken.getsockname()[1])])
    out, err = capsys.readouterr()
    assert "" == out
    assert re.fullmatch(r"error: --port \d+: cannot listen on this port: .*in use.*\n", err)


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("marks", "told"),
    [
        ('{"file": "other.png", "mark": "star"}', "names 'other.png', which this folder has not saved"),
        ('{"file": "00000-1.png", "ma', "line 1: is cut off"),
    ],
    ids=["another folder's", "torn"],
)
def test_a_file_of_marks_that_is_wrong_is_one_clear_error_and_stays(foxes, capsys, marks, told):
    Path("out/picks.jsonl").write_text(marks)
    assert 3 == main(["gallery", "out", "--serve"])
    out, err = capsys.readouterr()
    assert "" == out
    assert 1 == len(err.splitlines())
    assert told in err
    assert marks == Path("out/picks.jsonl").read_text()


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["out", "--port", "80"], 2, "--port goes with --serve"),
        (["out", "--serve", "--port", "65536"], 2, "--port"),
        (["nowhere", "--serve"], 3, "there is no folder 'nowhere'"),
    ],
)
def test_what_cannot_be_served_is_one_clear_error(foxes, capsys, arguments, code, told):
    assert code == main(["gallery", *arguments])
    out, err = capsys.readouterr()
    assert ("", 1) == (out, len(err.splitlines()))
    assert told in err


@pytest.mark.parametrize(
    ("marks", "told", "counts"),
    [
        (None, None, None),
        ("", None, None),
        (
            '{"file": "00000-1.png", "mark": "star"}\n',
            "1 starred, 0 rejected in picks.jsonl",
            {"starred": 1, "rejected": 0},
        ),
        ("{torn", "'out/picks.jsonl', line 1: is cut off; copy the file once more, or remove this line", None),
    ],
)
def test_status_tells_how_many_pictures_are_marked(foxes, capsys, marks, told, counts):
    if marks is not None:
        Path("out/picks.jsonl").write_text(marks)
    assert 0 == main(["status", "out"])
    lines = capsys.readouterr().out.splitlines()
    assert ([told] if told else []) == [line for line in lines if "picks" in line]
    assert "no batch is running in this folder" == lines[-1]
    assert 0 == main(["status", "out", "--json"])
    out, err = capsys.readouterr()
    assert counts == json.loads(out).get("picks")
    assert ("" if counts or told is None else f"note: {told}\n") == err
