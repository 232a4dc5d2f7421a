"""What tests need of POSIX: the modules, calls and signals that other systems do not have, and who uses them.

A test needs a system of POSIX if its code, its values, its fixtures, or a helper of the tests that one of these uses
names a call, a signal or a module of such a system alone.
"""

# A list of names is easier to read as a text.
# ruff: noqa: SIM905

import functools
import inspect
import os
import re
import signal
import types
from pathlib import Path

import attrs

MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
CALLS = (
    "chown chroot confstr ctermid fchdir fchmod fchown fdatasync fork forkpty fpathconf fstatvfs get_blocking getegid "
    "geteuid getgid getgrouplist getgroups getloadavg getpgid getpgrp getpriority getresgid getresuid getsid getuid "
    "initgroups killpg lchown lockf major makedev minor mkfifo mknod nice openpty pathconf pipe2 posix_fadvise "
    "posix_fallocate posix_spawn posix_spawnp pread preadv pwrite pwritev readv register_at_fork sched_getaffinity "
    "sched_setaffinity sched_yield sendfile set_blocking setegid seteuid setgid setgroups setpgid setpriority setregid "
    "setresgid setresuid setreuid setsid setuid statvfs sync sysconf tcgetpgrp tcsetpgrp ttyname uname wait wait3 "
    "wait4 waitid writev"
).split()
SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}
"""Those that every system has."""
_NAMES = {
    *("chmod", "flock", "fork", "geteuid", "getrusage", "getuid", "hardlink_to", "killpg", "mkfifo", "openpty"),
    *("send_signal", "setitimer", "setrlimit", "set_blocking", "symlink", "symlink_to"),
    *("SIGHUP", "SIGKILL", "SIGSTOP", "SIGXFSZ", "add_signal_handler"),
}
_HELPERS = Path(__file__).parents[1]
_EVERYWHERE = {"forked_process"}
"""The helpers that have a way for other systems, too."""

IS_ROOT = getattr(os, "geteuid", lambda: 1)() == 0
"""Whether this process may read and write everything."""


def is_absent_signal(name):
    """Return whether this is the name of a signal that Windows does not have."""
    return re.fullmatch("SIG[A-Z0-9]+", name) is not None and name not in SIGNALS


def signals(*names):
    """Return those of the signals that this system has."""
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def first_in(*values):
    """Return the first name of POSIX in functions, in the values that they hold, and in what they call; else None."""
    return min(_found(values) & _NAMES, default=None)


def _found(values):
    found, seen, left = set(), set(), list(values)
    while left:
        value = left.pop()
        # Held here, so that no other value can get its id.
        if id(value) not in seen:
            seen.add(id(value))
            names, parts = _look(value)
            found |= names
            left += parts
    return found


def _look(value):
    """Return the names in the code of a value, and the values that it holds and uses."""
    if isinstance(value, functools.partial):
        return set(), [value.func, *value.args]
    if inspect.isbuiltin(value):
        return {value.__name__}, []
    if attrs.has(type(value)) and _is_ours(type(value)):
        return set(), attrs.astuple(value, recurse=False)
    if inspect.isclass(value) and _is_ours(value):
        return set(), vars(value).values()
    function = inspect.unwrap(value) if callable(value) else None
    if not inspect.isfunction(function) or not _is_ours(function):
        return set(), []
    names = set(_names(function.__code__))
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
    return names, [*cells, *(function.__globals__[name] for name in names if name in function.__globals__)]


def _is_ours(value):
    if value.__module__ in _EVERYWHERE:
        return False
    code = getattr(value, "__code__", None)
    file = code.co_filename if code else getattr(inspect.getmodule(value), "__file__", None)
    return file is not None and Path(file).is_relative_to(_HELPERS)


def _is_full(cell):
    try:
        cell.cell_contents  # noqa: B018 - whether it can be read is the question
    except ValueError:
        return False
    return True


def _names(code):
    yield from (*code.co_names, *code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
