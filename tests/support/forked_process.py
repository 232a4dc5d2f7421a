"""Start Python programs as forks of a process that has imported the package, which saves half a second for each.

`Popen` is `subprocess.Popen` for the commands ``[sys.executable, SCRIPT, …]``, ``[sys.executable, "-m", MODULE, …]``
and ``[sys.executable, "-c", CODE, …]``. Each program has a process of its own, with its own folder, environment,
streams and signals, and ends like any other. With other options, or on a system other than Linux, the program is
started in the usual way.

Started as a script, this file is the process that forks.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import inspect
import io
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from pathlib import Path

from waiting import PATIENCE

_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): orphans become children of this process, which can wait for them."""
_PLAIN = {"preexec_fn": None, "pass_fds": (), "shell": False, "gid": None, "uid": None, "umask": -1}


class Popen(subprocess.Popen):
    """`subprocess.Popen`, quicker."""

    python_options = ()
    """What stands in the command between the interpreter and the program."""
    prepared_by = "forked_process"
    """The module whose function `prepare` is called in the process that forks."""

    def _execute_child(self, *args, **more):
        given = inspect.signature(super()._execute_child).bind(*args, **more).arguments
        command = [os.fspath(each) for each in given["args"]]
        options = [sys.executable, *self.python_options]
        program = command[len(options) :]
        if options != command[: len(options)] or not _can_fork(program, given):
            super()._execute_child(*args, **more)
            return
        sys.audit("subprocess.Popen", command[0], command, given["cwd"], given["env"])
        pipes = [given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")]
        streams = [own if fd == -1 else fd for own, fd in enumerate((pipes[0], pipes[3], pipes[5]))]
        try:
            self.pid = _server(self.python_options, self.prepared_by).fork(
                {
                    "command": program,
                    "cwd": os.fspath(given["cwd"] or Path.cwd()),
                    "environment": dict(os.environ if given["env"] is None else given["env"]),
                    "new_session": given["start_new_session"],
                },
                streams,
            )
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)


def _can_fork(program, given):
    is_plain = all(given.get(name, usual) == usual for name, usual in _PLAIN.items())
    return sys.platform == "linux" and is_plain and (program[0] in ("-m", "-c") or not program[0].startswith("-"))


def run(command, **options):
    """Run a program to its end; return what `subprocess.run` does with its streams captured, and as texts."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with Popen(command, **streams, **options) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


class _Server:
    """The process that forks, from the side of those who ask."""

    def __init__(self, options, prepared_by):
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *options, __file__, str(theirs.fileno()), prepared_by],
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self._end)

    def _end(self):
        self._socket.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            # Somebody else has this end of the socket, too.
            self._process.kill()
            self._process.wait()

    def fork(self, request, streams):
        """Return the id of a new process, which is a child of this one."""
        # A message has a bound; a file has none.
        with tempfile.TemporaryFile() as file:
            file.write(json.dumps(request).encode())
            file.seek(0)
            socket.send_fds(self._socket, [b"fork"], [*streams, file.fileno()])
            if not (answer := self._socket.recv(100)):
                raise OSError("the process that forks has ended")
        return int(answer)


_servers = {}


def _server(*given):
    # A fork of this process needs a server of its own.
    if (os.getpid(), given) not in _servers:
        _servers[os.getpid(), given] = _Server(*given)
    return _servers[os.getpid(), given]


# ── the process that forks ───────────────────────────────────────────────────────────────────────────────────────────


_os = types.SimpleNamespace(**vars(os))
"""All calls, also where those of this process are taken away later."""
_OTHERS = [
    *("PIL.Image", "PIL.ImageDraw", "PIL.WebPImagePlugin", "jinja2", "rich.progress", "rich.table"),
    *("sybil.document", "sybil.parsers.markdown.lexers", "sybil.parsers.rest"),
]


def prepare():
    """Import what most programs need."""
    import cometflux

    names = [module.name for module in pkgutil.walk_packages(cometflux.__path__, "cometflux.")]
    for name in [*names, *_OTHERS]:
        # Few programs need the large ones, and to import the command's own module is to run it.
        if not name.startswith(("cometflux.mcp", "cometflux.distributed")) and not name.endswith("__main__"):
            # An extra may be missing.
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    _describe_options()


def _describe_options():
    import known_options

    from cometflux.cli.app import app

    known_options.remember()
    for name in ("batch", "generate", "resume"):
        app[name].assemble_argument_collection()


def _next_program(requests):
    """Return in a new process for each request, with the command to run; return None at the end of the requests."""
    while True:
        text, streams, *_ = socket.recv_fds(requests, 100, 4)
        if not text:
            return None
        with os.fdopen(streams.pop(), "rb") as file:
            request = json.load(file)
        ours, theirs = os.pipe()
        middle = _os.fork()
        if not middle:
            # The one in the middle leaves at once, and whoever asked gets its child.
            if child := _os.fork():
                os.write(theirs, str(child).encode())
                os._exit(0)
            for each in (ours, theirs, requests.detach()):
                os.close(each)
            return _become(request, streams)
        os.close(theirs)
        os.waitpid(middle, 0)
        if not (child := os.read(ours, 100)):
            raise OSError("no process could be made")
        requests.send(child)
        for each in (ours, *streams):
            os.close(each)


def _become(request, streams):
    if request["new_session"]:
        _os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = sys.__stdin__ = open(0, encoding="locale", closefd=False)  # noqa: SIM115 - as every process
    sys.stdout = sys.__stdout__ = _open_stream(1)
    sys.stderr = sys.__stderr__ = _open_stream(2, errors="backslashreplace", line_buffering=True)
    return request["command"]


def _open_stream(number, line_buffering=False, **options):
    is_unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    binary = open(number, "wb", 0 if is_unbuffered else -1, closefd=False)  # noqa: SIM115
    line_buffering = line_buffering or os.isatty(number)
    return io.TextIOWrapper(binary, "locale", write_through=is_unbuffered, line_buffering=line_buffering, **options)


def _run(command):
    if command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    elif command[0] == "-c":
        sys.argv = ["-c", *command[2:]]
        sys.path[0] = ""
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(command[1], "<string>", "exec"), module.__dict__)
    else:
        sys.argv = command
        sys.path[0] = str(Path(command[0]).parent)
        runpy.run_path(command[0], run_name="__main__")


def _leave(code):
    """End as the interpreter does, but take nothing apart that was imported before the fork: that would copy it all."""
    threading._shutdown()
    atexit._run_exitfuncs()
    gc.collect()
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError):
        # The interpreter has words and a code for it.
        sys.exit(code)
    os._exit(code)


if __name__ == "__main__":
    _requests = socket.socket(fileno=int(sys.argv[1]))
    importlib.import_module(sys.argv[2]).prepare()
    gc.freeze()
    _before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    _command = _next_program(_requests)
    signal.signal(signal.SIGINT, _before)
    if _command is not None:
        try:
            _run(_command)
        except SystemExit as end:
            if not isinstance(end.code or 0, int):
                raise
            _leave(end.code or 0)
        _leave(0)
