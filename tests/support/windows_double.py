"""Windows on a POSIX machine: the operating system's calls, with the refusals that this package meets on Windows.

The double stands below Python's own library, and is installed before any file of the package is imported. Nothing of
the package is replaced. `test_windows_double.py` holds how strict it is.

What it cannot be: paths keep their slashes, `os.name` stays, and SQLite and OpenSSL call the real system. So it shows
that the package works with Windows' refusals, and does not replace a run on Windows.

::

    python windows_process.py MACHINE ARGUMENT...     runs the command
    python windows_process.py MACHINE -c CODE         runs code; -a for code that needs the tool server

*MACHINE* is a folder that the processes of one machine share. The process does not see the other processes of the real
one: a file that they have open is not open there.
"""

# This is below pathlib, and lists of names are easier to read as texts.
# ruff: noqa: PTH100, PTH112, PTH118, PTH119, PTH120, PTH121, SIM905

import asyncio
import builtins
import contextlib
import errno
import fcntl
import importlib
import io
import os
import re
import select
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
import types
import unicodedata
import warnings
from pathlib import Path

import posix_calls
import windows_locks

real = types.SimpleNamespace(
    **{name: getattr(os, name) for name in dir(os) if callable(getattr(os, name))},
    io_open=io.open,
    select=select.select,
)
clocks = types.SimpleNamespace(monotonic=time.monotonic, time=time.time, info=time.get_clock_info)

O_BINARY, O_TEXT, O_NOINHERIT = 1 << 27, 1 << 26, 1 << 25
_OPEN_FLAGS = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_APPEND", "O_CREAT", "O_EXCL", "O_TRUNC"}
# Its number there; here it is the one of SIGTTIN.
SIGBREAK = signal.Signals(21)
_NO_SIGNAL_CALLS = (
    "alarm getitimer pause pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigwait".split()
)
_LIBRARIES = (
    "aiohttp.web attrs backoff cattrs.preconf.json cyclopts email.mime.multipart importlib.resources jinja2 mimetypes "
    "multiprocessing.connection platformdirs PIL.Image PIL.ImageDraw PIL.PngImagePlugin PIL.JpegImagePlugin "
    "PIL.WebPImagePlugin rich.console rich.live rich.progress rich.table rich.text sqlite3 ssl subprocess "
    "tomllib uuid webbrowser yaml"
).split()
_TEST_LIBRARIES = (
    "distributed duckdb fastapi hypothesis.stateful IPython mcp.server.stdio mcp_types moto.server nbclient nbformat "
    "opentelemetry.sdk.resources opentelemetry.sdk.trace pandas polars prometheus_client psutil pyarrow.parquet "
    "replicate uvicorn"
).split()
"""What tests import; their ways for Windows are not what is tested."""
_TICK = 1 / 64
"""The step of the clocks, in seconds."""
_BAD_NAME = r"""(?i).*[<>:"\\|?*\x00-\x1f]|.*[. ]$|(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)"""


def join(machine):
    """Make this process one of the *machine*, whose processes see each other's open files."""
    global _processes
    _processes = Path(machine)
    _processes.mkdir(parents=True, exist_ok=True)
    (_processes / str(os.getpid())).touch()


def install(*libraries):
    """Put the double below this process, and the processes that it forks, for good; import *libraries* before."""
    for name in (*_LIBRARIES, *libraries):
        importlib.import_module(name)
    # From Python 3.14 on, the first loop chooses the kind of all of them by the system.
    asyncio.new_event_loop().close()
    _take_away()
    _add()
    _replace_calls()
    warnings.filterwarnings("error", category=EncodingWarning)
    sys.platform = "win32"


_processes = None
longest_path = 32767
"""Characters of a path; 259 unless a setting of the machine allows more, as those that run suites do."""


def _take_away():
    for name in posix_calls.MODULES:
        sys.modules[name] = None
    for name in [name for name in dir(os) if name.startswith("O_") and name not in _OPEN_FLAGS]:
        delattr(os, name)
    for name in posix_calls.CALLS:
        if hasattr(os, name):
            delattr(os, name)
    for name in filter(posix_calls.is_absent_signal, dir(signal)):
        delattr(signal, name)
    for name in _NO_SIGNAL_CALLS:
        delattr(signal, name)
    # Python's own way on a system whose folders cannot be opened.
    shutil._use_fd_functions = shutil._USE_CP_SENDFILE = tempfile._O_TMPFILE_WORKS = False
    if hasattr(shutil, "_rmtree_impl"):
        # From Python 3.14 on.
        shutil._rmtree_impl = shutil._rmtree_unsafe
    tempfile.TemporaryFile = tempfile.NamedTemporaryFile


