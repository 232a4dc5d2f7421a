"""Fetching the catalogue: public, within seconds, and never an error."""

import asyncio
import json

import pytest
from socket_server import Peer, http

from cometflux import fetch_prices, flux, open_session
from cometflux.account.catalogue import LARGEST_CATALOGUE, fetch_catalogue
from cometflux.account.prices import Basis, Price
from cometflux.errors import AccountError, ConfigError
from cometflux.testing import FAULTS

FLEX = "black-forest-labs/flux-2-flex"


def page(*models, total=None, **more):
    rows = [{"id": model, "pricing": {"per_request": 0.5}} for model in models]
    return json.dumps({"data": rows, "total": total, **more}).encode()


async def test_the_prices_of_all_pages_are_read(service):
    whole = await fetch_catalogue(service.origin)
    assert Price(micros=240_000, basis=Basis.CATALOGUE) == whole.prices[FLEX]
    assert (11, {}, None) == (len(whole.prices), whole.doubts, whole.note)
    service.fail("short-pages", on="catalogue", rate=1.0)
    assert whole == await fetch_catalogue(service.origin)
    assert 5 == len(service.requests), "one, and then four pages"


async def test_no_key_and_nothing_else_about_the_user_is_sent():
    async with Peer(lambda _: http(200, page("a/b"))) as peer:
        assert {"a/b"} == {*(await fetch_catalogue(peer.url)).prices}
    (request,) = peer.requests
    assert ("GET", "/api/models", b"") == (request["method"], request["path"], request["body"])
    assert {"host", "user-agent", "accept", "accept-encoding"} == set(request["headers"])


@pytest.mark.slow
@pytest.mark.parametrize("fault", sorted(name for name, each in FAULTS.items() if "catalogue" in (each.on, *each.also)))
async def test_whatever_happens_to_the_catalogue_is_one_note_within_five_seconds(service, fault):
    service.fail(fault, on="catalogue", rate=1.0)
    start = asyncio.get_running_loop().time()
    found = await fetch_catalogue(service.origin)
    assert 5.5 > asyncio.get_running_loop().time() - start
    if fault in ("rows-missing", "short-pages"):
        assert found.note is None
    else:
        assert found.note or found.doubts
        assert fault == "twice" or not found.prices
    assert [] == service.leaks


async def test_nobody_there_is_a_note(service):
    found = await fetch_catalogue("http://127.0.0.1:9")
    assert "cannot connect to 127.0.0.1:9" in found.note


async def test_a_body_that_drips_is_given_up_after_five_seconds():
    async def drip(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.5)

    start = asyncio.get_running_loop().time()
    async with Peer(drip) as peer:
        found = await fetch_catalogue(peer.url)
    assert 5 == pytest.approx(asyncio.get_running_loop().time() - start, abs=0.5)
    assert "the price catalogue cannot be read: it did not arrive within 5 s" == found.note


async def test_all_pages_together_have_a_maximum_size():
    text = "x" * (LARGEST_CATALOGUE // 5)
    numbers = iter(range(1000))
    async with Peer(lambda _: http(200, page(f"a/{next(numbers)}", total=99, more=text))) as peer:
        found = await fetch_catalogue(peer.url)
    assert 5 == len(peer.requests)
    assert "larger than" in found.note
    assert 4 == len(found.prices), "the pages before are used"


@pytest.mark.parametrize("total", [99, 10**9])
async def test_a_service_that_ignores_the_page_is_not_asked_for_ever(total):
    async with Peer(lambda _: http(200, page("a/b", total=total))) as peer:
        found = await fetch_catalogue(peer.url)
    assert 2 == len(peer.requests)
    assert ({"a/b"}, True) == ({*found.prices}, "missing" in found.note)


async def test_pages_without_an_end_have_a_maximum_number():
    numbers = iter(range(1000))
    async with Peer(lambda _: http(200, page(f"a/{next(numbers)}", total=10**9))) as peer:
        found = await fetch_catalogue(peer.url)
    assert 50 == len(peer.requests) == len(found.prices)
    assert "missing" in found.note


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status):
    async with Peer(lambda _: http(200, page("a/b"))) as other:
        async with Peer(lambda _: http(status, b"", f"Location: {other.url}/api/models")) as peer:
            found = await fetch_catalogue(peer.url)
        assert [] == other.requests
    assert ({}, f"the price catalogue cannot be read: the service answers HTTP {status}") == (found.prices, found.note)


# ── for a session ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_session_takes_the_fetched_prices_and_one_of_the_callers(service):
    prices = {**await fetch_prices(base_url=service.url), "black-forest-labs/flux-dev": 0.02}
    async with open_session(api_key=service.key, base_url=service.url, prices=prices, max_cost=1) as session:
        outcomes = [each async for each in session.generate(["a fox", flux.Dev(prompt="an owl")])]
    assert {("0.003", "catalogue as given"), ("0.02", "given")} == {
        (str(each.estimated_cost), each.cost_basis) for each in outcomes
    }


async def test_no_prices_are_an_error_that_says_why(service):
    service.fail("html", on="catalogue")
    with pytest.raises(AccountError, match="catalogue cannot be read"):
        await fetch_prices(base_url=service.url)
    with pytest.raises(ConfigError, match="base_url"):
        await fetch_prices(base_url=f"{service.origin}/elsewhere")
