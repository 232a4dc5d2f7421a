"""Outside of asyncio, as under trio, each way in says so in a sentence."""

import asyncio

import pytest

from cometflux import Client, errors, fetch_balance, fetch_prices, open_session
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport

BASE_URL = "http://127.0.0.1:9/replicate/v1"


async def enter_a_session():
    async with open_session(base_url=BASE_URL, api_key="k"):
        pass


async def get_a_prediction():
    await Client(AiohttpTransport("k", BASE_URL)).get("p1")


async def download_an_output():
    await Client(AiohttpTransport("k", BASE_URL)).download("https://example.com/a.webp")


async def fetch_the_balance():
    await fetch_balance(base_url=BASE_URL, api_key="k")


async def fetch_the_prices():
    await fetch_prices(base_url=BASE_URL)


async def start_the_local_service():
    async with LocalService():
        pass


@pytest.mark.parametrize(
    "way_in",
    [
        *(enter_a_session, get_a_prediction, download_an_output, fetch_the_balance, fetch_the_prices),
        start_the_local_service,
    ],
    ids=lambda way_in: way_in.__name__,
)
def test_without_a_loop_of_asyncio_the_error_is_a_sentence(way_in):
    # Driven by hand, as another framework's loop would.
    with pytest.raises(errors.ConfigError) as caught:
        way_in().send(None)
    sentence = "cometflux needs asyncio, and no asyncio loop runs here; use asyncio.run(main()), or cometflux.sync"
    assert sentence == str(caught.value).removesuffix(" (id p1)")


def test_a_session_is_closed_in_the_loop_that_entered_it():
    """In another one, nobody could wait for the end."""
    session = open_session(base_url=BASE_URL, api_key="k")
    with asyncio.Runner() as runner:
        runner.run(session.__aenter__())
        with (
            pytest.raises(errors.ConfigError, match="belongs to the event loop that entered it"),
            asyncio.Runner() as other,
        ):
            other.run(session.aclose())
        runner.run(session.aclose())
