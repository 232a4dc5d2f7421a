"""What tests need of POSIX: the modules, calls and signals that other systems do not have, and who uses them.

A test needs a system of POSIX if its code, as `code_names` finds it, names a call, a signal or a module of such a
system alone.
"""

# A list of names is easier to read as a text.
# ruff: noqa: SIM905

import os
import re
import signal

import code_names

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


_search = code_names.Search(_NAMES, without=_EVERYWHERE)


def first_in(*values):
    """Return a name of POSIX in functions, in the values that they hold, or in what they call; else None."""
    return _search.first_in(values)
