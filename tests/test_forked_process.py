"""A forked program is seen from outside as one that was started in the usual way."""

import json
import os
import subprocess
import sys

import forked_process
import pytest
from posix_calls import signals
from waiting import PATIENCE

PROGRAM = """
import json, os, signal, sys
about = {"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": os.environ["A"], "name": __name__}
about |= {"given": sys.stdin.read(), "leads": os.getsid(0) == os.getpid(), "parent": os.getppid()}
about |= {"handler": str(signal.getsignal(signal.SIGINT)), "open": sorted(os.listdir("/proc/self/fd"))}
print(json.dumps(about))
print("a note", file=sys.stderr)
"""


@pytest.fixture
def start(tmp_path):
    """Start a program with one of the two classes."""

    def start(kind, text, *arguments, **options):
        (tmp_path / "program.py").write_text(text)
        options = {"cwd": tmp_path, "env": {**os.environ, "A": "boat"}, "text": True, **options}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return kind([sys.executable, tmp_path / "program.py", *arguments], **pipes, **options)

    return start


def ended(process, given=None):
    out, err = process.communicate(given, timeout=PATIENCE)
    return process.returncode, out, err


CODE = """
import pickle, sys
class A: pass
pickle.dumps(A())
print(sys.argv, sys.path[0], __name__, sys.stdin.read())
"""


def test_code_is_run_as_the_program():
    usual, forked = [
        ended(kind([sys.executable, "-c", CODE, "a"], **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)))
        for kind in (subprocess.Popen, forked_process.Popen)
    ]
    assert (0, usual) == (usual[0], forked)


@pytest.mark.parametrize("leads", [True, False])
def test_it_has_its_own_folder_environment_streams_and_session(start, leads):
    usual, forked = [
        ended(start(kind, PROGRAM, "one", "two", start_new_session=leads), "a word")
        for kind in (subprocess.Popen, forked_process.Popen)
    ]
    assert usual == forked
    assert (0, "a word", os.getpid()) == (usual[0], json.loads(usual[1])["given"], json.loads(usual[1])["parent"])


AT_EXIT = """
import atexit, threading, time
class Noisy:
    def __del__(self):
        print("collected", flush=True)
cycle = Noisy()
cycle.itself = cycle
atexit.register(print, "registered")
threading.Thread(target=lambda: (time.sleep(0.05), print("a thread ends"))).start()
"""
ENDS = ("", AT_EXIT, "sys.exit(7)", "exit('no')", "1 / 0", "raise KeyboardInterrupt", "os._exit(3)", "os.close(1)")


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_in_the_same_way(start, end):
    usual, forked = [
        ended(start(kind, f"import os, sys\nprint('boat')\n{end}\n"))
        for kind in (subprocess.Popen, forked_process.Popen)
    ]
    assert usual[:2] == forked[:2]
    assert usual[2].splitlines()[-1:] == forked[2].splitlines()[-1:]


@pytest.mark.parametrize("number", signals("SIGINT", "SIGTERM", "SIGKILL"))
def test_a_signal_reaches_it(start, number):
    # A signal that comes just before a long pause begins would only be seen after it.
    text = "import time\nprint('up', flush=True)\nwhile True:\n    time.sleep(0.01)\n"
    process = start(forked_process.Popen, text)
    process.stdout.readline()
    process.send_signal(number)
    assert -number == ended(process)[0]
