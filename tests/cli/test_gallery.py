"""The gallery of the command: `cometflux gallery`, and `--gallery` beside a batch."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked_process
import job_states
import pytest
from waiting import PATIENCE, wait_until

from cometflux.cli import main
from cometflux.cli.batch.keep_gallery import kept_gallery
from cometflux.cli.terminal.screen import Screen

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")


def write(*rows):
    Path("a.csv").write_text("\n".join(["prompt,key", *rows, ""]))


def statuses(path="out/index.html"):
    """Return where each job stands by the page; whether it says that a batch runs."""
    text = Path(path).read_text(encoding="utf-8")
    (data,) = re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)
    return [each["status"] for each in json.loads(data)], "data-refresh=" in text


# cometflux gallery


def test_the_path_of_the_page_is_data_and_all_else_is_talk(folder, capsys):
    (folder / "out").mkdir()
    job_states.write_states(folder / "out")
    (folder / "out" / "x.png").write_bytes(job_states.picture())
    (folder / "out" / "x.json").write_text("{torn")
    assert 0 == main(["gallery", "out"])
    out, err = capsys.readouterr()
    assert "out/index.html\n" == out
    assert "note: x.json is damaged: x.png is shown without its details\n" == err
    assert ([*job_states.STATES, "saved"], False) == statuses()


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (lambda folder: None, 3, "error: there is no folder 'out'"),
        (lambda folder: folder.mkdir(), 3, "error: there is nothing to show in 'out': no job in a journal"),
        (lambda folder: folder.touch(), 3, "error: 'out' is a file, not a folder"),
        (
            lambda folder: (folder.mkdir(), (folder / "journal.sqlite3").write_bytes(b"torn" * 200)),
            3,
            "error: 'out/journal.sqlite3' is not a journal of cometflux",
        ),
    ],
    ids=["no folder", "an empty folder", "a file", "a damaged journal alone"],
)
def test_what_cannot_be_shown_is_one_clear_error(make, code, said, folder, capsys):
    make(folder / "out")
    assert code == main(["gallery", "out"])
    out, err = capsys.readouterr()
    assert "" == out
    assert 1 == len(err.splitlines())
    assert err.startswith(said)
    assert not Path("out/index.html").exists()


def test_a_page_of_somebody_else_is_left_alone_and_nothing_is_bought(service, capsys):
    write("a fox,a")
    Path("out").mkdir()
    Path("out/index.html").write_text("<p>mine</p>")
    assert 3 == main(shlex.split("batch a.csv --out out --gallery"))
    assert "is not a page of cometflux and would be overwritten; move it away" in capsys.readouterr().err
    assert "<p>mine</p>" == Path("out/index.html").read_text()
    assert [] == service.bills


def test_without_the_extra_nothing_is_bought_and_the_extra_is_named(service, capsys):
    write("a fox,a")
    script = "import sys; sys.modules['jinja2'] = None; from cometflux.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "batch", "a.csv", "--out", "out", "--gallery"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert 3 == done.returncode
    assert 'error: the gallery needs an extra: pip install "cometflux[gallery]"\n' == done.stderr
    assert [] == service.bills


def test_the_command_and_its_help_start_without_the_template_engine():
    script = "import sys; from cometflux.cli import main; main(['--help']); sys.exit('jinja2' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert 0 == subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment).returncode


# --sheet


def write_states(folder):
    folder.mkdir()
    job_states.write_states(folder)


def test_the_path_of_each_sheet_is_data_and_a_picture_that_is_not_shown_is_named(folder, capsys):
    write_states(folder / "out")
    assert 0 == main(["gallery", "out", "--sheet"])
    out, err = capsys.readouterr()
    assert "out/contact-sheet.png\n" == out
    assert "note: 1 of 2 pictures is not shown:\n  00001-1.png: its file is missing\n" == err
    assert not Path("out/index.html").exists()


def test_the_chosen_pictures_are_written_where_one_likes(folder, capsys):
    write_states(folder / "out")
    (folder / "out" / "picks.jsonl").write_text('{"file": "00000-1.png", "mark": "star"}\n')
    before = sorted((folder / "out").iterdir())
    assert 0 == main(shlex.split("gallery out --sheet --picks --to best.png"))
    assert ("best.png\n", "") == capsys.readouterr()
    assert before == sorted((folder / "out").iterdir())


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("gallery out --picks", 2, "error: --picks goes with --sheet"),
        ("gallery out --to a.png", 2, "error: --to goes with --sheet"),
        ("gallery out --sheet --serve", 2, "error: --serve does not go with --sheet"),
        ("gallery out --sheet --port 80", 2, "error: --port does not go with --sheet"),
        ("gallery out --sheet --public-url https://a.example", 2, "error: --public-url does not go with --sheet"),
        ("gallery out --sheet --to s3://a/b.png", 2, "error: --to: 's3://a/b.png' is not a path on this machine"),
        ("gallery out --sheet --to https://a.example/b.png", 2, "error: --to: 'https://a.example/b.png' is not a path"),
        ("gallery out --sheet --to a.jpg", 3, "error: a contact sheet is a PNG, so the name of 'a.jpg' must end"),
        ("gallery out --sheet --picks", 3, "error: there is no file 'out/picks.jsonl'; choose pictures in the gallery"),
        ("gallery absent --sheet", 3, "error: there is no folder 'absent'"),
    ],
)
def test_a_sheet_that_cannot_be_made_is_one_clear_error(line, code, said, folder, capsys):
    write_states(folder / "out")
    before = sorted(folder.rglob("*"))
    assert code == main(shlex.split(line))
    out, err = capsys.readouterr()
    assert ("", 1) == (out, len(err.splitlines()))
    assert err.startswith(said)
    assert before == sorted(folder.rglob("*"))


def test_a_sheet_without_its_extra_names_it(folder, capsys, monkeypatch):
    write_states(folder / "out")
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert 3 == main(["gallery", "out", "--sheet"])
    assert 'error: a contact sheet needs an extra: pip install "cometflux[images]"\n' == capsys.readouterr().err


# --gallery


def test_a_batch_leaves_a_finished_page_of_all_that_became_of_it(service, capsys):
    write("a fox,a", "an owl,b", "a bear,c")
    service.fail("failed")
    assert 1 == main(shlex.split("batch a.csv --out out --gallery --max-pending 1"))
    assert (["failed", "saved", "saved"], False) == statuses()
    assert "the gallery is out/index.html" == capsys.readouterr().err.splitlines()[-1]
    assert 3 == len(service.bills)


def test_a_batch_without_the_option_writes_no_page(service):
    write("a fox,a")
    assert 0 == main(shlex.split("batch a.csv --out out"))
    assert not Path("out/index.html").exists()


def test_what_is_resumed_brings_the_page_up_to_date(service):
    write("a fox,a", "an owl,b")
    assert 4 == main(shlex.split("batch a.csv --out out --limit 1 --max-pending 1 --gallery"))
    assert (["saved", "waiting"], False) == statuses()
    assert 0 == main(shlex.split("resume out --gallery"))
    assert (["saved", "saved"], False) == statuses()


def test_a_page_that_cannot_be_written_at_the_end_is_told_and_stops_nothing(folder, capsys):
    (folder / "out").mkdir()
    job_states.write_states(folder / "out")
    with kept_gallery(Screen(), Path("out")):
        Path("out/index.html").mkdir()
    assert "error: the gallery: 'out/index.html' cannot be written: Is a directory\n" == capsys.readouterr().err


def test_an_error_before_the_first_step_is_not_followed_by_talk_of_a_page(service, capsys):
    write("a fox,a")
    assert 0 == main(shlex.split("batch a.csv --out out"))
    write("an owl,a")
    capsys.readouterr()
    assert 2 == main(shlex.split("batch a.csv --out out --gallery"))
    assert 1 == len(capsys.readouterr().err.splitlines())


@pytest.mark.hard
@pytest.mark.realtime
def test_the_page_is_kept_up_to_date_while_a_batch_runs_and_after_it_is_stopped(serving):
    with serving(latency=0.4, pixels=1024) as service:
        write(*(f"fox {number},{number}" for number in range(60)))
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        line = "batch a.csv --out out --gallery --max-pending 4"
        command = [sys.executable, "-m", "cometflux.cli", *line.split()]
        running = forked_process.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            wait_until(lambda: Path("out/index.html").exists())
            seen = set()

            def look():
                places, is_running = statuses()
                assert is_running
                seen.add(places.count("saved"))
                # Beside the run, and of the same mind.
                if len(seen) == 2:
                    assert 0 == main(["gallery", "out"])
                    assert statuses()[1]
                return len(seen) > 2

            wait_until(look)
            assert 60 == len(statuses()[0])
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=PATIENCE)
        finally:
            running.kill()
            running.wait()
        assert 130 == running.returncode
        assert err.splitlines()[-1] == "the gallery is out/index.html"
        places, is_running = statuses()
        assert not is_running
        assert 2 < places.count("saved") < 60
        assert len(list(Path("out").glob("*.webp"))) == places.count("saved")
        assert 0 == main(shlex.split("resume out --gallery"))
        assert (["saved"] * 60, False) == statuses()
        assert 60 == len(service.bills)


@pytest.mark.hard
@pytest.mark.realtime
def test_a_page_of_ten_thousand_jobs_costs_little_to_keep(folder):
    from cometflux.gallery import Gallery
    from cometflux.journal.writer import JournalWriter

    records = [job_states.plan(number, f"fox {number}") for number in range(10_000)]
    writer = JournalWriter(folder)
    writer.open()
    writer.commit(records)
    gallery = Gallery(folder)
    gallery.write()
    spent = []
    for turn in range(5):
        writer.commit(
            (), [job_states.succeed(each, folder, job_states.picture()) for each in records[turn * 50 : turn * 50 + 50]]
        )
        began = time.thread_time()
        gallery.write()
        spent.append(time.thread_time() - began)
    writer.close()
    print(f"the page of 10,000 jobs, 50 of them new: {min(spent):.2f} to {max(spent):.2f} s of CPU")
    assert 250 == statuses("index.html")[0].count("saved")
    assert min(spent) < 0.6
