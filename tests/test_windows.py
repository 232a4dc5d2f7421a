"""The command on a simulated Windows: see tests/support/windows_double.py, which says what that shows and what not."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import rest_of, wait_until
from windows_machine import Machine

from cometflux import Journal
from cometflux.errors import CometfluxError
from cometflux.testing import LocalService

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated Windows stands on Linux")

QUICK, SLOW = "flux-schnell", "flux-dev"
TABLE = f"""prompt,model
a fox,{QUICK}
a boat,{QUICK}
eine Möwe im Wind,{QUICK}
an owl,{SLOW}
a door,{SLOW}
灯塔,{SLOW}
"""
CLOSED = signal.Signals(21)
"""SIGBREAK."""


@pytest.fixture
def service():
    with LocalService.in_thread(pixels=4096, latency=lambda model: 3600.0 if SLOW in model else 0.05) as service:
        yield service


@pytest.fixture
def machine(service, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boats.csv").write_text(TABLE, encoding="utf-8", newline="\r\n")
    with Machine(tmp_path / "machine", service) as machine:
        yield machine


IMPORTER = """
import importlib, pkgutil, cometflux
modules = [module.name for module in pkgutil.walk_packages(cometflux.__path__, "cometflux.")]
for name in modules:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(modules))
"""


def test_every_module_is_imported(machine):
    assert int(machine.run("-a", IMPORTER)[0]) > 200


def states(folder):
    try:
        with Journal(folder) as journal:
            return [record.state_name for record in journal.records()]
    except CometfluxError:
        return []


def is_half(word):
    return [word] * 3 + ["saved"] * 3 == sorted(states("boats-images"))


def test_a_batch_is_made_killed_resumed_and_shown(service, machine):
    batch = machine.start("batch", "boats.csv")
    wait_until(lambda: is_half("pending"))
    assert "in use by another process" in machine.run("resume", "boats-images", code=3)[1]
    counts = json.loads(machine.run("status", "boats-images", "--json")[0])
    assert {"pending": 3, "planned": 6, "saved": 3} == {name: count for name, count in counts.items() if count}
    batch.kill()
    first, _ = rest_of(batch)
    assert 3 == len(first.splitlines())

    resumed = machine.start("resume", "boats-images")
    service.advance(3600)
    out, err = rest_of(resumed)
    assert (0, 6) == (resumed.returncode, len(service.bills)), err
    assert "synced" not in err
    pictures = out.splitlines()
    assert set(first.splitlines()) < set(pictures)
    assert 6 == len(set(pictures)) == sum(Path(picture).stat().st_size > 0 for picture in pictures)
    assert [] == [path.name for path in Path("boats-images").iterdir() if path.name.startswith(".")]

    assert "eine Möwe im Wind" in machine.run("show", pictures[2])[0]
    assert "no job in boats-images is unknown" in machine.run("unknown", "boats-images")[1]
    # The second time the page is replaced.
    for _ in range(2):
        assert "boats-images/index.html\n" == machine.run("gallery", "boats-images")[0]
    assert "灯塔" in Path("boats-images/index.html").read_text(encoding="utf-8")
    assert "6 pictures" in machine.run("export", "boats-images", "--to", "dataset")[1]


def test_the_page_quotes_its_commands_for_the_shell_of_this_system(machine):
    Path("fox.csv").write_text("prompt\na fox\n")
    machine.run("batch", "fox.csv", "--local", "--out", "it's $mine", "--gallery")
    page = Path("it's $mine/index.html").read_text(encoding="utf-8")
    assert 'data-folder="&#34;it&#39;s `$mine&#34;"' in page


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (CLOSED, 129)], ids=["Ctrl-C", "closed"])
def test_a_signal_stops_a_batch_and_another_one_ends_the_wait(number, code, service, machine):
    batch = machine.start("batch", "boats.csv")
    wait_until(lambda: is_half("pending"))
    batch.send_signal(number)
    wait_until(lambda: "stopping" in batch.stderr.readline())
    batch.send_signal(number)
    _, err = rest_of(batch)
    assert (code, 6) == (batch.returncode, len(service.bills)), err
    assert "cometflux resume boats-images" in err
    assert is_half("detached")


def test_an_agent_gets_its_picture(service, machine):
    server = machine.start("mcp", "--out", "pictures", "--max-predictions", "1", stdin=subprocess.PIPE)
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    wish = {"name": "generate_image", "arguments": {"prompt": "a fox", "model": QUICK}}
    for message in (
        {"id": 1, "method": "initialize", "params": client},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": wish},
    ):
        # As a client there ends its lines.
        server.stdin.write(f"{json.dumps({'jsonrpc': '2.0', **message})}\r\n")
        server.stdin.flush()
    assert 1 == json.loads(server.stdout.readline())["id"]
    assert "00000-a-fox.webp" in json.loads(server.stdout.readline())["result"]["content"][0]["text"]
    server.stdin.close()
    _, err = rest_of(server)
    assert (0, 1) == (server.returncode, len(service.bills)), err


def test_the_log_is_utf_8(machine):
    _, err = machine.run("batch", "Möwe und 灯塔.csv", "--log-json", code=2)
    assert "Möwe und 灯塔.csv" in json.loads(err)["text"]


def test_pictures_are_generated_without_a_file(service, machine):
    out, _ = machine.run("generate", "a fox", "eine Möwe: im Wind?", "--out", "pictures")
    assert ["pictures/00000-a-fox.webp", "pictures/00001-eine-mowe-im-wind.webp"] == sorted(out.splitlines())
    assert 2 == len(service.bills)


@pytest.mark.parametrize("length", [200, 240, 256])
def test_a_folder_whose_path_leaves_no_room_for_names_is_told_before_anything_is_sent(length, service, machine):
    room = length - len(str(Path.cwd())) - 1
    out = f"{'x' * (room // 2)}/{'x' * (room - room // 2 - 1)}"
    _, err = machine.run("generate", "a fox", "--out", out, code=3)
    assert "its path is too long" in err
    assert [] == service.bills


def test_what_is_exported_has_the_same_bytes_on_each_system(machine):
    machine.run("generate", "a fox", "eine Möwe", "--out", "pictures")
    for form in ("imagefolder", "captions"):
        machine.run("export", "pictures", "--to", form, "--as", form)
    texts = {path.name: path.read_bytes() for path in Path().glob("[ic]*/*") if path.suffix != ".webp"}
    assert ["00000-a-fox.txt", "00001-eine-mowe.txt", "metadata.jsonl"] == sorted(texts)
    assert "eine Möwe\n".encode() == texts["00001-eine-mowe.txt"]
    assert not any(b"\r" in text for text in texts.values())


def test_a_lost_response_is_unknown_and_settled(service, machine):
    Path("fox.txt").write_text("a fox\n", encoding="utf-8")
    service.fail("drop", after=True)
    machine.run("batch", "fox.txt", code=5)
    assert "#00000" in machine.run("unknown", "fox-images")[0]
    machine.run("unknown", "fox-images", "--adopt", f"#00000={service.bills[0].id}")
    machine.run("resume", "fox-images")
    assert ["saved"] == states("fox-images")
    assert 1 == len(service.bills)


@pytest.mark.parametrize(
    ("arguments", "ready", "last"),
    [
        (("local-service", "--port", "0"), "the local service is up", "the local service has stopped"),
        (("gallery", "pictures", "--serve"), "until Ctrl-C", "the gallery has stopped"),
    ],
    ids=["local service", "gallery"],
)
@pytest.mark.parametrize("number", [signal.SIGINT, CLOSED], ids=["Ctrl-C", "closed"])
def test_a_server_runs_until_it_is_stopped(arguments, ready, last, number, machine):
    if arguments[0] == "gallery":
        machine.run("generate", "a fox", "--out", "pictures")
    running = machine.start(*arguments)
    wait_until(lambda: ready in running.stderr.readline())
    running.send_signal(number)
    out, err = rest_of(running)
    assert (0, last) == (running.returncode, err.splitlines()[-1][: len(last)])
    if arguments[0] == "local-service":
        # As PowerShell reads it.
        assert '$env:COMETAPI_KEY = "local-key"' == out.splitlines()[1]


# ── the two files that know Windows ──────────────────────────────────────────────────────────────────────────────────

READERS = """
import threading
from pathlib import Path
from cometflux.journal.lock import Lock, is_locked

