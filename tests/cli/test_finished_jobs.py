"""A folder whose jobs are finished, resumed: their images are looked at, and what is left is done as ever."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from command_line import run

from cometflux import Journal

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")

AGAIN = ("resume a-images", "batch a.csv")
COUNT = 6


@pytest.fixture
def without_prices(service):
    """No catalogue, so that no estimate reads the journal before jobs are drawn."""
    service.fail("html", on="catalogue", rate=1.0)


@pytest.fixture
def finished(service, capsys):
    """The paths of the pictures of a finished batch."""
    Path("a.csv").write_text("prompt,key\n" + "".join(f"a fox {number},k{number}\n" for number in range(COUNT)))
    run("batch a.csv")
    return sorted(capsys.readouterr().out.splitlines())


def report():
    """The report of the last run, without what differs between any two runs."""
    values = json.loads(Path("a-images/report.json").read_text())
    return {name: value for name, value in values.items() if name not in ("began_at", "ended_at", "elapsed")}


def replace_with_a_link(path):
    path.rename("elsewhere.webp")
    path.symlink_to(Path("elsewhere.webp").absolute())


# Finished.


@pytest.mark.slow
@pytest.mark.parametrize("line", AGAIN)
@pytest.mark.parametrize("option", ["--json", "-v", "--embed", "--log-json"])
def test_the_report_is_the_same_however_much_is_printed_of_each_job(option, line, finished):
    run(line)
    brief = report()
    run(f"{line} {option}")
    assert brief == report()
    assert (COUNT, COUNT, COUNT) == (brief["resumed"], brief["delivered"], brief["outcomes"]["succeeded"])


def test_they_are_printed_in_the_order_of_the_batch(finished, capsys):
    run("resume a-images")
    assert finished == capsys.readouterr().out.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("line", AGAIN)
def test_a_set_that_lacks_a_picture_is_told_each_time(line, service, capsys):
    service.fail("missing-image")
    Path("a.csv").write_text("prompt,key,num_outputs\na fox,k,2\nan owl,l,1\n")
    run("batch a.csv")
    first = report()["problems"]
    run(line)
    assert {"k"} == first.keys()
    assert first == report()["problems"]
    assert "1 of 2 pictures came back" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("line", AGAIN)
def test_a_job_that_was_made_twice_is_one_finished_job(line, finished, service, capsys):
    run("resume a-images --redo k3")
    capsys.readouterr()
    requests = len(service.requests)
    run(line)
    assert (COUNT, requests) == (len(capsys.readouterr().out.splitlines()), len(service.requests))


@pytest.mark.slow
@pytest.mark.parametrize("line", AGAIN)
def test_the_manifest_is_not_written_again(line, finished):
    before = Path("a-images/manifest.jsonl").stat()
    run(line)
    after = Path("a-images/manifest.jsonl").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


# Not finished any more.


@pytest.mark.slow
@pytest.mark.parametrize("line", AGAIN)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(Path.unlink, id="removed"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1]), id="cut"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), id="another byte"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes() + b"x"), id="longer"),
        pytest.param(lambda path: (path.unlink(), path.mkdir()), id="a folder"),
        pytest.param(replace_with_a_link, id="a link"),
    ],
)
def test_an_image_that_is_gone_or_changed_is_fetched_again_and_not_bought(change, line, finished, service, capsys):
    change(Path(finished[3]))
    run(line)
    out, err = capsys.readouterr()
    (mended,) = {*out.splitlines()} - {*finished} or {finished[3]}
    assert COUNT == len(out.splitlines()) == len(service.bills)
    assert Path(mended).is_file()
    assert not Path(mended).is_symlink()
    assert "nothing was left to do" not in err
    assert (COUNT, 1) == (report()["delivered"], report()["pictures"])
    run(line)
    assert f"nothing was left to do: {COUNT} pictures in a-images" == capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("line", AGAIN)
def test_only_what_is_left_is_bought(line, finished, service, capsys):
    with open("a.csv", "a") as file:  # noqa: PTH123 - appended to
        file.write("a hare,k6\nan owl,k7\n")
    run("batch a.csv --limit 7", 4)
    capsys.readouterr()
    run(f"{line} --limit 8")
    assert (8, 8) == (len(service.bills), len(capsys.readouterr().out.splitlines()))
    assert (8, 7, 1) == tuple(report()[name] for name in ("delivered", "resumed", "pictures"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    ["progress = 'damaged'", "progress = json_set(progress, '$.files[0].size', 'x')", "bought = 2", "plan = '[]'"],
)
def test_a_damaged_row_is_refused_and_hides_no_finished_job(change, without_prices, finished, service, capsys):
    with closing(sqlite3.connect("a-images/journal.sqlite3")) as database, database:
        database.execute(f"UPDATE jobs SET {change} WHERE place = 3")
    run("resume a-images", 3)
    out, err = capsys.readouterr()
    assert [path for path in finished if "00003" not in path] == out.splitlines()
    assert "damaged" in err
    assert COUNT == len(service.bills)


def test_a_place_that_cannot_be_looked_at_ends_each_job_once(finished, service, capsys, monkeypatch):
    async def refuse(*_):
        raise RuntimeError("no threads")

    monkeypatch.setattr("cometflux.storage.folder.Folder.check_each", refuse)
    run("resume a-images")
    assert finished == sorted(capsys.readouterr().out.splitlines())
    with Journal("a-images") as journal:
        assert COUNT == journal.status()["saved"] == len(service.bills)
