"""The prices that a run knows."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import attrs

from cometflux import flux
from cometflux.account.prices import Price, Prices, to_dollars
from cometflux.models.docs import slug


@attrs.frozen(kw_only=True)
class KnownPrices:
    """Prices by model, and why others are missing."""

    prices: Prices = attrs.field(factory=Prices)
    doubts: Mapping[str, str] = MappingProxyType({})
    """The models whose price is doubtful or missing, and why."""
    note: str | None = None
    """Why the catalogue, or a part of it, could not be read; None if it could."""

    def notes(self, models: Iterable[str]) -> Iterator[str]:
        """Yield why prices of these models are doubtful or missing."""
        wanted = [*models]
        if self.note is not None and not all(each in self.prices or each in self.doubts for each in wanted):
            yield self.note
        yield from (f"the price of {short_name(each)}: {self.doubts[each]}" for each in wanted if each in self.doubts)


def short_name(model: str) -> str:
    """Return the shortest name by which options and files know a model."""
    return slug(model) if model in flux.MODELS else model


def describe_price(price: Price | None) -> dict[str, str | None]:
    """Return a price as values for JSON: dollars as text, because a JSON number may lose digits."""
    if price is None:
        return {"price": None, "unit": None, "basis": None}
    unit = "image" if price.is_per_image else "request"
    return {"price": f"{to_dollars(price.micros):f}", "unit": unit, "basis": str(price.basis)}


def merge_prices(
    given: Mapping[str, Price],
    own: Mapping[str, Price],
    project: Mapping[str, Price],
    catalogue: Mapping[str, Price],
    place: str = "",
) -> tuple[Prices, dict[str, str]]:
    """Return the price of each model, and notes on the prices that were ignored.

    A price *given* in an option wins, then the user's *own*, then the *catalogue*'s. The file *place* of a *project*
    can only raise the last two.
    """
    known = Prices(own, catalogue)
    higher, notes = dict[str, Price](), dict[str, str]()
    for model, price in project.items():
        if (other := known.get(model)) is None or _is_at_least(price, other):
            higher[model] = price
        elif model not in given:
            notes[model] = f"it stays {other}: {place} says {price.dollars}, and may only raise it"
    return Prices(given, higher, known), notes


def _is_at_least(price: Price, other: Price) -> bool:
    """Whether no request costs less by *price* than by *other*."""
    return price.micros >= other.micros and (price.is_per_image or not other.is_per_image)