journal = Path("journal.sqlite3")
Lock(journal).release()
found = []
def look():
    for _ in range(300):
        found.append(is_locked(journal))
readers = [threading.Thread(target=look, daemon=True) for _ in range(4)]
for each in readers:
    each.start()
for each in readers:
    each.join()
print(len(found), any(found))
"""
WRITERS = """
import threading
from pathlib import Path
from cometflux.journal.lock import Lock, is_locked

journal = Path("journal.sqlite3")
Lock(journal).release()
is_over = False
def look():
    while not is_over:
        is_locked(journal)
readers = [threading.Thread(target=look, daemon=True) for _ in range(2)]
for each in readers:
    each.start()
for _ in range(50):
    Lock(journal).release()
is_over = True
"""
HOLDER = """
import sys
from pathlib import Path
from cometflux.errors import JournalLockedError
from cometflux.journal.lock import Lock

lock = Lock(Path("journal.sqlite3"))
lock.note_commit("0123456789abcdef", 7)
try:
    Lock(Path("journal.sqlite3"))
except JournalLockedError:
    print("locked", flush=True)
sys.stdin.read()
"""
LOOKER = """
from pathlib import Path
from cometflux.journal.lock import LockFile, is_locked

journal = Path("journal.sqlite3")
note = LockFile.read(journal)
print(note.journal, note.serial, note.process, is_locked(journal))
"""
SCANNER = """
import contextlib, threading, time
from pathlib import Path
from cometflux.storage import atomic

