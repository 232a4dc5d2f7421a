"""Reads the service's public catalogue of models, as far as it has prices for requests.

Its shape is known from the vendor's documentation and command line, and may be another. The sources disagree on whether
``per_request`` is meant before or after the ``ratio``. So the higher price counts: an estimate should not be too low.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

import attrs

from cometflux.account.prices import MICROS, Basis, Catalogue, Price, exactly
from cometflux.basics.plain_text import plain
from cometflux.errors import AnswerError
from cometflux.number_checks import is_whole
from cometflux.protocol.decoding import load_json

_MOST_MODELS = 20_000
_LONGEST_NAME = 200
_MOST_DOLLARS = 10_000
"""No request costs more."""
_DOLLARS = {"", "usd", "$", "us$", "dollar", "dollars"}
_LISTS = ("data", "models", "items", "list")


@attrs.frozen(kw_only=True)
class CataloguePage:
    """The rows of one response."""

    rows: tuple[Mapping[str, Any], ...] = ()
    total: int | None = None
    """How many rows all pages have; None if the response does not say."""
    fault: str | None = None
    """Why it cannot be read; None if it can."""


def read_page(body: bytes) -> CataloguePage:
    """Read a response of the catalogue. Any bytes become rows, or a fault."""
    try:
        value = load_json(body)
    except AnswerError as error:
        return CataloguePage(fault=plain(error.message)[:_LONGEST_NAME])
    total = None
    # As deep as any gateway of this make puts a list.
    for _ in range(3):
        if isinstance(value, list):
            rows = tuple(row for row in value[:_MOST_MODELS] if isinstance(row, dict))
            return CataloguePage(rows=rows, total=total)
        if not isinstance(value, dict):
            break
        if is_whole(count := value.get("total"), 0):
            total = count
        value = next((value[name] for name in _LISTS if isinstance(value.get(name), dict | list)), None)
    return CataloguePage(fault="it has no list of models")


def read_rows(rows: Iterable[Mapping[str, Any]]) -> Catalogue:
    """Read the prices of all rows."""
    prices: dict[str, Price] = {}
    doubts: dict[str, str] = {}
    for model, pricing in _priced(rows):
        try:
            price = _read_pricing(pricing)
        except ValueError as error:
            doubts.setdefault(model, str(error))
            continue
        if price is None:
            continue
        if (other := prices.get(model)) is not None and other != price:
            doubts.setdefault(model, "it is listed twice, and the higher price counts")
            price = max(price, other, key=lambda each: each.micros)
        prices[model] = price
    return Catalogue(prices=prices, doubts=doubts)


def _priced(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name of each model of the Replicate-format routes, and its prices."""
    for row in rows:
        model, pricing = row.get("id"), row.get("pricing")
        # Models of other routes have no owner, and prices of their own.
        if isinstance(pricing, dict) and isinstance(model, str) and "/" in model and len(model) <= _LONGEST_NAME:
            yield plain(model.strip()), pricing


def _read_pricing(pricing: Mapping[str, Any]) -> Price | None:
    """Read the prices of one model; None if it has no price for a request.

    Raises:
        ValueError: its price cannot be used. The message says why.
    """
    dollars, currency = pricing.get("per_request"), pricing.get("currency")
    if dollars is None or (type(dollars) in (int, float) and dollars == 0):
        return None
    if currency is not None and (not isinstance(currency, str) or currency.strip().lower() not in _DOLLARS):
        raise ValueError("it is not in dollars")
    given = _micros(dollars)
    try:
        with_ratio = _micros(dollars, pricing.get("ratio"))
    except ValueError:
        with_ratio = 0
    if with_ratio > given:
        return Price(micros=with_ratio, basis=Basis.CATALOGUE_RATIO)
    return Price(micros=given, basis=Basis.CATALOGUE)


def _micros(dollars: Any, factor: Any = 1) -> int:
    """Multiply, and round up to whole micros. Digits after the ninth decimal come from arithmetic with floats."""
    if not (type(dollars) in (int, float) and type(factor) in (int, float)):
        raise ValueError("it is not a number of dollars")
    exact = exactly(dollars) * exactly(factor)
    # Checked before it is rounded, which fails for numbers of many digits, and after, when nothing may be left of it.
    if not (0 < exact <= _MOST_DOLLARS and (exact := exact.quantize(Decimal("1e-9")))):
        raise ValueError("it is not a likely number of dollars")
    return int((exact * MICROS).to_integral_value(ROUND_CEILING))
