"""Slow tests: very many jobs, and minutes of mixed load. Run by ``make test-hard``."""

import asyncio
import gc
import itertools
import json
import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
import soak_process
from virtual_clock import VirtualClockLoop

from cometflux import PollPolicy, Session
from cometflux.errors import AnswerError, UnknownSubmissionError
from cometflux.protocol.requests import Response

pytestmark = pytest.mark.hard

JOBS = 100_000
LOOKS = 5
"""How often memory is measured during the run."""
MOST_BYTES = 100
"""What may stay of a job that is over: the hash of its prediction's id, which belongs to no other job."""
SOAK = 300.0
"""Seconds of mixed load."""


class Quick:
    """Responds at once, without a socket. Some predictions, by number, take longer, fail, or get a fault."""

    def __init__(self):
        self._numbers = itertools.count()
        self._polls = itertools.count()

    async def submit(self, request):
        number = next(self._numbers)
        if number % 200 == 50:
            return Response(status=429, headers={"retry-after": "0"}, body=b"{}")
        if number % 500 == 70:
            raise UnknownSubmissionError("no response came", "no response")
        return Response(status=201, body=json.dumps({"id": f"p{number}", "status": "starting"}).encode())

    async def send(self, request):
        poll = next(self._polls)
        if poll % 50 == 0:
            raise AnswerError("no response came")
        name = request.path.rpartition("/")[2]
        body = {"id": name, "status": "succeeded", "output": "https://replicate.delivery/x.webp"}
        if poll % 3 == 0:
            body |= {"status": "processing", "output": None}
        elif int(name[1:]) % 100 == 0:
            body |= {"status": "failed", "output": None, "error": "NSFW content detected"}
        return Response(status=200, body=json.dumps(body).encode())

    async def download(self, url):
        raise AssertionError("nothing is saved here")

    async def aclose(self):
        pass


def test_hardly_more_than_the_id_of_a_job_that_is_over_stays_in_memory():
    """In virtual time. No task, open file or log message remains either."""
    complaints, before = [], files_open()
    with asyncio.Runner(loop_factory=lambda: VirtualClockLoop(looks=0)) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        kinds, sizes, tasks = runner.run(make_very_many())
    gc.collect()
    print(dict(kinds), sizes)
    assert JOBS == kinds.total()
    assert {"succeeded", "failed", "unknown"} == set(kinds)
    assert max(sizes) - sizes[0] < MOST_BYTES * JOBS, sizes
    assert set() == tasks
    assert before == files_open()
    assert [] == complaints


async def make_very_many():
    kinds, sizes = Counter(), []
    async with Session(Quick(), max_pending=100, poll_policy=PollPolicy.every(2.0)) as session:
        tracemalloc.start()
        try:
            async for outcome in session.generate(f"picture {number}" for number in range(JOBS)):
                kinds[outcome.kind.value] += 1
                if kinds.total() % (JOBS // LOOKS) == 0:
                    gc.collect()
                    sizes.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
    return kinds, sizes, asyncio.all_tasks() - {asyncio.current_task()}


def files_open():
    # macOS has no such folder; the other checks still work there.
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else None


def test_minutes_of_mixed_load_leave_nothing_over_and_nothing_to_complain_of(tmp_path):
    """In its own process, in development mode, with warnings as errors."""
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", soak_process.__file__, str(tmp_path), str(SOAK)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONASYNCIODEBUG": "1"},
        capture_output=True,
        text=True,
        timeout=SOAK + 120,
    )
    # What is told of predictions whose callers have left is no complaint.
    complaints = [line for line in ran.stderr.splitlines() if ", whose caller has left, is over: " not in line]
    assert (0, []) == (ran.returncode, complaints)
    print(ran.stdout)
    told = json.loads(ran.stdout)
    assert told["seconds"] >= SOAK
    assert told["handed over"] == sum(told["ended"].values())
    assert {"succeeded", "failed", "canceled", "not_sent", "unknown"} <= set(told["ended"])
    assert ([], 0, 0) == (told["tasks"], told["lost"], told["twice"])
    assert told["files before"] == told["files after"]
