"""Slow proofs: many instants, and many jobs. Run by ``make test-hard``."""

import gc
import itertools
import json
import tracemalloc

import pytest

from cometflux import PollPolicy, Session
from cometflux.protocol import Response

pytestmark = pytest.mark.hard


class Instant:
    """Accepts everything, and everything succeeds at once."""

    def __init__(self):
        self._numbers = itertools.count()

    async def submit(self, request):
        return Response(status=201, body=json.dumps({"id": f"p{next(self._numbers)}", "status": "starting"}).encode())

    async def ask(self, request):
        name = request.path.rpartition("/")[2]
        body = {"id": name, "status": "succeeded", "output": "https://replicate.delivery/x.webp"}
        return Response(status=200, body=json.dumps(body).encode())

    async def aclose(self):
        pass


@pytest.mark.realtime
async def test_memory_does_not_grow_with_the_number_of_jobs():
    sizes = []
    async with Session(Instant(), max_pending=100, poll_policy=PollPolicy(interval=1e-6)) as session:
        tracemalloc.start()
        try:
            done = 0
            async for outcome in session.generate(f"picture {number}" for number in range(60_000)):
                assert outcome.ok
                done += 1
                if done % 20_000 == 0:
                    gc.collect()
                    sizes.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
    assert sizes[-1] - sizes[0] < 200_000, sizes
