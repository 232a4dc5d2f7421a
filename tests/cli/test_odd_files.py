"""Whatever lies in a folder under a name of ours hides no other picture, and neither hangs nor breaks a command."""

import json
import re
import shlex
from pathlib import Path

import job_states
import memory_growth
import odd_files
import pytest

from cometflux.cli import main

pytestmark = [pytest.mark.usefixtures("polling_at_once"), pytest.mark.slow]

LONGEST = 10.0
"""Seconds for all commands on one folder."""
MOST = 400 * 1024 * 1024
"""Bytes of memory."""
NAMES = (
    *("x.png", "x.json", "manifest.jsonl", "report.json", "index.html", "cometflux.toml", "new.csv"),
    *("journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-shm", "journal.lock"),
)
NAMED = {"x.png", "x.json", "manifest.jsonl", "report.json", "index.html", "cometflux.toml", "new.csv", NAMES[7]}
"""Those that a person is told about; those next to the journal are SQLite's."""
QUICK = {("a pipe", name) for name in NAMES} | {(kind, "x.json") for kind in odd_files.KINDS}
CASES = [
    pytest.param(kind, name, id=f"{kind}-{name}", marks=[] if (kind, name) in QUICK else pytest.mark.hard)
    for kind in odd_files.KINDS
    for name in NAMES
    # Up to 1 GiB of a prompt file is read.
    if (kind, name) not in {("huge", "new.csv"), ("a link to a device", "new.csv"), ("a device", "new.csv")}
]
BROKEN = re.compile(r"Traceback|RecursionError|MemoryError|internal error|defect", re.IGNORECASE)


def fill(folder):
    """Make a folder with a saved job in its journal, and two pictures with records of their own."""
    folder.mkdir()
    job_states.write(folder, job_states.reach("saved", job_states.plan(0), folder))
    for name in ("x", "y"):
        (folder / f"{name}.png").write_bytes(job_states.picture())
        about = {"model": "m", "input": {"prompt": name}, "prediction": {"id": f"id-of-{name}"}}
        (folder / f"{name}.json").write_text(json.dumps({"file": f"{name}.png", "sha256": "", **about}))
    Path("new.csv").write_text("prompt\na boat\n")


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_an_odd_file_costs_no_other_picture_and_stops_no_command(kind, name, folder, service, capsys):
    out = folder / "out"
    fill(out)
    odd = folder / name if name in ("cometflux.toml", "new.csv") else out / name
    told = ""
    with odd_files.time_limit(LONGEST, folder), memory_growth.at_most(MOST):
        odd_files.put(kind, odd)
        for line in (
            *("status out", "unknown out", "gallery out", "show out/x.png", "show out/y.png", "show out/x.png --json"),
            *("resume out --yes", "batch new.csv --out out --gallery --embed --yes", "gallery out"),
        ):
            code = main(shlex.split(line))
            printed = capsys.readouterr()
            assert code in (0, 1, 2, 3), (line, printed)
            assert not BROKEN.search(printed.out + printed.err), (line, printed)
            assert code == 0 or printed.err.count("error: ") == 1, (line, printed)
            told += printed.out + printed.err
            if line == "show out/y.png" and name != "cometflux.toml":
                assert "id-of-y" in printed.out
    if name not in ("index.html", "cometflux.toml"):
        shown = (out / "index.html").read_text(encoding="utf-8")
        assert "x.png" in shown
        assert "id-of-y" in shown
    # A link in the place of a report is replaced: it holds nothing.
    if name in NAMED and not ("link" in kind and name in ("manifest.jsonl", "report.json")):
        assert name in told


@pytest.mark.parametrize("picture", odd_files.KINDS)
def test_an_odd_picture_with_an_odd_record_is_named_in_a_folder_without_a_journal(picture, folder, capsys):
    out = folder / "out"
    out.mkdir()
    with odd_files.time_limit(LONGEST, folder):
        odd_files.put(picture, out / "x.png")
        odd_files.put("a folder", out / "x.json")
        assert 0 == main(["gallery", "out"])
    printed = capsys.readouterr().err
    assert re.search(
        r"note: x\.json cannot be read \(.+\): x\.png (is shown without its details|cannot be shown either \(it)",
        printed,
    )
    assert "x.png" in (out / "index.html").read_text(encoding="utf-8")
