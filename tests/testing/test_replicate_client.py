"""The official ``replicate`` package works with the local service."""

import re
import warnings

import aiohttp
import pytest

with warnings.catch_warnings():
    # The package still imports version 1 of pydantic's interface, which warns that it is deprecated.
    warnings.simplefilter("ignore")
    import replicate
    from replicate.exceptions import ModelError, ReplicateError

SCHNELL = "black-forest-labs/flux-schnell"
PRO = "black-forest-labs/flux-1.1-pro"

# The package sleeps in real time, and the fixture's service runs on its own thread.
pytestmark = pytest.mark.realtime


@pytest.fixture
def client(comet_service, monkeypatch):
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.01")
    base = comet_service.url.removesuffix("/v1")
    client = replicate.Client(api_token=comet_service.key, base_url=base)
    with client._client:
        yield client


@pytest.fixture
async def async_client(comet_service, monkeypatch):
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.01")
    base = comet_service.url.removesuffix("/v1")
    client = replicate.Client(api_token=comet_service.key, base_url=base)
    async with client._async_client:
        yield client


def test_it_creates_and_waits_for_a_list_of_images(client, comet_service):
    prediction = client.models.predictions.create(SCHNELL, input={"prompt": "a boat", "num_outputs": 2})
    assert "starting" == prediction.status
    prediction.wait()
    assert "succeeded" == prediction.status
    assert ["out-0.webp", "out-1.webp"] == [url.rpartition("/")[2] for url in prediction.output]
    assert [prediction.id] == [bill.id for bill in comet_service.bills]


def test_it_creates_and_waits_for_a_single_image(client):
    prediction = client.predictions.create(model=PRO, input={"prompt": "a boat"})
    prediction.wait()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/outputs/[0-9a-z]{26}/out-0\.webp", prediction.output)
    assert 1 == prediction.metrics["image_count"]


def test_it_reads_the_progress_from_the_logs(client):
    prediction = client.models.predictions.create(SCHNELL, input={"prompt": "a boat"})
    prediction.wait()
    assert 1.0 == prediction.progress.percentage


@pytest.mark.parametrize(("model", "kind"), [(SCHNELL, list), (PRO, str)], ids=["list", "string"])
def test_run_gives_the_output(client, comet_service, model, kind):
    output = client.run(model, input={"prompt": "a boat"})
    assert isinstance(output, kind)
    assert 1 == len(comet_service.bills)


@pytest.mark.parametrize(("model", "kind"), [(SCHNELL, list), (PRO, str)], ids=["list", "string"])
def test_run_polls_when_it_may_not_block(client, model, kind):
    assert isinstance(client.run(model, input={"prompt": "a boat"}, wait=False), kind)


def test_run_takes_a_version_by_the_model_s_name(client, comet_service):
    prediction = client.predictions.create(version=SCHNELL, input={"prompt": "a boat"})
    assert SCHNELL == prediction.model == comet_service.bills[0].model


@pytest.mark.slow
@pytest.mark.parametrize("wait", [True, False], ids=["blocking", "polling"])
@pytest.mark.parametrize(("model", "kind"), [(SCHNELL, list), (PRO, str)], ids=["list", "string"])
async def test_async_run_gives_an_output_that_can_be_fetched(async_client, model, kind, wait):
    output = await async_client.async_run(model, input={"prompt": "a boat"}, wait=wait)
    assert isinstance(output, kind)
    url = output if kind is str else output[0]
    async with aiohttp.request("GET", url) as answer:
        assert b"WEBP" == (await answer.read())[8:12]


async def test_async_create_and_wait_and_reload(async_client):
    prediction = await async_client.models.predictions.async_create(PRO, input={"prompt": "a boat"})
    await prediction.async_wait()
    await prediction.async_reload()
    assert "succeeded" == prediction.status


def test_cancel_works(client, comet_service):
    comet_service.latency = 60.0
    prediction = client.models.predictions.create(SCHNELL, input={"prompt": "a boat"})
    prediction.cancel()
    assert "canceled" == prediction.status


def test_a_failed_run_is_its_model_error(client, comet_service):
    comet_service.fail("failed")
    with pytest.raises(ModelError, match="E005"):
        client.run(SCHNELL, input={"prompt": "a boat"})


def test_a_refused_input_is_its_error(client):
    with pytest.raises(ReplicateError, match="prompt is required"):
        client.run(SCHNELL, input={})


def test_it_retries_after_a_server_error(client, comet_service):
    prediction = client.models.predictions.create(SCHNELL, input={"prompt": "a boat"})
    comet_service.fail("503", on="get")
    prediction.wait()
    assert "succeeded" == prediction.status
