"""The tests of files and journals, as a suite that runs on the simulated Windows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.hard,
    pytest.mark.skipif(sys.platform != "linux", reason="the simulated Windows stands on Linux"),
]


@pytest.mark.parametrize("part", ["journal", "storage"])
def test_files_and_journals_keep_their_promises_on_a_simulated_windows(part, tmp_path):
    # A client of object stores and its servers bring calls of their own.
    left_out = ["--ignore", TESTS / "storage/test_object_store.py"]
    suite = [sys.executable, "-m", "pytest", "-p", "windows_double", "-q", "-m", "not hard", TESTS / part, *left_out]
    known = os.environ | {"SIMULATED_MACHINE": str(tmp_path / "machine"), "PYTHONPATH": str(TESTS / "support")}
    run = subprocess.run(suite, env=known, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert 0 == run.returncode, run.stdout[-8000:]
