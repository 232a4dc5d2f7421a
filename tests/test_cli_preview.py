"""Thumbnails on a terminal: what it can is asked of it, and whatever it answers holds nothing up."""

import os
import pty
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cometflux.cli import main
from cometflux.testing import LocalService

SIXEL_ANSWER = b"\x1b[6;20;10t\x1b[?62;4;22c"
KITTY_ANSWER = b"\x1b_Gi=31;OK\x1b\\\x1b[6;20;10t\x1b[?62;22c"
SIXEL, KITTY, BLOCK = b"\x1bP", b"\x1b_Ga=p", "▀".encode()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path


@pytest.fixture
def service(monkeypatch):
    with LocalService.in_thread(latency=0.0, pixels=4096) as service:
        monkeypatch.setenv("COMETFLUX_BASE_URL", service.url)
        monkeypatch.setenv("COMETAPI_KEY", service.key)
        yield service


def on_a_terminal(answer, *arguments, **streams):
    """Run the command on a terminal that answers so; return the code, what was shown, and how long it took."""
    ours, theirs = pty.openpty()
    began = time.monotonic()
    running = subprocess.Popen(
        [sys.executable, "-m", "cometflux.cli", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        # The terminal is its own, as behind a shell, so that it may be asked.
        preexec_fn=lambda: (os.setsid(), __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0)),
        **{"stdin": theirs, "stdout": theirs, "stderr": theirs, **streams},
    )
    os.close(theirs)
    shown = b""
    stop = threading.Event()
    try:
        while running.poll() is None or select.select([ours], [], [], 0.1)[0]:
            assert time.monotonic() < began + 25, shown[-500:]
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            shown += os.read(ours, 65536)
            if b"\x1b[c" in shown and not stop.is_set():
                stop.set()
                if answer:
                    threading.Thread(target=feed, args=(ours, answer), daemon=True).start()
    except OSError:  # the other end is closed
        pass
    finally:
        running.kill()
        running.wait()
    code, seconds = running.returncode, time.monotonic() - began
    os.close(ours)
    return code, shown, seconds


def feed(ours, answer):
    try:
        os.write(ours, answer)
    except OSError:
        return


@pytest.mark.parametrize(
    ("answer", "mark"),
    [
        pytest.param(SIXEL_ANSWER, SIXEL, id="sixel"),
        pytest.param(KITTY_ANSWER, KITTY, id="kitty", marks=pytest.mark.hard),
        pytest.param(b"\x1b[?62;22c", BLOCK, id="neither", marks=pytest.mark.hard),
    ],
)
def test_a_picture_is_shown_in_the_way_that_the_terminal_knows(answer, mark, service):
    code, shown, _ = on_a_terminal(answer, "generate", "a fox", "--preview")
    assert 0 == code
    assert 1 == shown.count(b"\x1b[c"), "the terminal is asked once, by us"
    assert mark in shown
    assert [mark] == [each for each in (SIXEL, KITTY, BLOCK) if each in shown]
    assert b"1 picture in images" in shown


@pytest.mark.hard
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x1b[?" + b"4" * 3000,
        b"\x1b[?" + b"4;" * 40_000,
        b"\xff\xfe\x00 what?",
        b"\x1b[6;0;0t\x1b[?62c",
        b"\x1b[6;999;999t\x1b[?62c",
        b"\x04",
    ],
    ids=["silent", "endless", "a flood", "garbage", "no size", "huge cells", "end of file"],
)
def test_a_hostile_terminal_holds_up_nothing(answer, service):
    code, shown, seconds = on_a_terminal(answer, "generate", "a fox", "--preview")
    assert 0 == code, shown
    assert b"1 picture in images" in shown
    assert 1 == len(list(Path("images").glob("*.webp")))
    assert b"Traceback" not in shown
    assert seconds < 12


@pytest.mark.hard
def test_without_preview_the_terminal_is_not_asked(service):
    _, shown, _ = on_a_terminal(b"", "generate", "a fox")
    assert b"\x1b[c" not in shown
    assert b"\x1b_G" not in shown


def test_where_stdout_is_no_terminal_there_is_nothing_but_data_on_it(service):
    reading, writing = os.pipe()
    code, shown, _ = on_a_terminal(b"", "generate", "a fox", "--preview", stdout=writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as out:
        assert (0, b"images/00000-a-fox.webp\n") == (code, out.read())
    assert b"note: --preview shows nothing here, since stdout is no terminal that can show it" in shown
    assert b"\x1b[c" not in shown
    assert BLOCK not in shown


@pytest.mark.hard
def test_without_colours_there_are_no_coloured_blocks(service, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    code, shown, _ = on_a_terminal(b"\x1b[?62;22c", "generate", "a fox", "--preview")
    assert 0 == code
    assert BLOCK not in shown
    assert b"note: --preview shows nothing here" in shown


def test_nothing_is_bought_where_the_extra_is_missing(service, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("textual_image")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual_image", None)
    assert 3 == main(["generate", "a fox", "--preview"])
    expected = 'error: --preview needs an extra: pip install "cometflux[cli,preview]"\n'
    assert ("", expected) == capsys.readouterr()
    assert [] == service.requests


def test_a_file_that_is_no_picture_is_passed_over(folder):
    """Shown from a thread of its own, which has to live on for the next one."""
    from cometflux.cli.preview import Abilities, Preview
    from cometflux.cli.screen import Screen

    drawn = []
    (folder / "bad.webp").write_bytes(b"no picture")
    picture(folder / "wide.png", (4000, 10))
    picture(folder / "tall.png", (10, 4000))
    preview = Preview(Screen(), lambda image, **size: drawn.append((image.size, size)) or "", Abilities())
    with preview:
        preview.show([folder / "bad.webp", folder / "gone.png", "s3://elsewhere/a.png"])
        preview.show([folder / "wide.png", folder / "tall.png"])
    assert [((780, 20), {"width": 78, "height": 1}), ((10, 200), {"width": 1, "height": 10})] == drawn


def picture(path, size):
    from PIL import Image

    Image.new("RGB", size, "red").save(path)
