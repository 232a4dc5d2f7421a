"""The command puts records into pictures, tells how a picture was made, and leaves a manifest behind each run."""

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import forked_process
import pytest
from command_line import run
from waiting import PATIENCE, wait_until

from cometflux.provenance.embed import extract

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")


def write(*rows, header="prompt,key", name="a.csv"):
    Path(name).write_text("\n".join([header, *rows, ""]), encoding="utf-8")


def manifest(folder="a-images"):
    return [json.loads(line) for line in Path(folder, "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


# ── show ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("option", "where"), [("--embed", "in the picture"), ("", "next to the picture")])
def test_a_picture_is_shown_with_how_it_was_made(option, where, service, capsys):
    run(f'generate "a paper boat" --seed 7 --out out {option}')
    (picture,) = capsys.readouterr().out.split()
    run(f"show {picture}")
    out = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "prompt a paper boat" in out
    assert "seed 7" in out
    assert "model black-forest-labs/flux-schnell" in out
    assert f"read from the record {where}; the file is as it was saved" in out


def test_a_picture_without_a_key_shows_no_key(service, capsys):
    run('generate "a paper boat" --out out')
    (picture,) = capsys.readouterr().out.split()
    record = Path(picture).with_suffix(".json")
    record.write_text(json.dumps({**json.loads(record.read_text(encoding="utf-8")), "key": None}), encoding="utf-8")
    run(f"show {picture}")
    assert "key" not in [line.split()[0] for line in capsys.readouterr().out.splitlines()]


def test_as_json_it_is_one_object(service, capsys):
    run('generate "a paper boat" --embed --out out --json')
    outcome = json.loads(capsys.readouterr().out)
    run(f"show {outcome['files'][0]} --json")
    shown = json.loads(capsys.readouterr().out)
    assert outcome["prediction_id"] == shown["prediction"]["id"]
    assert ("a paper boat", True, True) == (shown["input"]["prompt"], shown["is_embedded"], shown["is_unchanged"])


def test_a_picture_sent_elsewhere_still_tells(service, capsys):
    run('generate "a paper boat" --embed --out out')
    Path(capsys.readouterr().out.strip()).rename("mine.webp")
    run("show mine.webp")
    assert "read from      the record in the picture" == capsys.readouterr().out.splitlines()[-1].rstrip()


@pytest.mark.parametrize("option", ["", "--json"])
def test_a_hostile_prompt_stays_text(option, service, capsys):
    write('"\x1b[2Jboom \u202e [red]x[/red]",')
    run("batch a.csv --embed")
    capsys.readouterr()
    (picture,) = Path("a-images").glob("*.webp")
    run(f"show {picture} {option}")
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.png", "the picture 'none.png' cannot be read: No such file or directory"),
        ("folder", "'folder' is not a file; give a picture"),
        ("text.png", "'text.png' is not a PNG, JPEG, WebP or GIF"),
        (
            "bare.gif",
            "no record says how 'bare.gif' was made: there is none in the picture, and none next to it (bare.json)",
        ),
    ],
)
def test_what_tells_nothing_is_one_line_and_exit_code_3(name, said, capsys):
    Path("folder").mkdir()
    Path("text.png").write_text("a boat")
    Path("bare.gif").write_bytes(b"GIF89a")
    run(f"show {name}", 3)
    out, err = capsys.readouterr()
    assert ("", f"error: {said}\n") == (out, err)


# ── --embed ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_batch_embeds_and_is_resumed_with_or_without(service, capsys):
    write("a fox,", "an owl,")
    run("batch a.csv --embed --limit 1", 4)
    assert "cometflux resume a-images --embed --limit 2\n" in capsys.readouterr().err
    run("resume a-images --limit 2")
    assert [False, True] == sorted(extract(path.read_bytes()) is not None for path in Path("a-images").glob("*.webp"))
    run("batch a.csv --embed")
    assert 2 == len(service.bills)
    assert 2 == len(list(Path("a-images").glob("*.webp")))


