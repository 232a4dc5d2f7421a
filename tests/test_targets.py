"""`make test` and `make test-slow` divide the tests between them, and `make check` runs all of them."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import own_processes
import pytest
from waiting import PATIENCE

ROOT = Path(__file__).parents[1]
SLOW = {"slow", "processes", "slow processes"}
TARGETS = {
    "test": {"quick"},
    "test-slow": SLOW,
    "test-all": {"quick", *SLOW},
    "test-floors": {"quick", *SLOW},
    "test-backoff3": {"quick", *SLOW},
    "test-hard": {"hard", *(f"hard {each}" for each in SLOW)},
}


def expression(target):
    """Return which tests a target of the Makefile runs, in the words of pytest's -m."""
    recipe = re.search(rf"^{target}:.*\n((\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    return re.search('pytest .* -m "?([^"\n]+)"?$', recipe, re.MULTILINE)[1]


def kinds(chosen):
    """Return the kinds of tests that an expression chooses."""
    found = set()
    for marks in itertools.product([False, True], repeat=3):
        test = dict(zip(["hard", "slow", "processes"], marks, strict=True))
        if eval(chosen, {}, test):
            found.add(" ".join(name for name, has in test.items() if has) or "quick")
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_runs_its_kinds_of_tests_and_no_other(target):
    assert TARGETS[target] == kinds(expression(target))


def test_each_python_and_each_system_runs_what_a_check_runs():
    assert expression("test-all") == expression(r"\$\(PYTHONS:%=test-%\)")
    workflow = (ROOT / ".github/workflows/tests.yml").read_text()
    assert f'pytest -q -n auto -m "{expression("test-all")}"' in workflow


def test_a_check_runs_all_tests_but_those_that_take_minutes():
    needs = re.search("^check:(.*) ##", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert ["lint", "types", "docs", "test-all"] == needs.split()


HANGS = """
import threading

def test_that_hangs():
    threading.Event().wait()

def test_that_ends():
    pass
"""


def test_a_test_that_hangs_shows_where_and_the_others_are_run(tmp_path):
    (tmp_path / "test_two.py").write_text(HANGS)
    plugins = ["-p", "xdist", "-p", "pytest_asyncio", "-p", "no:randomly", "-p", "no:cacheprovider"]
    settings = ["-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, "-o", "faulthandler_timeout=2"]
    command = [sys.executable, "-m", "pytest", *plugins, *settings, "-n", "1", tmp_path]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert 1 == run.returncode
    assert "in test_that_hangs" in run.stderr
    assert re.search("crashed while running '.*test_that_hangs'", run.stdout)
    assert "1 failed, 1 passed" in run.stdout


def starts_a_program():
    subprocess.run([sys.executable, "-c", ""], check=True)


def uses_a_bucket():
    from s3_server import Bucket

    return Bucket


class Starter:
    def start(self):
        starts_a_program()


class Kind(Starter):
    pass


def uses_a_class():
    Kind().start()


def counts():
    return len([0])


@pytest.mark.parametrize(
    ("function", "is_known"),
    [
        (starts_a_program, True),
        (uses_a_bucket, True),
        (lambda: starts_a_program(), True),
        (uses_a_class, True),
        (counts, False),
    ],
)
def test_what_starts_a_program_is_known_by_its_code(function, is_known):
    assert is_known == (own_processes.first_in(function) is not None)


def test_a_test_that_starts_a_program_without_the_marker_fails(pytester):
    pytester.makeini("[pytest]\nmarkers = processes\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(
        """
        import subprocess, sys, pytest

        def test_without():
            subprocess.run([sys.executable, "-c", ""], check=True)

        @pytest.mark.processes
        def test_with():
            subprocess.run([sys.executable, "-c", ""], check=True)

        def test_in_one_process():
            pass
        """
    )
    result = pytester.runpytest_inprocess("-p", "own_processes", "-p", "no:randomly", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_without*", "*mark it with @pytest.mark.processes*"])
