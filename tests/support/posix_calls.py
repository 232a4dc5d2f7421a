"""Which tests need a system of POSIX: those whose code names a call, a signal or a helper of such a system alone."""

import inspect
import types

_NAMES = {
    *("chmod", "flock", "fork", "geteuid", "getuid", "hardlink_to", "mkfifo", "setrlimit", "symlink", "symlink_to"),
    *("SIGHUP", "SIGKILL", "SIGSTOP", "SIGXFSZ", "add_signal_handler"),
    # A helper of ours that forks.
    "in_child",
}


def first_in(*values):
    """Return the first such name in the code of functions; None if there is none."""
    codes = [inspect.unwrap(value).__code__ for value in values if inspect.isfunction(value)]
    return min({name for code in codes for name in _names(code)} & _NAMES, default=None)


def _names(code):
    yield from (*code.co_names, *code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
