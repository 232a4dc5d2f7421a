"""The local service's account: a task and a charge for each bill, also if its response was lost."""

import aiohttp
import pytest

from cometflux import open_session
from cometflux.testing.faults import OF_ROWS


async def fetch(service, path, token=None, **query):
    headers = {"Authorization": f"Bearer {token or service.access_token}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{service.origin}/api/{path}", params=query, headers=headers) as response,
    ):
        return response.status, await response.json()


async def rows(service, path, **query):
    _, body = await fetch(service, path, **query)
    return body["data"]["items"]


@pytest.fixture
async def billed(service):
    """A service with three bills: the first response was lost, and the third prediction failed."""
    service.fail("drop", after=True)
    service.fail("failed", prompt="three")
    async with open_session(api_key=service.key, base_url=service.url) as session:
        async for _ in session.generate(["one", "two", "three"]):
            pass
    return service


async def test_each_bill_is_a_task_and_a_charge(billed):
    expected = [(bill.id, bill.quota) for bill in reversed(billed.bills)]
    assert expected == [(row["task_id"], row["quota"]) for row in await rows(billed, "task/self")]
    log = await rows(billed, "log/self")
    assert expected == [(row["response_id"], row["quota"]) for row in log]
    assert {2} == {row["type"] for row in log}


async def test_a_failed_prediction_is_refunded_if_the_service_is_told_to(billed):
    billed.refunds = True
    (refund,) = await rows(billed, "log/self", type=6)
    assert (billed.bills[2].id, billed.bills[2].quota) == (refund["response_id"], refund["quota"])


async def test_pages_and_filters_select_rows(billed):
    ids = [bill.id for bill in reversed(billed.bills)]
    pages = [await rows(billed, "task/self", p=number, page_size=2) for number in (1, 2, 3)]
    assert [ids[:2], ids[2:], []] == [[row["task_id"] for row in page] for page in pages]
    assert ids[:1] == [row["task_id"] for row in await rows(billed, "task/self", task_id=ids[0])]
    assert [] == await rows(billed, "task/self", end_timestamp=1)
    assert [] == await rows(billed, "task/self", platform="suno")


async def test_the_account_takes_the_access_token_and_not_the_key(billed):
    assert 401 == (await fetch(billed, "task/self", billed.key))[0]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["tasks", "log"])
@pytest.mark.parametrize("fault", sorted(OF_ROWS))
async def test_rows_misbehave_when_they_are_told_to(billed, fault, place):
    path = {"tasks": "task/self", "log": "log/self"}[place]
    billed.fail(fault, on=place)
    _, body = await fetch(billed, path)
    name = "task_id" if place == "tasks" else "response_id"
    if fault == "flat-rows":
        assert 3 == len(body["data"])
        return
    found = [row[name] for row in body["data"]["items"]]
    expected = {"rows-missing": [billed.bills[1].id], "late-rows": []}
    whole = [bill.id for bill in reversed(billed.bills)]
    assert expected.get(fault, [f"{each[:9]}…" for each in whole]) == found
    assert whole == [row[name] for row in await rows(billed, path)]
