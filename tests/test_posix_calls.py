"""A test that needs a system of POSIX is known by its code."""

import contextlib
import os

import posix_calls
import pytest
from dying_process import in_child


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
        pytest.param([forks], "in_child", id="a helper that forks"),
        pytest.param([writes, "folder", lambda path: path.chmod(0)], "chmod", id="a call of a value"),
        pytest.param([writes, "symlink_to", 3], None, id="calls of every system"),
    ],
)
def test_what_needs_posix_is_found_in_the_code(functions, name):
    assert name == posix_calls.first_in(*functions)
