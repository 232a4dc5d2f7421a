"""The public catalogue of models, whose prices the local service bills. Values in, values out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

QUOTA_PER_DOLLAR = 500_000
_RATIO = Decimal("0.8")
_PRICES = {
    # The only price that is known: $0.24 before the discount.
    "black-forest-labs/flux-2-flex": Decimal("0.24"),
    "black-forest-labs/flux-2-max": Decimal("0.1"),
    "black-forest-labs/flux-schnell": Decimal("0.003"),
    "black-forest-labs/flux-dev": Decimal("0.025"),
    "black-forest-labs/flux-pro": Decimal("0.055"),
    "black-forest-labs/flux-1.1-pro-ultra": Decimal("0.06"),
    "black-forest-labs/flux-kontext-max": Decimal("0.08"),
}
_OTHER_PRICE = Decimal("0.04")
_WITHOUT = dict.fromkeys(("input", "output", "per_request", "per_second", "ratio"))
_OTHERS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "gpt-of-somebody-4.1": ("text", {"input": 2.0, "output": 8.0, "ratio": 0.8}),
    "film-of-somebody-2": ("video", {"per_second": 0.1, "ratio": 1.0}),
}
"""Models that the API here does not offer, with their type and prices."""
SHORT = 4
"""How many records a page has with the fault ``short-pages``."""
_LARGEST_PAGE = 100


def quota_of(model: str) -> int:
    """Return what a prediction costs, in quota: the price in the catalogue times the ratio.

    All but one of the prices are invented.
    """
    return int(_PRICES.get(model, _OTHER_PRICE) * _RATIO * QUOTA_PER_DOLLAR)


def records(models: Iterable[str]) -> list[dict[str, Any]]:
    """Return the record of each of *models*, and those of models of other kinds."""
    priced = [
        (model, "image", {"per_request": float(_PRICES.get(model, _OTHER_PRICE)), "ratio": float(_RATIO)})
        for model in models
    ]
    others = [(model, kind, pricing) for model, (kind, pricing) in _OTHERS.items()]
    return [_record(number, *each) for number, each in enumerate([*priced, *others])]


def _record(number: int, model: str, kind: str, pricing: Mapping[str, float]) -> dict[str, Any]:
    owner, _, name = model.rpartition("/")
    path = "/replicate/v1/models/{model}/predictions" if kind == "image" else "/v1/chat/completions"
    endpoints = {"create": {"path": path, "method": "POST"}}
    return {
        "id": model,
        "code": code_of(model),
        "provider": owner or "Somebody",
        "provider_code": owner or "somebody",
        "name": name,
        "description": f"Invented for the local service: {name}.",
        "model_type": kind,
        "features": [f"text-to-{kind}"],
        "pricing": {"currency": "USD", **_WITHOUT, **pricing},
        # Both forms are seen.
        "endpoints": json.dumps(endpoints) if number % 2 else endpoints,
        "api_doc_url": None,
        "latest_model_name": None,
        "published_at": 1_750_000_000 + number,
        "upcoming": False,
    }


def code_of(model: str) -> str:
    """Return the code by which the catalogue names a model: slashes are kept, dots become hyphens."""
    return model.replace(".", "-")


def page_of(rows: Sequence[dict[str, Any]], query: Mapping[str, str], fault: str | None) -> dict[str, Any]:
    """Return the body of the page that a query asks for."""
    if fault in _OF_RECORDS:
        rows = _OF_RECORDS[fault](rows)
    size = SHORT if fault == "short-pages" else min(_number(query.get("page_size")) or _LARGEST_PAGE, _LARGEST_PAGE)
    page = max(_number(query.get("page") or query.get("p")), 1)
    data = rows[(page - 1) * size : page * size]
    return {"success": True, "page": page, "page_size": size, "total": len(rows), "data": data}


_Rows = Sequence[dict[str, Any]]


def _in_euros(rows: _Rows) -> _Rows:
    return [{**row, "pricing": {**row["pricing"], "currency": "EUR"}} for row in rows]


def _double(rows: _Rows) -> _Rows:
    dearer = [{**row, "pricing": {**row["pricing"], "per_request": 9.99}} for row in rows]
    return [*rows, *dearer]


def _cut_ids(rows: _Rows) -> _Rows:
    return [{**row, "id": f"{row['id'][:9]}…", "code": f"{row['code'][:9]}…"} for row in rows]


_OF_RECORDS = {
    "rows-missing": lambda rows: rows[1::2],
    "ids-cut": _cut_ids,
    "euros": _in_euros,
    "twice": _double,
}


def _number(text: str | None) -> int:
    return int(text[:9]) if text and text.isascii() and text.isdigit() else 0