def _add():
    os.O_BINARY, os.O_TEXT, os.O_NOINHERIT = O_BINARY, O_TEXT, O_NOINHERIT
    signal.SIG_DFL, signal.SIG_IGN, signal.SIGBREAK = signal.Handlers.SIG_DFL, signal.Handlers.SIG_IGN, SIGBREAK
    sys.modules["msvcrt"] = windows_locks
    # From Python 3.13 on; as it is where there is no sched_getaffinity.
    os.process_cpu_count = os.cpu_count
    import ssl

    ssl.enum_certificates = lambda store: []


def _replace_calls():
    os.open, os.close, os.read, os.write, os.fsync = open_descriptor, close, read, write, fsync
    os.stat, os.lstat, os.access, os.listdir, os.scandir = stat_path, lstat, access, listdir, scandir
    os.rename, os.replace, os.remove, os.unlink, os.rmdir = rename, replace, remove, remove, rmdir
    os.mkdir, os.chmod, os.link, os.symlink, os.kill = mkdir, chmod, link, symlink, kill
    io.open = builtins.open = open_file
    signal.signal = set_signal
    select.select = select_sockets
    time.monotonic = lambda: clocks.monotonic() // _TICK * _TICK
    time.time = lambda: clocks.time() // _TICK * _TICK
    time.get_clock_info = _clock_info
    loop = asyncio.SelectorEventLoop
    _wake_by_signals(loop)
    for name in (
        "add_signal_handler remove_signal_handler add_reader add_writer "
        "create_unix_connection create_unix_server connect_read_pipe connect_write_pipe"
    ).split():
        setattr(loop, name, _not_there)


def _wake_by_signals(loop):
    """Let a signal wake the loops of the main thread, as the loops of Windows do."""
    make, close = loop.__init__, loop.close

    def make_woken(self, *args):
        make(self, *args)
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(self._csock.fileno())

    def close_woken(self):
        if not self.is_closed() and threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(-1)
        close(self)

    loop.__init__, loop.close = make_woken, close_woken


def _not_there(*_, **__):
    raise NotImplementedError


def _clock_info(name):
    found = clocks.info(name)
    if name in ("monotonic", "time"):
        found.resolution = _TICK
    return found


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def located(path):
    """Return the file that a path means: names are taken without regard to case.

    Raises:
        OSError: a name in it cannot exist on Windows.
    """
    if isinstance(path, int):
        return path
    text = os.fsdecode(path)
    if len(os.path.abspath(text)) > longest_path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), text)
    if "\0" in text or _is_there(text):
        _check_names(text)
        return text
    folder, name = os.path.split(text.rstrip("/"))
    folder = located(folder) if folder else ""
    if name not in ("", ".", ".."):
        _check_names(name)
        with contextlib.suppress(OSError):
            for other in real.listdir(folder or "."):
                if _folded(other) == _folded(name):
                    name = other
    return os.path.join(folder, name)


def _check_names(text):
    for name in text.split("/"):
        if name not in ("", ".", "..") and "\0" not in name and re.match(_BAD_NAME, name):
            error = OSError(errno.EINVAL, f"no file can have the name {name!r}", text)
            # By this number pathlib knows that there can be no such file.
            error.winerror = 123
            raise error


def _folded(name):
    # Unlike macOS, Windows does not take two forms of Unicode for the same.
    return unicodedata.normalize("NFC", name).upper() if name.isascii() else name.upper()


def _is_there(path):
    try:
        real.lstat(path)
    except OSError:
        return False
    return True


# ── open files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_unused(path):
    """Refuse to rename or remove what some process has open: nothing here opens files so that others may."""
    found = real.lstat(path)
    if not stat.S_ISDIR(found.st_mode) and not found.st_mode & stat.S_IWUSR:
        raise PermissionError(errno.EACCES, "the file is read-only", path)
    below = f"{os.path.realpath(path)}/"
    if any(_is_same(handle, found, below) for process in real.listdir(_processes) for handle in _handles(process)):
        raise PermissionError(errno.EACCES, "the file is in use by a process", path)


def _handles(process):
    # A process that has ended has none.
    with contextlib.suppress(OSError):
        return [f"/proc/{process}/fd/{number}" for number in real.listdir(f"/proc/{process}/fd")]
    return []


def _is_same(handle, found, below):
    with contextlib.suppress(OSError):
        opened = real.stat(handle)
        return (opened.st_dev, opened.st_ino) == (found.st_dev, found.st_ino) or real.readlink(handle).startswith(below)
    return False


_texts = set()
"""The descriptors that translate line ends, as all do that are not opened otherwise."""


