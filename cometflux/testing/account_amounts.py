"""The account's balance, and amounts that misbehave. Values in, values out."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from cometflux.testing.price_list import QUOTA_PER_DOLLAR

_AMOUNTS = frozenset(
    ("input", "output", "per_request", "per_second", "ratio", "hard_limit_usd", "total_usage", "quota", "used_quota")
)


def subscription(credit: float) -> dict[str, Any]:
    """Return what the key may spend in all, in dollars."""
    return {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit_usd": credit,
        "hard_limit_usd": credit,
        "system_hard_limit_usd": credit,
        "access_until": 0,
    }


def usage(spent: int) -> dict[str, Any]:
    """Return what was spent, in cents. *spent* is in quota."""
    return {"object": "list", "total_usage": spent * 100 / QUOTA_PER_DOLLAR}


def user(credit: float, spent: int) -> dict[str, Any]:
    """Return the account of a person. *credit* is in dollars, *spent* in quota."""
    quota = round(credit * QUOTA_PER_DOLLAR) - spent
    data = {"id": 1, "username": "local", "group": "default", "quota": quota, "used_quota": spent}
    return {"success": True, "message": "", "data": data}


def misstate(body: Any, fault: str) -> Any:
    """Return *body* with the amounts of a fault."""
    if isinstance(body, list):
        return [misstate(each, fault) for each in body]
    if not isinstance(body, Mapping):
        return body
    return {
        name: _MISSTATED[fault](value) if _is_amount(name, value) else misstate(value, fault)
        for name, value in body.items()
        if fault != "no-amounts" or name not in _AMOUNTS
    }


def _is_amount(name: str, value: Any) -> bool:
    return name in _AMOUNTS and isinstance(value, int | float)


_MISSTATED: Mapping[str, Callable[[Any], Any]] = {
    "text-amounts": str,
    "negative-amounts": lambda value: -value - 1,
    "nan-amounts": lambda _: math.nan,
}
