"""No test depends on the machine being quick: what a test waits for comes at its own time, within `PATIENCE`."""

import ast
from pathlib import Path

import pytest
from waiting import PATIENCE

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent
CLOCKS = {"time.monotonic()", "time.perf_counter()", "time.time()"}
WAITS = {"wait", "join", "result", "communicate", "run", "get"}


def hurried(text):
    """Return the lines at which a slow machine would make a test fail."""
    return sorted({node.lineno for node in ast.walk(ast.parse(text)) if _is_hurried(node)})


def _is_hurried(node):
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_short(node.right) and ast.unparse(node.left) in CLOCKS
    if isinstance(node, ast.Compare):
        pairs = zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
        return any(
            _is_short(more) and _is_time(less)
            for left, op, right in pairs
            for less, more in [(left, right) if isinstance(op, ast.Lt | ast.LtE) else (right, left)]
        )
    # Bounds of asyncio are kept by the virtual clock.
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WAITS:
        bounds = [each.value for each in node.keywords if each.arg == "timeout"]
        return any(map(_is_short, [*node.args[:1], *bounds])) and "asyncio" not in ast.unparse(node.func)
    return False


def _is_time(node):
    return any(clock in ast.unparse(node) for clock in CLOCKS)


def _is_short(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and 0 < node.value < PATIENCE / 2


@pytest.mark.parametrize(
    "text",
    [
        "process.wait(10)",
        "process.communicate(timeout=20)",
        "subprocess.run(command, timeout=30)",
        "thread.join(timeout=5)",
        "future.result(1)",
        "assert time.monotonic() - began < 2",
        "assert 1 > time.perf_counter() - began",
        "give_up = time.monotonic() + 10",
    ],
)
def test_a_test_in_a_hurry_is_found(text):
    assert [1] == hurried(text)


@pytest.mark.parametrize(
    "text",
    [
        "process.wait(PATIENCE)",
        "await asyncio.wait([task], timeout=1)",
        "assert time.thread_time() - began < 2",
        "assert time.monotonic() - began < PATIENCE",
        "assert 14 < time.monotonic() - began",
        "time.sleep(0.1)",
        "', '.join(names)",
    ],
)
def test_a_test_that_waits_for_what_comes_is_not(text):
    assert [] == hurried(text)


def test_no_test_is_in_a_hurry():
    paths = [path for path in TESTS.rglob("*.py") if path.name != "waiting.py"]
    found = {str(path.relative_to(TESTS)): hurried(path.read_text(encoding="utf-8")) for path in paths}
    assert {} == {name: lines for name, lines in found.items() if lines}, "see tests/support/waiting.py"