def test_what_has_no_room_for_its_record_is_told(service, capsys):
    Path("a.jsonl").write_text("".join(f'{{"prompt": "{"x" * 70_000}{n}", "output_format": "jpg"}}\n' for n in (1, 2)))
    run("batch a.jsonl --embed")
    said = "note: 2 pictures hold no record (the record is longer than 64 KiB, the limit in a JPEG)"
    assert f"{said}; the JSON file next to it says why\n" in capsys.readouterr().err
    assert 2 == len(service.bills)
    run("batch a.jsonl")
    assert "hold no record" not in capsys.readouterr().err


# ── the manifest ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_says_of_each_job_what_json_said(service, capsys):
    write("one,", "two,b", "three,", "four,", "five,", "six,")
    # The one whose answer is lost takes one of them.
    for fault in ("failed", "failed", "canceled", "422", "output-404"):
        service.fail(fault)
    service.fail("drop", after=True)
    run("batch a.csv --json --max-pending 1", 5)
    told = sorted(map(json.loads, capsys.readouterr().out.splitlines()), key=lambda each: each["index"])
    assert {"succeeded", "failed", "canceled", "rejected", "unknown"} == {each["kind"] for each in told}
    for before, line in zip(told, manifest(), strict=True):
        before["files"] = [Path(file).name for file in before["files"]]
        # Whoever comes to it later finds it bought.
        before["resumed"] = before["kind"] != "rejected"
        if before["kind"] == "rejected":
            # Its record has no prediction, and so no estimate.
            assert "0.00" == before["estimated_cost"]
            before |= {"estimated_cost": None, "cost_basis": None}
        assert before == {name: line[name] for name in before}


@pytest.mark.slow
def test_it_has_the_jobs_of_earlier_runs_and_those_that_were_not_sent(service):
    write("one,", "two,")
    run("batch a.csv --limit 1 --max-pending 1", 4)
    assert ["succeeded", "not_sent"] == [line["kind"] for line in manifest()]
    write("zero,", "one,", "two,")
    run("batch a.csv")
    assert [(0, "zero"), (1, "one"), (2, "two")] == [(line["index"], line["prompt"]) for line in manifest()]
    assert all(Path("a-images", file).is_file() for line in manifest() for file in line["files"])


def test_resuming_writes_it_again(service):
    write("one,", "two,")
    run("batch a.csv --limit 1 --max-pending 1", 4)
    Path("a-images/manifest.jsonl").unlink()
    run("resume a-images --limit 2")
    assert ["succeeded", "succeeded"] == [line["kind"] for line in manifest()]


def test_that_it_cannot_be_written_does_not_hide_how_the_run_ended(service, capsys):
    write("one,")
    service.fail("failed")
    for folder in ("a-images", "b-images"):
        for name in ("manifest.jsonl", "manifest.cometflux.jsonl"):
            Path(folder, name).mkdir(parents=True)
    run("batch a.csv", 1)
    assert "note: the manifest is as it was before: " in capsys.readouterr().err
    write("one,", "two,")
    run("batch a.csv --out b-images", 3)
    assert (
        "note: the manifest is as it was before: 'b-images/manifest.jsonl' could not be written"
        in capsys.readouterr().err
    )


@pytest.mark.hard
def test_an_interrupted_batch_has_one_too(monkeypatch, serving):
    with serving(latency=0.3, pixels=1024) as service:
        write(*(f"fox {number}," for number in range(30)))
        command = [sys.executable, "-m", "cometflux.cli", "batch", "a.csv", "--max-pending", "4"]
        monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
        running = forked_process.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: len(service.bills) >= 8)
            running.send_signal(signal.SIGINT)
            assert 130 == running.wait(PATIENCE)
        finally:
            with contextlib.suppress(OSError):
                running.kill()
            running.wait()
        kinds = [line["kind"] for line in manifest()]
        assert 30 == len(kinds)
        assert {"succeeded", "not_sent"} == set(kinds)
        assert len(service.bills) == kinds.count("succeeded")
