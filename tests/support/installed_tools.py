"""Install other people's programs that test ours, once below ``.make/``, in folders named after their content."""

import contextlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKE = Path(__file__).parents[2] / ".make"
PATIENCE = 120
"""The time limit of an installation, in seconds."""


def python_with(requirement):
    """Return the Python of an environment with *requirement*; skip the test if it cannot be installed."""
    if importlib.util.find_spec("ensurepip") is None:
        pytest.skip("this Python makes no environments: it has no ensurepip")
    folder = MAKE / requirement.replace("==", "-")
    python = folder / "bin" / "python"
    with _whole(folder) as is_whole:
        if not is_whole:
            _run("venv", [sys.executable, "-m", "venv", folder])
            _run("pip", [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement])
    return python


def node_with(requirement):
    """Return the folder in which node finds *requirement*; skip the test if it cannot be installed."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} on this machine")
    folder = MAKE / f"npm-{requirement.replace('/', '-').replace('@', '-').strip('-')}"
    with _whole(folder) as is_whole:
        if not is_whole:
            folder.mkdir()
            _run(
                "npm",
                ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder, requirement],
            )
    return folder


@contextlib.contextmanager
def _whole(folder):
    """Yield whether *folder* is complete, and mark it complete on exit. Only one process at a time runs the block."""
    import fcntl

    MAKE.mkdir(exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = folder / "ready"
        if ready.exists():
            yield True
            return
        shutil.rmtree(folder, ignore_errors=True)
        yield False
        ready.touch()


def _run(program, command):
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.CalledProcessError as error:
        lines = [line for line in (error.stderr or error.stdout).splitlines() if "error" in line.lower()]
        reason = "; ".join(lines[:2])[:300] or f"it ends with code {error.returncode}"
        pytest.skip(f"{program} cannot install {command[-1]}: {reason}")
    except subprocess.TimeoutExpired:
        pytest.skip(f"{program} has not installed {command[-1]} within {PATIENCE} s")
