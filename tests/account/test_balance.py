"""What can still be spent: read from any bytes, as an amount or as one sentence, and never as a wrong amount."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux import errors, fetch_balance
from cometflux.account.balance import Balance, Funds, read_billing, read_user
from cometflux.errors import AccountError

SUBSCRIPTION = {"object": "billing_subscription", "hard_limit_usd": 20.0}
USAGE = {"object": "list", "total_usage": 123.4}


def dump(value):
    return json.dumps(value).encode()


def billing(subscription=SUBSCRIPTION, usage=USAGE):
    return read_billing(dump(subscription), dump(usage))


def user(value):
    return read_user(dump(value))


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_balance_of_a_key_is_its_limit_in_dollars_less_its_usage_in_cents():
    assert Funds(source="key", left=18_766_000, used=1_234_000) == billing()


@pytest.mark.parametrize(("limit", "left"), [(99_999_999, 99_999_999_000_000), (100_000_000, None), (1e12, None)])
def test_a_limit_of_a_hundred_million_or_more_is_none(limit, left):
    assert left == billing({"hard_limit_usd": limit}, {"total_usage": 0}).left


def test_noise_of_binary_fractions_is_rounded_to_millionths():
    assert 600_000 == billing({"hard_limit_usd": 1}, {"total_usage": 0.1 + 0.2 + 39.7}).left


def test_more_may_be_used_than_the_limit():
    assert -500_000 == billing({"hard_limit_usd": 1}, {"total_usage": 150}).left


@pytest.mark.parametrize("body", [{"data": {"quota": 5, "used_quota": 7}}, {"quota": 5, "used_quota": 7}])
def test_an_account_has_quota_of_which_500_000_are_a_dollar(body):
    assert Funds(source="account", left=10, used=14) == user(body)


def test_an_account_need_not_tell_what_was_used():
    assert Funds(source="account", left=1_000_000, used=None) == user({"data": {"quota": 500_000, "used_quota": None}})


WRONG = [-1, "20", "twenty", None, True, [20], {"usd": 20}, float("nan"), float("inf")]


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_an_amount_that_is_not_understood_is_named_and_never_a_figure(value):
    with pytest.raises(AccountError, match="'hard_limit_usd'"):
        billing({"hard_limit_usd": value})
    with pytest.raises(AccountError, match="'total_usage'"):
        billing(usage={"total_usage": value})
    with pytest.raises(AccountError, match="'quota'"):
        user({"data": {"quota": value}})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "not JSON"),
        (b"", "not JSON"),
        (b'{"hard_limit_usd": 20.', "not JSON"),
        (b"[]", "a list"),
        (b"null", "null"),
        (b"{}", "has no 'hard_limit_usd'"),
        (b'{"success": false, "message": "no"}', "the account rejects the request: no"),
        (b'{"error": {"message": "no such key", "type": "x"}}', "the account rejects the request: no such key"),
        (b'{"error": "gone"}', "the account rejects the request: gone"),
    ],
)
def test_another_shape_is_one_sentence(body, words):
    with pytest.raises(AccountError) as caught:
        read_billing(body, dump(USAGE))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@given(st.binary() | st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_any_bytes_are_an_amount_or_an_error(value):
    body = value if isinstance(value, bytes) else dump({"quota": value, "hard_limit_usd": value, "total_usage": value})
    for read in (read_user, lambda it: read_billing(it, it)):
        try:
            funds = read(body)
        except AccountError:
            continue
        assert type(value) in (int, float)
        assert value >= 0
        assert funds.left is None or isinstance(funds.left, int)


# ── what can be spent ────────────────────────────────────────────────────────────────────────────────────────────────


def funds(source, left):
    return Funds(source=source, left=left, used=0)


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ([("key", 5_000_000)], Decimal("5.00")),
        ([("key", None)], None),
        ([("key", None), ("account", 3_000_000)], Decimal("3.00")),
        ([("key", 1_500_000), ("account", 3_000_000)], Decimal("1.50")),
    ],
)
def test_the_smallest_of_the_amounts_can_be_spent(parts, left):
    assert left == Balance(parts=tuple(funds(*part) for part in parts)).dollars


# ── fetching ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def fetch(service, **options):
    return await fetch_balance(api_key=service.key, base_url=service.url, **options)


async def test_the_key_alone_tells_the_balance(service):
    service.credit = 7.5
    balance = await fetch(service)
    assert (Decimal("7.50"), ("key",), ()) == (
        balance.dollars,
        tuple(part.source for part in balance.parts),
        balance.notes,
    )


async def test_with_the_access_token_the_account_tells_it_too(service):
    service.credit = 100_000_000
    key, account = (await fetch(service, access_token=service.access_token)).parts
    assert (None, 100_000_000_000_000) == (key.left, account.left)
    assert {"/api/user/self", "/v1/dashboard/billing/usage", "/v1/dashboard/billing/subscription"} == {
        request.path for request in service.requests if request.authorised
    }


async def test_if_one_of_them_cannot_be_read_the_other_one_counts_and_a_note_says_so(service):
    service.fail("html", on="user")
    balance = await fetch(service, access_token=service.access_token)
    assert ["key"] == [part.source for part in balance.parts]
    (note,) = balance.notes
    assert "not JSON" in note


FAULTS = ["401", "403", "404", "429", "500", "503", "drop", "torn", "garbage", "html", "list", "redirect", "huge"]
FAULTS += ["text-amounts", "negative-amounts", "nan-amounts", "no-amounts", "hang"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_is_wrong_is_one_error_without_a_figure(service, fault):
    service.fail(fault, on="billing", rate=1.0)
    with pytest.raises(AccountError) as caught:
        await fetch(service)
    assert "\n" not in str(caught.value)
    assert [] == service.leaks


async def test_a_base_url_that_shows_no_account_is_an_error(service):
    with pytest.raises(errors.ConfigError, match="/replicate/v1"):
        await fetch_balance(api_key=service.key, base_url=service.origin + "/elsewhere")
