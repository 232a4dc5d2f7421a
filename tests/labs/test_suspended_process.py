"""Suspend a real process while all its submissions are in flight, for longer than any of its timeouts."""

import asyncio
import collections
import io
import json
import os
import signal
import sys

import batch_process
import pytest
from PIL import Image
from socket_server import Peer, http

JOBS = 10
SUSPENDED = 2.5
"""In seconds. The timeouts of the process are 1.0 s for a submission and 0.5 s for a poll."""


def picture():
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "PNG")
    return data.getvalue()


class SuspendingPeer:
    """Responds only when it has all requests of one kind and has suspended the process that sent them."""

    def __init__(self, kind):
        self.kind = kind
        self.counts = collections.Counter()
        self.held = []
        self.process = None
        self.peer = Peer(self.answer)

    async def answer(self, request, writer):
        kind, response = self.respond(request)
        self.counts[kind] += 1
        if kind == self.kind and len(self.held) < JOBS:
            self.held.append((writer, response))
            if len(self.held) == JOBS:
                await self.suspend()
            else:
                # The peer closes the connection when this returns.
                await asyncio.sleep(SUSPENDED * 2)
        else:
            writer.write(response)
            await writer.drain()

    async def suspend(self):
        self.process.send_signal(signal.SIGSTOP)
        for writer, response in self.held:
            writer.write(response)
        await asyncio.sleep(SUSPENDED)
        self.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(SUSPENDED)

    def respond(self, request):
        if request["method"] == "POST":
            created = {"id": f"p{self.counts['submission']}", "status": "starting"}
            return "submission", http(201, json.dumps(created).encode())
        if request["path"].endswith("/picture"):
            return "download", http(200, picture())
        name = request["path"].rpartition("/")[2]
        done = {"id": name, "status": "succeeded", "output": f"{self.peer.url}/picture"}
        return "poll", http(200, json.dumps(done).encode())


@pytest.mark.hard
@pytest.mark.realtime
@pytest.mark.parametrize("kind", ["submission", "poll", "download"])
async def test_a_suspended_process_reads_every_response_that_came_meanwhile(tmp_path, kind):
    service = SuspendingPeer(kind)
    async with service.peer as peer:
        service.process = await asyncio.create_subprocess_exec(
            *(sys.executable, batch_process.__file__, str(tmp_path), peer.url, "sk-canary-0123456789", str(JOBS)),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30):
                out, _ = await service.process.communicate()
        finally:
            if service.process.returncode is None:
                service.process.kill()
    assert JOBS == len(service.held), "the process was suspended"
    outcomes = json.loads(out)
    assert ["succeeded"] * JOBS == [outcome["kind"] for outcome in outcomes]
    assert {"submission": JOBS, "poll": JOBS, "download": JOBS} == service.counts, "nothing is sent again"
    assert JOBS == sum(len(outcome["files"]) for outcome in outcomes)
