"""The account's lists are read page by page, whatever the service does; the access token goes nowhere else."""

import logging
import time
from contextlib import aclosing
from email.utils import formatdate

import attrs
import pytest
from canary import shown
from socket_server import Peer, http

from cometflux import Client, open_session
from cometflux.account.lists import AccountLists, root_of
from cometflux.account.settle import settle
from cometflux.account.settling import Doubt
from cometflux.errors import AccountError, ConfigError
from cometflux.transport.aiohttp import AiohttpTransport

TOKEN = "token-canary-2424242424"


@pytest.fixture
async def lists(service):
    service.access_token = TOKEN
    found = AccountLists(AiohttpTransport(TOKEN, root_of(service.url)))
    yield found
    await found.aclose()


@pytest.fixture
async def ids(service):
    """The ids of three bills."""
    async with open_session(api_key=service.key, base_url=service.url) as session:
        async for _ in session.generate(["one", "two", "three"]):
            pass
    return {bill.id for bill in service.bills}


def around():
    return time.time() - 3600, time.time() + 3600


async def test_all_tasks_and_charges_are_read(lists, ids, service, monkeypatch):
    monkeypatch.setattr("cometflux.account.lists._PAGE_SIZE", 2)
    tasks, is_whole = await lists.tasks(*around())
    assert (ids, True) == ({task.id for task in tasks}, is_whole)
    entries, is_whole = await lists.entries(*around())
    assert (ids, True) == ({name for entry in entries for name in entry.names} & ids, is_whole)
    assert sum(bill.quota for bill in service.bills) == sum(entry.quota for entry in entries)
    assert ([], True) == await lists.tasks(0, 1)


async def test_rows_without_a_total_are_read_to_the_last_page(lists, ids, service):
    service.fail("flat-rows", rate=1.0, on="tasks")
    tasks, is_whole = await lists.tasks(*around())
    assert (ids, True) == ({task.id for task in tasks}, is_whole)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["429", "500", "502", "503", "drop", "hang", "torn"])
async def test_a_passing_fault_is_waited_out(lists, ids, service, fault):
    service.fail(fault, on="tasks", times=2)
    tasks, _ = await lists.tasks(*around())
    assert ids == {task.id for task in tasks}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("401", "rejects the access token (HTTP 401)"),
        ("403", "rejects the access token (HTTP 403)"),
        ("404", "has no such list here (HTTP 404)"),
        ("redirect", "has no such list here (HTTP 301)"),
        ("html", "is not JSON"),
        ("garbage", "is not JSON"),
        ("503", "HTTP 503"),
        ("hang", "cannot be reached"),
    ],
)
@pytest.mark.parametrize("place", ["tasks", "log"])
async def test_a_list_that_cannot_be_read_is_one_error_that_shows_no_token(lists, service, place, fault, said, caplog):
    caplog.set_level(logging.DEBUG)
    service.fail(fault, on=place, rate=1.0)
    with pytest.raises(AccountError) as caught:
        await (lists.tasks if place == "tasks" else lists.entries)(*around())
    assert said in str(caught.value)
    assert TOKEN not in "\n".join([*shown(caught.value), caplog.text, repr(vars(lists))])
    assert [] == service.leaks


async def test_a_wrong_token_says_what_a_token_is(service):
    lists = AccountLists(AiohttpTransport(service.key, root_of(service.url)))
    with pytest.raises(AccountError, match="an API key is not an access token"):
        await lists.tasks(0, 1)
    await lists.aclose()


def test_the_account_of_an_unknown_url_is_not_guessed():
    assert "https://api.cometapi.com" == root_of("https://api.cometapi.com/replicate/v1")
    with pytest.raises(ConfigError, match="end in /replicate/v1"):
        root_of("https://example.com/v1")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(200, b'{"data": [' + b"1," * 5000 + b"1]}"), "it is larger than 4096 bytes"),
        (http(200, b'{"data": [' + b"[" * 1000), "is not JSON"),
        (http(200, b'{"success": false, "message": "' + b"x" * 3000 + b'"}'), "the account rejects the request: xxx"),
    ],
    ids=["huge", "deeply nested", "many words"],
)
async def test_a_huge_or_odd_body_is_one_short_error(answer, said, monkeypatch):
    monkeypatch.setattr("cometflux.transport.aiohttp.LARGEST_RESPONSE", 4096)
    async with Peer(lambda _: answer) as peer:
        lists = AccountLists(AiohttpTransport(TOKEN, peer.url))
        with pytest.raises(AccountError) as caught:
            await lists.tasks(0, 1)
        await lists.aclose()
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


async def test_a_service_that_ignores_the_page_is_asked_twice_and_its_list_is_not_whole():
    body = b'{"data": [{"task_id": "abc123456789", "submit_time": 1}]}'
    async with Peer(lambda _: http(200, body)) as peer:
        lists = AccountLists(AiohttpTransport(TOKEN, peer.url))
        tasks, is_whole = await lists.tasks(0, 1)
        await lists.aclose()
    assert (["abc123456789"], False, 2) == ([task.id for task in tasks], is_whole, len(peer.requests))


class OtherClock(AiohttpTransport):
    """Its service's clock differs from ours."""

    ahead = 0.0

    async def send(self, request):
        response = await super().send(request)
        date = formatdate(time.time() + self.ahead, usegmt=True)
        return attrs.evolve(response, headers={**response.headers, "date": date})


@pytest.mark.parametrize(("ahead", "way"), [(8 * 3600.0, "behind"), (-8 * 3600.0, "ahead of")])
async def test_with_a_clock_that_is_wrong_nothing_is_said_to_be_missing(service, ahead, way):
    """The list would be that of other times, and what is billed would seem to be missing."""
    service.access_token = TOKEN
    transport = OtherClock(TOKEN, root_of(service.url))
    doubt = Doubt(identity="a", model="o/m", input={}, fingerprint="", times=(time.time() - 100,))
    async with aclosing(AccountLists(transport)) as lists:
        assert ["none"] == [each.outcome for each in await settle(lists, Client(transport), [doubt], {}, time.time())]
        transport.ahead = ahead
        with pytest.raises(AccountError, match=f"clock of this machine is 2[0-9]+ seconds {way} that of the account"):
            await settle(lists, Client(transport), [doubt], {}, time.time())
