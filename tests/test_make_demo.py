"""``make demo``, in a copy of the checkout whose environment is the one that the tests run in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import PATIENCE

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")


@pytest.fixture
def checkout(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "prompts.csv").write_text("prompt\na fox\nan owl\n", encoding="utf-8")
    command = tmp_path / ".make" / "demo" / "bin" / "cometflux"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cometflux "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    (tmp_path / ".make" / "demo" / "ready").touch()
    return tmp_path


def make_demo(checkout):
    # One make that starts another one says so on stdout.
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment = {**own, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["make", "demo"], cwd=checkout, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


@pytest.mark.realtime
def test_the_demo_removes_nothing_and_names_the_next_step(checkout):
    own = checkout / "demo-images" / "holiday.jpg"
    own.parent.mkdir()
    own.write_bytes(b"a picture of mine")
    assert "next: open demo-images/index.html in a browser" in make_demo(checkout).splitlines()[-1]
    pictures = sorted(path for path in own.parent.iterdir() if path.suffix in {".webp", ".png", ".jpg"})
    assert 3 == len(pictures)
    assert b"a picture of mine" == own.read_bytes()
    assert "<html" in (own.parent / "index.html").read_text(encoding="utf-8")
    make_demo(checkout)
    assert pictures == sorted(path for path in own.parent.iterdir() if path.suffix in {".webp", ".png", ".jpg"})
