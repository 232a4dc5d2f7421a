"""The fixture in tests that freeze time: the loop's clock is replaced after the service has begun, and put back."""

import asyncio
import time

import pytest

from cometflux import flux, open_session

_monotonic = time.monotonic


@pytest.fixture
def frozen_but_for_asyncio(comet_service, monkeypatch):
    """As freezegun does it with ``real_asyncio=True``: time stands still, and loops get a clock of their own."""
    monkeypatch.setattr(time, "monotonic", lambda: 1234.5)
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    loop = asyncio.new_event_loop()
    loop.close()
    monkeypatch.setattr(type(loop), "time", lambda _: _monotonic())


@pytest.mark.realtime
async def test_the_fixture_answers_while_time_is_frozen_for_all_but_asyncio(comet_service, frozen_but_for_asyncio):
    async with asyncio.timeout(5), open_session(api_key=comet_service.key, base_url=comet_service.url) as session:
        prediction = await session.run(flux.Schnell(prompt="a lighthouse"))
    assert 1 == len(prediction.output)
