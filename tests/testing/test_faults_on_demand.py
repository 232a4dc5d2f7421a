"""Control the local service while it runs: its latency, its clock, and the prompt of a fault."""

import asyncio

import pytest

from cometflux import PollPolicy, flux, open_session
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Status
from cometflux.testing import LocalService

POLICY = PollPolicy.every(0.5)


def opened(service, **options):
    return open_session(base_url=service.url, api_key=service.key, poll_policy=POLICY, **options)


@pytest.mark.slow
async def test_a_latency_may_be_set_while_it_runs(service):
    service.latency = 60
    loop = asyncio.get_running_loop()
    async with opened(service) as session:
        start = loop.time()
        await session.run("a paper boat")
    assert 60 <= loop.time() - start < 61


async def test_a_latency_may_depend_on_the_model(service):
    service.latency = lambda model: 30 if model == flux.Dev.model else 1
    assert 30 == service.latency(flux.Dev.model)
    async with opened(service) as session:
        order = [outcome.key async for outcome in session.generate([flux.Dev(prompt="slow"), "quick"])]
    assert ["#00001", "#00000"] == order


async def test_a_wrong_latency_is_refused_and_the_old_one_stays(service):
    with pytest.raises(ValueError, match="latency=-1"):
        service.latency = -1
    assert 1.0 == service.latency


@pytest.mark.slow
async def test_while_its_clock_is_frozen_no_prediction_progresses(service):
    service.freeze()
    async with opened(service) as session:
        running = asyncio.ensure_future(session.run("a paper boat"))
        await asyncio.sleep(50)
        assert not running.done()
        assert 1 == len(session.pending) == len(service.bills)
        service.thaw()
        prediction = await running
    assert Status.SUCCEEDED is prediction.status
    assert 1 == prediction.metrics["total_time"]


@pytest.mark.slow
async def test_the_clock_continues_from_its_frozen_time(service):
    service.latency = 10
    loop = asyncio.get_running_loop()
    async with opened(service) as session:
        start = loop.time()
        running = asyncio.ensure_future(session.run("a paper boat"))
        await asyncio.sleep(4)
        service.freeze()
        service.freeze()
        await asyncio.sleep(50)
        service.thaw()
        service.thaw()
        await running
    assert 60 <= loop.time() - start < 61


async def test_the_clock_can_be_advanced_frozen_or_not(service):
    service.latency = 3000
    service.freeze()
    loop = asyncio.get_running_loop()
    async with opened(service) as session:
        running = [asyncio.ensure_future(session.run("a paper boat")) for _ in range(2)]
        await asyncio.sleep(1)
        service.advance(2999)
        await asyncio.sleep(1)
        assert not any(each.done() for each in running)
        service.advance(1)
        await asyncio.gather(*running)
    assert loop.time() < 4


async def test_an_hour_later_the_pictures_are_gone(service):
    async with opened(service) as session:
        prediction = await session.run("a paper boat")
        service.advance(3601)
        later = await session.client.get(prediction.id)
    assert later.is_expired


async def test_a_clock_that_is_frozen_before_the_start_stays_so():
    service = LocalService(pixels=4096, latency=1)
    service.freeze()
    async with service:
        async with opened(service, max_pending=1) as session:
            running = asyncio.ensure_future(session.run("a paper boat", patience=50))
            await asyncio.sleep(40)
            assert not running.done()
            service.advance(1)
            await running


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "7"], ids=repr)
def test_the_clock_only_advances(seconds):
    with pytest.raises(ValueError, match="must be a number of seconds from 0"):
        LocalService().advance(seconds)


@pytest.mark.parametrize("latency", [-1, float("nan"), "7", None], ids=repr)
def test_a_wrong_latency_is_refused(latency):
    with pytest.raises(ValueError, match="must be a number of seconds from 0, or a function"):
        LocalService().latency = latency


async def test_a_wait_on_a_frozen_clock_finds_no_progress(service):
    import aiohttp

    service.freeze()
    url = f"{service.url}/models/{flux.Schnell.model}/predictions"
    headers = {"Authorization": f"Bearer {service.key}", "Prefer": "wait=5"}
    async with aiohttp.request("POST", url, json={"input": {"prompt": "a boat"}}, headers=headers) as answer:
        assert "starting" == (await answer.json())["status"]
    assert 5 <= asyncio.get_running_loop().time() < 6


@pytest.mark.parametrize(("fault", "kind"), [("422", OutcomeKind.REJECTED), ("failed", OutcomeKind.FAILED)])
async def test_a_fault_may_be_for_one_prompt_only(service, fault, kind):
    service.fail(fault, prompt="lighthouse")
    async with opened(service, max_pending=1) as session:
        batch = session.generate(["a paper boat", "a lighthouse in the rain", "another lighthouse"])
        kinds = [outcome.kind async for outcome in batch]
    assert [OutcomeKind.SUCCEEDED, kind, OutcomeKind.SUCCEEDED] == kinds


async def test_a_fault_of_a_poll_or_an_output_may_be_for_one_prompt(service):
    service.fail("500", on="get", prompt="boat", times=2)
    service.fail("not-an-image", prompt="lighthouse", times=9)
    async with opened(service) as session:
        boat, lighthouse = [await session.run(each) for each in ("a boat", "a lighthouse")]
        assert 1 == len(await session.download(boat))
        with pytest.raises(Exception, match="image"):
            await session.download(lighthouse)


@pytest.mark.parametrize("prompt", ["", 7], ids=repr)
def test_a_wrong_prompt_is_refused(prompt):
    with pytest.raises(ValueError, match="prompt="):
        LocalService().fail("500", prompt=prompt)
