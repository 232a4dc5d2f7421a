"""The local service's public catalogue, and its balance: what they say is what it bills."""

import asyncio
import math
from decimal import Decimal

import aiohttp
import pytest
from schema_documents import SDXL, SDXL_NAME

from cometflux import flux, open_session
from cometflux.models.schemas import parse_schema
from cometflux.testing import LocalService
from cometflux.testing.faults import OF_AMOUNTS

CATALOGUE = "/api/models"
SUBSCRIPTION, USAGE = "/v1/dashboard/billing/subscription", "/v1/dashboard/billing/usage"
USER = "/api/user/self"


async def fetch(service, path, secret=None, **query):
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    async with (
        aiohttp.ClientSession() as http,
        http.get(service.origin + path, params=query, headers=headers) as response,
    ):
        return response.status, await response.json()


async def body(service, path, **query):
    secret = {USER: service.access_token, CATALOGUE: None}.get(path, service.key)
    status, found = await fetch(service, path, secret, **query)
    assert 200 == status
    return found


async def spend(service, *jobs):
    async with open_session(api_key=service.key, base_url=service.url) as session:
        async for _ in session.generate(jobs):
            pass


def quota_by(pricing):
    return Decimal(repr(pricing["per_request"])) * Decimal(repr(pricing["ratio"])) * 500_000


# ── the catalogue ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_each_model_is_billed_at_its_price_in_the_catalogue_times_its_ratio(service):
    await spend(service, *(model(prompt="a boat") for model in flux.MODELS.values()))
    records = {row["id"]: row for row in (await body(service, CATALOGUE))["data"]}
    assert 11 == len(service.bills)
    for bill in service.bills:
        assert bill.quota == quota_by(records[bill.model]["pricing"])
        assert "USD" == records[bill.model]["pricing"]["currency"]
    assert 96_000 == quota_by(records["black-forest-labs/flux-2-flex"]["pricing"])


async def test_the_catalogue_has_pages_and_other_kinds_of_models(service):
    whole = await body(service, CATALOGUE)
    assert (1, len(whole["data"])) == (whole["page"], whole["total"])
    assert {"image", "text", "video"} == {row["model_type"] for row in whole["data"]}
    pages = [await body(service, CATALOGUE, page=number, page_size=5) for number in range(1, 5)]
    assert whole["data"] == [row for page in pages for row in page["data"]]
    assert [(number, 5, whole["total"]) for number in range(1, 5)] == [
        (page["page"], page["page_size"], page["total"]) for page in pages
    ]
    assert {str, dict} == {type(row["endpoints"]) for row in whole["data"]}


async def test_one_model_is_found_by_its_code_in_which_dots_are_hyphens(service):
    found = await body(service, "/api/model/black-forest-labs/flux-1-1-pro")
    assert ("black-forest-labs/flux-1.1-pro", True) == (found["data"]["id"], found["success"])
    assert not (await body(service, "/api/model/black-forest-labs/flux-1.1-pro"))["success"]


async def test_a_model_that_is_offered_by_its_schema_is_in_the_catalogue(service):
    service.offer(parse_schema(SDXL, SDXL_NAME))
    assert SDXL_NAME in {row["id"] for row in (await body(service, CATALOGUE))["data"]}


async def test_a_key_or_a_token_that_is_sent_to_the_public_catalogue_is_a_leak(service):
    for secret in (service.key, service.access_token):
        await fetch(service, CATALOGUE, secret)
    await body(service, CATALOGUE)
    assert [CATALOGUE, CATALOGUE] == service.leaks


# ── the balance ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_balance_is_the_credit_less_the_bills_lost_responses_included(service):
    service.credit = 2
    service.fail("drop", after=True)
    await spend(service, *[flux.Flux2Flex(prompt="a boat")] * 2)
    assert 2 == (await body(service, SUBSCRIPTION))["hard_limit_usd"]
    assert 38.4 == (await body(service, USAGE))["total_usage"]
    user = (await body(service, USER))["data"]
    assert (808_000, 192_000) == (user["quota"], user["used_quota"])


