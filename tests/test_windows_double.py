"""The simulated Windows refuses what Windows refuses: each case fails there, and succeeds on this machine.

Facts: the documentation of Python's os and msvcrt modules, and of CreateFile, MoveFileEx, LockFile and "Naming files,
paths, and namespaces" by Microsoft.
"""

import json
import sys

import pytest
from windows_machine import Machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated Windows stands on Linux")

REFUSED = {
    "import fcntl": "ModuleNotFoundError",
    "import resource": "ModuleNotFoundError",
    "os.getuid()": "AttributeError",
    "os.fork()": "AttributeError",
    "os.pread(0, 1, 0)": "AttributeError",
    "os.open('a', os.O_RDONLY | os.O_NOFOLLOW)": "AttributeError",
    "signal.SIGHUP": "AttributeError",
    "signal.SIGKILL": "AttributeError",
    "signal.signal(1, print)": "ValueError",
    "asyncio.SelectorEventLoop().add_signal_handler(2, print)": "NotImplementedError",
    "select.select([0], [], [])": "OSError 10038",
    # Folders.
    "os.open('.', os.O_RDONLY)": "PermissionError 13",
    "open('.')": "PermissionError 13",
    "os.replace('a', 'folder')": "PermissionError 13",
    "os.remove('folder')": "PermissionError 13",
    # Names.
    "open('a:b', 'w')": "OSError 22",
    "open('nul.txt', 'w')": "OSError 22",
    "open('a.', 'w')": "OSError 22",
    "os.mkdir('what?')": "OSError 22",
    "os.mkdir('COM1')": "OSError 22",
    "open('A', 'xb')": "FileExistsError 17",
    "os.mkdir('FOLDER')": "FileExistsError 17",
    "os.rename('a', 'B')": "FileExistsError 17",
    # Open files.
    "f = open('a', 'rb'); os.remove('a')": "PermissionError 13",
    "f = open('a', 'rb'); os.rename('a', 'c')": "PermissionError 13",
    "f = open('a', 'rb'); os.replace('a', 'b')": "PermissionError 13",
    "f = open('b', 'rb'); os.replace('a', 'b')": "PermissionError 13",
    "f = open('folder/c', 'rb'); os.rename('folder', 'd')": "PermissionError 13",
    "f = sqlite3.connect('s'); f.execute('CREATE TABLE t(a)'); os.remove('s')": "PermissionError 13",
    "os.chmod('a', 0o400); os.remove('a')": "PermissionError 13",
    # Other calls on files.
    "os.chmod(0, 0o600)": "TypeError",
    "os.link('a', 'c')": "OSError 22",
    "os.symlink('a', 'c')": "OSError 22",
    "os.fsync(os.open('a', os.O_RDONLY))": "OSError 9",
    "open('a', 'w')": "EncodingWarning",
    # Locks.
    "lock(1); msvcrt.locking(handle(), msvcrt.LK_NBLCK, 1)": "PermissionError 13",
    "lock(1); msvcrt.locking(os.open('a', os.O_RDONLY), msvcrt.LK_NBLCK, 1)": "PermissionError 13",
    "lock(1); os.read(handle(), 1)": "PermissionError 13",
    "lock(1); os.write(handle(), b'1')": "PermissionError 13",
    "msvcrt.locking(handle(), msvcrt.LK_UNLCK, 1)": "PermissionError 13",
}
DONE = {
    "open('A', 'rb').read()": b"1\n2",
    "os.path.exists('FOLDER/C')": True,
    "os.rename('a', 'A'); os.listdir('.')": ["A", "b", "folder"],
    "os.rename('a', 'c'); os.listdir('.')": ["b", "c", "folder"],
    # Bytes are as they are only where that is asked for.
    "write(os.O_WRONLY); open('a', 'rb').read()": b"\r\n\r\n\r\n",
    "write(os.O_WRONLY | os.O_BINARY); open('a', 'rb').read()": b"\n\n\n",
    "open('c', 'w', encoding='utf-8').write('\\n'); open('c', 'rb').read()": b"\r\n",
    # A lock covers its bytes alone, ends with its handle, and its owner is not kept out.
    "lock(1, at=9); os.read(handle(), 3)": b"1\n2",
    "os.close(lock(1)); os.read(handle(), 1)": b"1",
    "f = lock(1); msvcrt.locking(f, msvcrt.LK_UNLCK, 1); os.read(handle(), 1)": b"1",
    "f = lock(1); os.read(f, 1)": b"1",
    "int(signal.SIGBREAK)": 21,
}
CODE = """
import asyncio, contextlib, json, msvcrt, os, select, shutil, signal, sqlite3, sys, warnings

def handle(flags=os.O_RDWR | os.O_BINARY):
    return os.open("a", flags)

def lock(count, at=0):
    file = handle()
    os.lseek(file, at, 0)
    msvcrt.locking(file, msvcrt.LK_NBLCK, count)
    os.lseek(file, 0, 0)
    return file

def write(flags):
    os.write(handle(flags), b"\\n\\n\\n")

def result(case):
    os.mkdir("here")
    os.chdir("here")
    os.mkdir("folder")
    for name in ("a", "b", "folder/c"):
        with open(name, "wb") as file:
            file.write(b"1\\n2")
    *first, last = case.split("; ")
    names = dict(globals())
    try:
        exec("; ".join(first), names)
        try:
            value = eval(last, names)
        except SyntaxError:
            value = exec(last, names)
        return repr(sorted(value) if isinstance(value, list) else value)
    except Exception as error:
        return f"{type(error).__name__} {getattr(error, 'errno', None) or ''}".strip()

results = []
for number, case in enumerate(json.load(open("cases.json", "rb"))):
    os.mkdir(str(number))
    os.chdir(str(number))
    results.append(result(case))
    os.chdir("../..")
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each case came to on the simulated machine."""
    folder = tmp_path_factory.mktemp("simulated")
    cases = [*REFUSED, *DONE]
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    with Machine(folder / "machine") as machine:
        out, _ = machine.run("-c", CODE, cwd=folder)
    return dict(zip(cases, json.loads(out), strict=True))


@pytest.mark.parametrize("case", REFUSED)
def test_the_simulated_windows_refuses(case, results):
    assert REFUSED[case] == results[case]


@pytest.mark.parametrize("case", DONE)
def test_the_simulated_windows_takes(case, results):
    assert repr(DONE[case]) == results[case]


def test_a_process_sees_the_files_that_another_one_has_open_until_it_is_killed(tmp_path):
    (tmp_path / "a").touch()
    hold = "import sys, time; file = open('a', 'rb'); print('', flush=True); time.sleep(999)"
    remove = "import os; os.remove('a')"
    with Machine(tmp_path / "machine") as machine:
        holder = machine.start("-c", hold, cwd=tmp_path)
        holder.stdout.readline()
        assert "PermissionError" in machine.run("-c", remove, cwd=tmp_path, code=1)[1]
        holder.kill()
        holder.wait()
        machine.run("-c", remove, cwd=tmp_path)
    assert not (tmp_path / "a").exists()
