"""Slow proofs: many instants, and many jobs. Run by ``make test-hard``."""

import asyncio
import gc
import itertools
import json
import random
import tracemalloc

import pytest

from cometflux import PollPolicy, Session, events
from cometflux.protocol import Response
from cometflux.testing import LocalService
from cometflux.transport import AiohttpTransport

pytestmark = pytest.mark.hard


class Slow(AiohttpTransport):
    """Takes its time before and after each submission really happens."""

    async def submit(self, request):
        await asyncio.sleep(1)
        response = await super().submit(request)
        await asyncio.sleep(1)
        return response


@pytest.mark.parametrize("seed", range(6))
async def test_a_hundred_cancels_at_random_instants_lose_no_accepted_id(seed):
    chance = random.Random(seed)
    seen = []
    async with LocalService(pixels=4096, latency=1.0) as service:
        transport = Slow(service.key, service.url)
        async with Session(transport, max_pending=20, on_event=seen.append) as session:
            tasks = [asyncio.ensure_future(session.run(f"picture {number}")) for number in range(100)]
            loop = asyncio.get_running_loop()
            for task in tasks:
                loop.call_later(chance.uniform(0, 20), task.cancel)
            await asyncio.gather(*tasks, return_exceptions=True)
        accepted = [event.prediction_id for event in seen if isinstance(event, events.Accepted)]
        assert sorted(bill.id for bill in service.bills) == sorted(accepted)
        ended = [event.index for event in seen if isinstance(event, events.Ended)]
        assert list(range(100)) == sorted(ended), "each job ends once"


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
