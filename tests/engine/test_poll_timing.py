"""When a session polls, on the real local service in virtual time."""

import statistics

import pytest
from virtual_clock import now

from cometflux import events, open_session

pytestmark = pytest.mark.slow


async def run(session, count):
    """Make *count* pictures at once, and return the seconds."""
    began = now()
    async for outcome in session.generate(f"picture {number}" for number in range(count)):
        assert outcome.ok
    return now() - began


@pytest.mark.parametrize(("count", "polls", "ratio"), [(20, 8, 1.2), (1, 24, 1.1)])
async def test_a_batch_of_slow_pictures_of_an_unknown_model_takes_few_polls_and_ends_soon(count, polls, ratio, service):
    service.latency = 15.0
    seen = []
    async with open_session(api_key=service.key, base_url=service.url, on_event=seen.append) as session:
        seconds = await run(session, count)
    assert sum(isinstance(each, events.Polled) for each in seen) <= polls * count
    assert seconds <= ratio * 15


async def test_a_session_notices_that_its_service_has_become_three_times_faster(service):
    service.latency = 6.0
    async with open_session(api_key=service.key, base_url=service.url, max_pending=4) as session:
        await run(session, 40)
        service.latency = 2.0
        await run(session, 16)
        each = [await run(session, 1) for _ in range(4)]
    assert statistics.mean(each) <= 2.3