async def test_a_refund_is_credited(service):
    service.credit, service.refunds = 2, True
    service.fail("failed")
    await spend(service, flux.Flux2Flex(prompt="a boat"))
    assert 0 == (await body(service, USAGE))["total_usage"]
    assert 1_000_000 == (await body(service, USER))["data"]["quota"]


@pytest.mark.parametrize(("path", "wrong"), [(SUBSCRIPTION, "token"), (USAGE, "token"), (USER, "key"), (USER, "")])
async def test_each_route_of_the_balance_takes_its_own_secret_only(service, path, wrong):
    secrets = {"token": service.access_token, "key": service.key, "": None}
    assert 401 == (await fetch(service, path, secrets[wrong]))[0]


@pytest.mark.parametrize("credit", [-1, math.nan, "5", True])
def test_a_credit_that_is_not_a_number_from_0_is_refused(credit):
    service = LocalService()
    with pytest.raises(ValueError, match="credit"):
        service.credit = credit


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────

PLACES = {"catalogue": CATALOGUE, "billing": SUBSCRIPTION, "user": USER}


def amounts(value):
    """Return the amounts of any of these bodies."""
    if isinstance(value, dict):
        named = ("per_request", "hard_limit_usd", "quota")
        return [value[name] for name in named if name in value] + amounts([*value.values()])
    return [each for item in value for each in amounts(item)] if isinstance(value, list) else []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("fault", "is_so"),
    [
        ("text-amounts", lambda found: all(isinstance(each, str) for each in found if each is not None)),
        ("negative-amounts", lambda found: all(each < 0 for each in found if each is not None)),
        ("nan-amounts", lambda found: all(math.isnan(each) for each in found if each is not None)),
        ("no-amounts", lambda found: not found),
    ],
)
async def test_amounts_misbehave_once_when_they_are_told_to(service, place, fault, is_so):
    usual = amounts(await body(service, PLACES[place]))
    assert usual
    service.fail(fault, on=place)
    assert is_so(amounts(await body(service, PLACES[place])))
    assert usual == amounts(await body(service, PLACES[place]))


def test_every_fault_of_amounts_is_tried():
    assert {"text-amounts", "negative-amounts", "nan-amounts", "no-amounts"} == OF_AMOUNTS


async def test_the_catalogue_misbehaves_in_ways_of_its_own(service):
    usual = (await body(service, CATALOGUE))["data"]
    service.fail("euros")
    assert {"EUR"} == {row["pricing"]["currency"] for row in (await body(service, CATALOGUE))["data"]}
    service.fail("twice")
    ids = [row["id"] for row in (await body(service, CATALOGUE))["data"]]
    assert 2 * len(usual) == len(ids)
    assert {2} == {ids.count(each) for each in ids}
    service.fail("short-pages")
    short = await body(service, CATALOGUE, page=2, page_size=100)
    assert (usual[4:8], len(usual), 4) == (short["data"], short["total"], short["page_size"])
    service.fail("rows-missing", on="catalogue")
    assert usual[1::2] == (await body(service, CATALOGUE))["data"]
    service.fail("ids-cut", on="catalogue")
    assert all(row["id"].endswith("…") for row in (await body(service, CATALOGUE))["data"])


@pytest.mark.parametrize("place", PLACES)
async def test_a_slow_response_comes_after_ten_seconds(service, place):
    service.fail("slow", on=place)
    async with aiohttp.ClientSession() as http:
        before = asyncio.get_running_loop().time()
        headers = {"Authorization": f"Bearer {service.access_token if place == 'user' else service.key}"}
        async with http.get(service.origin + PLACES[place], headers=headers) as response:
            assert 200 == response.status
        assert 10 <= asyncio.get_running_loop().time() - before < 11


@pytest.mark.slow
@pytest.mark.parametrize("place", [*PLACES, "tasks", "log"])
async def test_a_huge_response_has_50_megabytes(service, place):
    paths = {**PLACES, "tasks": "/api/task/self", "log": "/api/log/self"}
    service.fail("huge", on=place)
    async with aiohttp.ClientSession() as http:
        token = service.key if place == "billing" else service.access_token
        async with http.get(service.origin + paths[place], headers={"Authorization": f"Bearer {token}"}) as response:
            assert 50_000_000 <= len(await response.read()) < 51_000_000
