"""The tests of many folders, as suites that run on the simulated Windows."""

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


PARTS = (
    *("account", "export", "gallery", "images", "journal", "models", "pacing", "polling", "protocol", "provenance"),
    *("sources", "storage"),
)


@pytest.mark.parametrize("part", PARTS)
def test_a_folder_of_tests_passes_on_a_simulated_windows(part, tmp_path):
    # A client of object stores and its servers, and Dask, bring calls of their own.
    left_out = [f"--ignore={TESTS / name}" for name in ("storage/test_object_store.py", "sources/test_dataframes.py")]
    suite = [sys.executable, "-m", "pytest", "-p", "windows_double", "-q", "-m", "not hard", TESTS / part, *left_out]
    known = os.environ | {"SIMULATED_MACHINE": str(tmp_path / "machine"), "PYTHONPATH": str(TESTS / "support")}
    run = subprocess.run(suite, env=known, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert 0 == run.returncode, run.stdout[-8000:]
