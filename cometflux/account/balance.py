"""Read what can still be spent, in micros: see `cometflux.account.prices`. Values in, values out."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Literal

import attrs

from cometflux.account.prices import MICROS, exactly, to_dollars
from cometflux.account.usage import QUOTA_PER_DOLLAR
from cometflux.errors import AccountError, AnswerError
from cometflux.protocol import decoding

_NO_LIMIT = 100_000_000
"""A limit of so many dollars or more means no limit; source: the vendor's command line, ``cometapi-cli`` 0.3.10."""
_LARGEST = 10**15
_CENTS = 100


@attrs.frozen(kw_only=True)
class Funds:
    """What the key, or the account, can still spend."""

    source: Literal["key", "account"]
    left: int | None
    """In micros; below 0 if more was spent than there was; None if there is no limit."""
    used: int | None
    """In micros; None if the account does not say."""


@attrs.frozen(kw_only=True)
class Balance:
    """What can still be spent, as far as the account says so."""

    parts: tuple[Funds, ...]
    """At least one: that of the key, and that of the account if there is an access token."""
    notes: tuple[str, ...] = ()
    """Why a part is missing."""

    @property
    def left(self) -> int | None:
        """The smallest amount of all parts, in micros; None if no part has a limit."""
        return min((part.left for part in self.parts if part.left is not None), default=None)

    @property
    def dollars(self) -> Decimal | None:
        """The smallest amount of all parts, in dollars; None if no part has a limit."""
        return None if self.left is None else to_dollars(self.left)


def read_billing(subscription: bytes, usage: bytes) -> Funds:
    """Read the balance of a key from the responses of the two billing routes.

    Raises:
        AccountError: something in them is not understood. The message names it.
    """
    with _naming("API key"):
        limit = _read_amount(_read_object(subscription), "hard_limit_usd")
        used = round(_read_amount(_read_object(usage), "total_usage") * MICROS / _CENTS)
    left = None if limit >= _NO_LIMIT else round(limit * MICROS) - used
    return Funds(source="key", left=left, used=used)


def read_user(body: bytes) -> Funds:
    """Read the balance of the account from the response of the route of its owner.

    Raises:
        AccountError: something in it is not understood. The message names it.
    """
    with _naming("account"):
        found = _read_object(body)
        data = found["data"] if isinstance(found.get("data"), Mapping) else found
        used = None if data.get("used_quota") is None else _in_micros(data, "used_quota")
        return Funds(source="account", left=_in_micros(data, "quota"), used=used)


class _NotUnderstoodError(Exception):
    """Why a response tells no amount."""


@contextmanager
def _naming(whose: str) -> Iterator[None]:
    try:
        yield
    except _NotUnderstoodError as error:
        raise AccountError(f"the balance of the {whose} cannot be read: {error}") from None


def _in_micros(data: Mapping[str, Any], name: str) -> int:
    return round(_read_amount(data, name) * MICROS / QUOTA_PER_DOLLAR)


def _read_object(body: bytes) -> Mapping[str, Any]:
    try:
        value = decoding.load_json(body)
    except AnswerError as error:
        raise _NotUnderstoodError(error.problem) from None
    if not isinstance(value, Mapping):
        raise _NotUnderstoodError(f"the response is {decoding.kind_of(value)}")
    if (said := _refusal(value)) is not None:
        raise _NotUnderstoodError(f"the account rejects the request: {said}")
    return value


def _refusal(value: Mapping[str, Any]) -> str | None:
    """Return why a response with HTTP 200 rejects the request; None if it does not."""
    error = value.get("error")
    if value.get("success") is not False and not error:
        return None
    said = error.get("message") if isinstance(error, Mapping) else error or value.get("message")
    return said[:200] if isinstance(said, str) and said else "it gives no reason"


def _read_amount(value: Mapping[str, Any], name: str) -> Decimal:
    if name not in value:
        raise _NotUnderstoodError(f"the response has no {name!r}")
    found = value[name]
    if isinstance(found, bool) or not isinstance(found, int | float) or found > _LARGEST:
        raise _NotUnderstoodError(f"{name!r} is not an amount ({decoding.kind_of(found)})")
    if found < 0:
        # It may stand for anything, such as "no limit".
        raise _NotUnderstoodError(f"{name!r} is negative")
    return exactly(found)
