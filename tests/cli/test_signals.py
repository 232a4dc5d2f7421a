"""A signal is handled at once, whatever the command waits for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import forked_process
import job_states
import pytest
from posix_calls import signals
from waiting import EVENTS, wait_until, wait_until_it_waits

import cometflux.cli

pytestmark = [pytest.mark.usefixtures("folder"), pytest.mark.realtime]

# A signal that comes just before the main thread begins to wait does not break off that wait. Here none does: another
# thread takes them all.
PROGRAM = """
import signal, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
from cometflux.cli import main
sys.exit(main(sys.argv[1:]))
"""
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
SERVERS = {
    "local-service --port 0": "",
    "gallery out --serve": "",
    "mcp --local --out out": json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}),
}


@pytest.mark.posix
@pytest.mark.skipif(not Path("/proc/self/wchan").exists(), reason="asks the kernel what a process waits for")
@pytest.mark.parametrize("number", signals("SIGINT", "SIGTERM"))
@pytest.mark.parametrize("line", SERVERS)
def test_a_server_that_waits_for_nothing_else_ends_at_a_signal(line, number, folder):
    (folder / "out").mkdir()
    job_states.write(folder / "out", job_states.succeed(job_states.plan(0), folder / "out", job_states.picture()))
    with forked_process.Popen(
        [sys.executable, "-c", PROGRAM, *line.split()],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE),
    ) as running:
        try:
            running.stdin.write(f"{SERVERS[line]}\n")
            running.stdin.flush()
            assert running.stdout.readline()
            wait_until_it_waits(running, EVENTS)
            running.send_signal(number)
            wait_until(lambda: running.poll() is not None)
        finally:
            running.kill()
    assert (128 + number if line.startswith("mcp") else 0) == running.returncode


def test_every_loop_of_the_command_wakes_up_for_signals():
    root = Path(cometflux.cli.__file__).parent
    runs = [str(path.relative_to(root)) for path in root.rglob("*.py") if "asyncio.run(" in path.read_text()]
    assert ["terminal/signals.py"] == runs
