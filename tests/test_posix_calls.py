"""A test that needs a system of POSIX is known by its code."""

import ast
import contextlib
import os
from pathlib import Path

import posix_calls
import pytest
from dying_process import in_child

pytestmark = pytest.mark.slow


def makes_a_pipe(path):
    os.mkfifo(path)


def links_within(path):
    def link():
        path.symlink_to("elsewhere")

    link()


def forks():
    with contextlib.suppress(OSError):
        in_child(lambda: 0)


def writes(path):
    path.write_bytes(os.urandom(8))


@pytest.mark.parametrize(
    ("functions", "name"),
    [
        pytest.param([makes_a_pipe], "mkfifo", id="a call"),
        pytest.param([links_within], "symlink_to", id="a call in a function inside"),
        pytest.param([forks], "fork", id="a helper that forks"),
        pytest.param([writes, "folder", lambda path: path.chmod(0)], "chmod", id="a call of a value"),
        pytest.param([writes, "symlink_to", 3], None, id="calls of every system"),
    ],
)
def test_what_needs_posix_is_found_in_the_code(functions, name):
    assert name == posix_calls.first_in(*functions)


def is_absent(name):
    module, _, called = name.partition(".")
    return (
        name in posix_calls.MODULES
        or (module == "os" and called in posix_calls.CALLS)
        or (module == "signal" and posix_calls.is_absent_signal(called))
    )


def named_at_import(source):
    """Return what the code of a module that runs when it is imported names and Windows does not have."""
    left, found = list(ast.parse(source).body), set()
    while left:
        node = left.pop()
        match node:
            case ast.Import():
                found |= {each.name for each in node.names}
            case ast.ImportFrom():
                found |= {node.module} | {f"{node.module}.{each.name}" for each in node.names}
            case ast.Attribute():
                found.add(ast.unparse(node))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                left += [*node.decorator_list, node.args]
                continue
            case ast.Lambda():
                left.append(node.args)
                continue
        left += ast.iter_child_nodes(node)
    return set(filter(is_absent, found))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import fcntl", {"fcntl"}),
        ("from pty import openpty", {"pty"}),
        ("class A:\n  KINDS = [os.mkfifo]", {"os.mkfifo"}),
        ("@each([signal.SIGKILL])\ndef f(): pass", {"signal.SIGKILL"}),
        ("def f(how=os.fork): pass", {"os.fork"}),
        ("def f():\n  import pty\n  os.fork()", set()),
        ("make = lambda path: os.mkfifo(path)", set()),
        ("signal.SIGINT, os.path.join", set()),
    ],
)
def test_what_a_module_needs_when_it_is_imported_is_found(source, found):
    assert found == named_at_import(source)


def test_every_test_can_be_imported_on_windows():
    # The first two make the simulated Windows, the third is a program to be run under strace.
    others = {"windows_double.py", "windows_locks.py", "traced_batch.py"}
    paths = [path for path in Path(__file__).parent.rglob("*.py") if path.name not in others]
    named = {path.name: named_at_import(path.read_text(encoding="utf-8")) for path in paths}
    assert {} == {name: found for name, found in named.items() if found}
