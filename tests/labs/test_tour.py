"""The README's tour in a terminal, as a newcomer types it, with Ctrl-C in the middle."""

import html
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import PATIENCE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = re.search(r"^<!-- not run: tests/labs/test_tour.py.*?^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1]
COMMANDS = [line.removeprefix("$ ") for line in TOUR.splitlines()]

pytestmark = pytest.mark.realtime


class Terminal:
    """A terminal in a checkout: it types lines, and reads the output."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("COMET")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment |= {"PATH": path, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}

    def run(self, command, stop_after=None):
        """Run a line, and press Ctrl-C after *stop_after* pictures. Return the exit code and the output."""
        import pty

        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        shown, deadline = "", time.monotonic() + PATIENCE
        try:
            while time.monotonic() < deadline:
                ready, _, _ = select.select([ours], [], [], 0.1)
                if ready:
                    try:
                        shown += os.read(ours, 65536).decode(errors="replace")
                    except OSError:  # the terminal's error after the process has ended
                        break
                elif process.poll() is not None:
                    break
                if stop_after and len(self.pictures()) >= stop_after:
                    process.send_signal(signal.SIGINT)
                    stop_after = None
            return process.wait(PATIENCE), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown)
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    def pictures(self):
        return sorted(
            each for each in self.folder.glob("*-images/*") if each.suffix in (".webp", ".png", ".jpg", ".jpeg")
        )


@pytest.mark.hard
def test_the_tour_of_the_readme_works(tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    terminal = Terminal(tmp_path)
    batch, status, resume, gallery = COMMANDS

    code, shown = terminal.run(batch, stop_after=8)
    assert 130 == code, shown
    stopped = len(terminal.pictures())
    assert 8 <= stopped < 60
    assert resume in shown, "the command tells how to go on, in the README's words"

    code, shown = terminal.run(status)
    assert 0 == code
    assert re.search(r"planned +60\n", shown)
    assert re.search(rf"saved +{stopped}\n", shown)

    code, shown = terminal.run(resume)
    assert 0 == code, shown
    assert 60 == len(terminal.pictures())

    code, shown = terminal.run(gallery)
    assert 0 == code, shown
    page = tmp_path / shown.split()[-1]
    assert page.name == "index.html"
    text = page.read_text(encoding="utf-8")
    assert [] == [each.name for each in terminal.pictures() if each.name not in text]


def words(screen):
    """Return the different lines without numbers and colours: their order and times differ from run to run."""
    return {" ".join(re.sub(r"[\d.]+", "0", line).split()) for line in screen.splitlines()} - {""}


@pytest.mark.processes
def test_the_recorded_terminal_shows_what_the_commands_print_now():
    from benchmarks import terminal as recording

    picture = (ROOT / "docs" / "terminal.svg").read_text(encoding="utf-8")
    rows = re.findall(r'<text class="terminal-r\d+" x="(\d+)[^>]*>([^<]*)</text>', picture)
    shown = "".join(f"{'' if int(x) else chr(10)}{html.unescape(text)}" for x, text in rows)
    drawn = words(shown.replace("\xa0", " ")) - {"cometflux"}
    printed = words(re.sub(r"\x1b\[\d*m", "", recording.record()))
    assert set() == drawn - printed
    # On a busy machine Ctrl-C comes late, and more predictions were made than in the drawing.
    assert set() == {line for line in printed - drawn if not line.startswith(("polls", "noticed", "size", "at the"))}
