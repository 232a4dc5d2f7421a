"""Reads the service's public catalogue of models, as far as it has prices for requests.

The vendor's documentation and command line show its shape; nothing of it may be relied on. Whether ``per_request`` is
meant before or after the ``ratio``, the sources disagree. So the higher one counts: an estimate should not be too low.
"""

from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

import attrs

from cometflux.account.prices import MICROS, Basis, Price, exactly
from cometflux.errors import AnswerError
from cometflux.plain_text import plain
from cometflux.protocol.decoding import load_json

LARGEST_CATALOGUE = 8 * 1024 * 1024
"""Maximum bytes that are read of a catalogue."""
_MOST_MODELS = 20_000
_LONGEST_NAME = 200
_MOST_DOLLARS = 10_000
"""No request costs more."""
_DOLLARS = {None, "", "usd", "$", "us$", "dollar", "dollars"}
_LISTS = ("data", "models", "items", "list")


@attrs.frozen(kw_only=True)
class Catalogue:
    """What a catalogue says of prices."""

    prices: Mapping[str, Price] = attrs.field(factory=dict)
    """By model, ``owner/name``: as the Replicate-format routes name them."""
    note: str | None = None
    """What of it could not be read; None if all could."""


def read_catalogue(body: bytes) -> Catalogue:
    """Read a catalogue. Any bytes become prices, or a note."""
    if len(body) > LARGEST_CATALOGUE:
        return Catalogue(note=f"the price catalogue is larger than {LARGEST_CATALOGUE >> 20} MiB, so it is not read")
    try:
        rows = _rows_of(load_json(body))
    except AnswerError as error:
        return Catalogue(note=plain(f"the price catalogue cannot be read: {error.message}")[:_LONGEST_NAME])
    if rows is None:
        return Catalogue(note="the price catalogue has no list of models")
    prices: dict[str, Price] = {}
    faults: dict[str, str] = {}
    for model, pricing in _priced(rows):
        try:
            price = _read_pricing(pricing)
        except ValueError as error:
            faults.setdefault(model, str(error))
            continue
        if price is None:
            continue
        if (other := prices.get(model)) is not None and other != price:
            faults.setdefault(model, "it is there twice, and the higher price counts")
            price = max(price, other, key=lambda each: each.micros)
        prices[model] = price
    return Catalogue(prices=prices, note=_note(faults) or (None if prices else "the price catalogue has no prices"))


def _rows_of(value: Any) -> list[Any] | None:
    # As deep as any gateway of this make puts a list.
    for _ in range(3):
        if isinstance(value, list):
            return value[:_MOST_MODELS]
        if not isinstance(value, dict):
            return None
        value = next((value[name] for name in _LISTS if isinstance(value.get(name), dict | list)), None)
    return None


def _priced(rows: list[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name of each model of the Replicate-format routes, and its prices."""
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("pricing"), dict):
            continue
        model = row.get("id")
        # Models of other routes have no owner, and prices of their own.
        if isinstance(model, str) and "/" in model and len(model) <= _LONGEST_NAME:
            yield model.strip(), row["pricing"]


def _read_pricing(pricing: Mapping[str, Any]) -> Price | None:
    """Read the prices of one model; None if it has no price for a request.

    Raises:
        ValueError: its price cannot be used. The message says why.
    """
    dollars = pricing.get("per_request")
    if dollars is None or (type(dollars) in (int, float) and dollars == 0):
        return None
    currency = pricing.get("currency")
    if not (currency is None or isinstance(currency, str)) or (currency and currency.strip().lower() not in _DOLLARS):
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
    """Multiply, and round up to whole micros. What lies beyond nine decimals comes from arithmetic with floats."""
    if not (type(dollars) in (int, float) and type(factor) in (int, float)):
        raise ValueError("it is not a number of dollars")
    exact = exactly(dollars) * exactly(factor)
    if not 0 < exact <= _MOST_DOLLARS:
        raise ValueError("it is not a likely number of dollars")
    return int((exact.quantize(Decimal("1e-9")) * MICROS).to_integral_value(ROUND_CEILING))


def _note(faults: Mapping[str, str]) -> str | None:
    if not faults:
        return None
    model, why = next(iter(faults.items()))
    more = f", and {len(faults) - 1} more like it" if len(faults) > 1 else ""
    return f"the price of {plain(model)[:80]} in the catalogue is doubtful: {why}{more}"
