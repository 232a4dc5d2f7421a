"""What a request costs, as far as that is known. A price is an estimate with a basis, and never a bill.

Amounts are whole millionths of a dollar ("micros"), so that sums are exact.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

import attrs

from cometflux import flux
from cometflux.errors import ConfigError, InputError

MICROS = 1_000_000
"""Micros of one dollar."""
_MOST_DOLLARS = 1_000_000_000
_TEXT = re.compile(r"[0-9]+(\.[0-9]{1,6})?")
_MODEL = re.compile(r"[^/\s]+/[^/\s]+")
_UNITS = ("per_request", "per_image")


class Basis(StrEnum):
    """Where a price comes from."""

    GIVEN = "given"
    """Given for this run or session."""
    OWN_TABLE = "own table"
    """From a table in the configuration."""
    CATALOGUE = "catalogue as given"
    """From the service's public catalogue."""
    CATALOGUE_RATIO = "catalogue with ratio"
    """From the service's public catalogue, where the price times the model's ratio is higher than the price."""


@attrs.frozen(kw_only=True)
class Price:
    """The estimated price of one request to a model."""

    micros: int
    """Of one request, or of one image."""
    is_per_image: bool = False
    basis: Basis = Basis.GIVEN

    def of(self, given: Mapping[str, Any]) -> int:
        """Return the micros of one request with this input."""
        return self.micros * (images_of(given) if self.is_per_image else 1)

    @property
    def dollars(self) -> str:
        """The price without its basis: ``$0.04 a request``."""
        return f"{show_dollars(self.micros)} {'an image' if self.is_per_image else 'a request'}"

    def __str__(self) -> str:
        return f"{self.dollars} ({self.basis})"


@attrs.frozen(kw_only=True)
class Catalogue:
    """The prices of a catalogue."""

    prices: Mapping[str, Price] = attrs.field(factory=dict)
    """By model, ``owner/name``: as the Replicate-format routes name them."""
    doubts: Mapping[str, str] = attrs.field(factory=dict)
    """The models whose price is doubtful, and why; most of them have no price."""
    note: str | None = None
    """Why the catalogue, or a part of it, could not be read; None if it could."""


def images_of(given: Mapping[str, Any]) -> int:
    """Return how many images an input requests."""
    count = given.get("num_outputs", 1)
    if isinstance(count, str) and re.fullmatch(r"\s*\d{1,9}\s*", count):
        # In a job that is not checked.
        count = int(count)
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 1 else 1


class Prices(Mapping[str, Price]):
    """Prices by model, ``owner/name``.

    Args:
        tables: the tables to look a model up in. An earlier one wins.
    """

    def __init__(self, *tables: Mapping[str, Price]) -> None:
        self._known = {model: price for table in reversed(tables) for model, price in table.items()}

    def __getitem__(self, model: str) -> Price:
        return self._known[model]

    def __iter__(self) -> Any:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def cost(self, model: str, given: Mapping[str, Any]) -> int | None:
        """Return the micros of one request; None if the model has no price."""
        price = self._known.get(model)
        return None if price is None else price.of(given)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_dollars(value: object) -> int:
    """Convert a number of dollars to micros. A float is taken as it is written: ``0.1`` is ten cents.

    Raises:
        ValueError: it is not a number of dollars from 0, or has more than six decimals. The message says which.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("must be a number of dollars, such as 0.04, without quotes and without a currency")
    exact = exactly(value)
    if not exact.is_finite() or exact < 0:
        raise ValueError("must be a number of dollars from 0")
    if exact > _MOST_DOLLARS:
        raise ValueError(f"must be at most {_MOST_DOLLARS} dollars")
    micros = exact * MICROS
    if micros != micros.to_integral_value():
        raise ValueError("must have at most six decimals")
    return int(micros)


def exactly(value: float | Decimal) -> Decimal:
    """Convert a number to the decimal number that it was written as."""
    return Decimal(float.__repr__(value)) if isinstance(value, float) else Decimal(value)


def parse_dollars(text: str) -> int:
    """Convert a text such as ``0.04`` to micros.

    Raises:
        ValueError: it is something else. The message says what it must be.
    """
    if not _TEXT.fullmatch(text):
        raise ValueError("must be a number of dollars, such as 0.04, without a currency and with at most six decimals")
    return read_dollars(Decimal(text))


def check_budget(name: str, value: object) -> int:
    """Convert a budget in dollars to micros.

    Raises:
        ConfigError: it is not a number of dollars above 0.
    """
    try:
        micros = read_dollars(value)
    except ValueError as error:
        raise ConfigError(setting=name, given=value, allowed=str(error)) from None
    if not micros:
        raise ConfigError(setting=name, given=value, allowed="must be a number of dollars above 0")
    return micros


def read_prices(name: str, given: object, basis: Basis = Basis.GIVEN) -> dict[str, Price]:
    """Read a table of prices: from a model's name to dollars a request, or to ``{"per_image": dollars}``.

    Raises:
        ConfigError: it is no such table. *name* is the setting that the message names.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(setting=name, given=given, allowed="must be a table from the name of a model to its price")
    prices: dict[str, Price] = {}
    for called, value in given.items():
        model = _model_of(name, called)
        if model in prices:
            raise ConfigError(setting=name, given=called, allowed="this model has two prices; give one")
        prices[model] = read_price(f"{name}[{called!r}]", value, basis)
    return prices


def read_price(name: str, value: object, basis: Basis = Basis.GIVEN) -> Price:
    """Read one price of such a table.

    Raises:
        ConfigError: it is no price.
    """
    if isinstance(value, Price):
        return value
    unit, dollars = "per_request", value
    if isinstance(value, Mapping):
        if len(value) != 1 or (unit := next(iter(value))) not in _UNITS:
            raise ConfigError(setting=name, given=value, allowed=f"must have one of {' and '.join(_UNITS)}")
        dollars = value[unit]
    try:
        return Price(micros=read_dollars(dollars), is_per_image=unit == "per_image", basis=basis)
    except ValueError as error:
        raise ConfigError(setting=name, given=dollars, allowed=str(error)) from None


def _model_of(name: str, called: object) -> str:
    if not isinstance(called, str):
        raise ConfigError(setting=name, given=called, allowed="the name of a model must be a string")
    try:
        return flux.find(called).model
    except InputError as error:
        if _MODEL.fullmatch(called):
            return called
        raise ConfigError(setting=name, given=called, allowed=error.allowed) from None


# ── showing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def to_dollars(micros: int) -> Decimal:
    """Convert micros to dollars, exactly, with at least two decimals."""
    exact = Decimal(micros).scaleb(-6)
    return exact.quantize(Decimal("0.01")) if micros % 10_000 == 0 else exact.normalize()


def show_dollars(micros: int) -> str:
    """Write micros as dollars: ``$0.04``, ``$0.0035``."""
    return f"{'-' if micros < 0 else ''}${abs(to_dollars(micros)):f}"