def open_descriptor(path, flags, mode=0o777):
    path = located(path)
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "a folder cannot be opened", path)
    ours = O_BINARY | O_TEXT | O_NOINHERIT
    descriptor = real.open(path, flags & ~ours, 0o666 if mode & 0o200 else 0o444)
    (_texts.discard if flags & O_BINARY else _texts.add)(descriptor)
    return descriptor


def open_file(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
    if isinstance(file, int):
        _texts.discard(file)
    elif os.path.isdir(file := located(file)) and opener is None:
        raise PermissionError(errno.EACCES, "a folder cannot be opened", file)
    if "b" not in mode:
        encoding = io.text_encoding(encoding, 2)
        if newline is None and mode.strip("rt"):
            newline = "\r\n"
    return real.io_open(file, mode, buffering, encoding, errors, newline, closefd, opener)


def close(descriptor):
    _texts.discard(descriptor)
    windows_locks.release(descriptor)
    real.close(descriptor)


def read(descriptor, count):
    windows_locks.check(descriptor, count)
    data = real.read(descriptor, count)
    return data.partition(b"\x1a")[0].replace(b"\r\n", b"\n") if descriptor in _texts else data


def write(descriptor, data):
    windows_locks.check(descriptor, len(data))
    if descriptor not in _texts:
        return real.write(descriptor, data)
    real.write(descriptor, bytes(data).replace(b"\n", b"\r\n"))
    return len(data)


def fsync(descriptor):
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & 3 == os.O_RDONLY:
        raise OSError(errno.EBADF, "only a file that can be written to is flushed")
    real.fsync(descriptor)


# ── folders and their entries ────────────────────────────────────────────────────────────────────────────────────────


def stat_path(path, *, follow_symlinks=True):
    return real.stat(located(path), follow_symlinks=follow_symlinks)


def lstat(path):
    return real.lstat(located(path))


def access(path, mode):
    return real.access(located(path), mode)


def listdir(path="."):
    return real.listdir(located(path))


def scandir(path="."):
    return real.scandir(located(path))


def rename(source, target):
    source, taken = located(source), located(target)
    is_there = _is_there(taken)
    if is_there and not os.path.samefile(source, taken):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, taken)
    _check_unused(source)
    if is_there or os.path.isdir(source):
        real.rename(source, os.path.join(os.path.dirname(taken), os.path.basename(os.fspath(target))))
    else:
        # Two processes may do this at once, and only one of them may have the name.
        real.link(source, taken)
        real.remove(source)


def replace(source, target):
    source, target = located(source), located(target)
    _check_unused(source)
    if _is_there(target):
        if os.path.isdir(target):
            raise PermissionError(errno.EACCES, "a folder cannot be replaced", target)
        _check_unused(target)
    real.replace(source, target)


def remove(path):
    path = located(path)
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "a folder is not removed so", path)
    _check_unused(path)
    real.remove(path)


def rmdir(path):
    path = located(path)
    _check_unused(path)
    real.rmdir(path)


def mkdir(path, mode=0o777):
    del mode
    _check_names(os.fsdecode(path))
    real.mkdir(located(path))


def chmod(path, mode, *, follow_symlinks=True):
    """Set or clear the one mark that a file has there; an open file is not taken before Python 3.13."""
    if isinstance(path, int):
        raise TypeError("chmod: path should be string, bytes or os.PathLike, not int")
    real.chmod(located(path), 0o644 if mode & stat.S_IWUSR else 0o444, follow_symlinks=follow_symlinks)


def link(source, target, *, follow_symlinks=True):
    """Refuse, as a stick or a card does: exFAT has no links."""
    raise OSError(errno.EINVAL, "Incorrect function", os.fspath(source), None, os.fspath(target))


def symlink(source, target, target_is_directory=False):
    raise OSError(errno.EINVAL, "A required privilege is not held by the client", os.fspath(target))


# ── signals and sockets ──────────────────────────────────────────────────────────────────────────────────────────────


def kill(process, number):
    """Terminate the process, whatever the signal."""
    del number
    real.kill(process, signal.Signals(9))


def set_signal(number, action):
    if number not in {SIGBREAK, *(getattr(signal, name) for name in posix_calls.SIGNALS)}:
        raise ValueError(f"there is no signal {number}")
    return _set_signal(number, action)


_set_signal = signal.signal


def select_sockets(*lists):
    for each in lists[:3]:
        for one in each:
            if not stat.S_ISSOCK(real.fstat(one if isinstance(one, int) else one.fileno()).st_mode):
                raise OSError(10038, "An operation was attempted on something that is not a socket")
    return real.select(*lists)


def pytest_configure():
    """Run a suite on a machine, as a plugin of pytest."""
    # No file of the package that looks at its system is imported before.
    assert "cometflux.storage" not in sys.modules
    for name in _TEST_LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    install()
    join(os.environ["SIMULATED_MACHINE"])