is_over = False
def scan():
    seen = set()
    while not is_over:
        for path in [path for path in Path("pictures").iterdir() if path not in seen]:
            seen.add(path)
            with contextlib.suppress(OSError), path.open("rb"):
                time.sleep(0.02)
scanner = threading.Thread(target=scan, daemon=True)
Path("pictures").mkdir()
scanner.start()
for number in range(20):
    assert atomic.write_new(Path("pictures") / f"{number}.png", b"png")
    atomic.replace(Path("pictures") / "index.html", b"page")
assert not atomic.write_new(Path("pictures") / "0.PNG", b"other")
is_over = True
scanner.join()
print(len(list(Path("pictures").iterdir())))
"""


@pytest.mark.parametrize(("code", "expected"), [(READERS, "1200 False\n"), (WRITERS, "")], ids=["readers", "writers"])
def test_those_who_look_whether_somebody_writes_are_in_nobodys_way(code, expected, machine):
    assert expected == machine.run("-c", code)[0]


def test_the_lock_keeps_all_others_out_until_its_process_ends_and_its_note_can_be_read(machine):
    holder = machine.start("-c", HOLDER, stdin=subprocess.PIPE)
    assert "locked\n" == holder.stdout.readline()
    assert f"0123456789abcdef 7 {holder.pid} True\n" == machine.run("-c", LOOKER)[0]
    holder.kill()
    rest_of(holder)
    holder.stdin.close()
    assert f"0123456789abcdef 7 {holder.pid} False\n" == machine.run("-c", LOOKER)[0]


def test_files_are_saved_and_replaced_though_a_scanner_opens_each_for_a_moment(machine):
    assert "21\n" == machine.run("-c", SCANNER)[0]
