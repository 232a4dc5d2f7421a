"""The estimate of a run: the predictions that it would submit, and what they would cost by the known prices."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs

from cometflux import flux
from cometflux.account.prices import MICROS, Price, to_dollars
from cometflux.cli.options.known_prices import KnownPrices
from cometflux.number_checks import is_whole


@attrs.define
class Share:
    """The jobs of one model."""

    jobs: int = 0
    images: int | None = 0
    """How many images all jobs request; None if unknown."""
    predictions: int = 0
    """How many of the jobs still have to be submitted."""
    new_images: int | None = 0
    """How many images those jobs request; None if unknown."""
    cost: int = 0
    """The micros that those predictions would cost, as far as they have a price."""
    unpriced: int = 0
    """How many of those predictions have no price."""

    def add(self, images: int | None, cost: int | None, *, is_new: bool) -> None:
        """Count a job, whose prediction costs *cost*; None if it has no price."""
        self.jobs += 1
        self.images = _sum(self.images, images)
        if is_new:
            self.predictions += 1
            self.new_images = _sum(self.new_images, images)
            self.cost += cost or 0
            self.unpriced += cost is None

    def describe(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        values = attrs.asdict(self)
        # As text, because a JSON number may lose digits.
        return values | {"cost": str(to_dollars(self.cost))}


def _sum(known: int | None, more: int | None) -> int | None:
    return None if known is None or more is None else known + more


@attrs.define
class PurchaseEstimate:
    """The predictions that a run would submit."""

    limit: int | None
    """The maximum number of paid predictions; None for no limit."""
    retries: int
    """How often a job that fails for a transient reason may be submitted, and charged, again."""
    reseeds: int
    """How often a job whose images are withheld may be submitted, and charged, again with another seed."""
    shares: dict[str, Share] = attrs.field(factory=dict)
    """By model."""
    bought: int = 0
    """How many predictions of the journal were charged or may have been."""
    again: int = 0
    """How many of the jobs are over, and are asked for again."""
    status: dict[str, int] | None = None
    """The journal's counts by state; None without a journal."""
    spent: int = 0
    """The micros that those predictions cost, as far as they have a price."""
    known: KnownPrices = attrs.field(factory=KnownPrices)
    """The prices."""
    max_cost: Decimal | None = None
    """The most dollars to spend, together with those; None for any amount."""

    def add(self, model: str, given: Mapping[str, Any], *, is_new: bool) -> None:
        """Count a job."""
        cost = self.known.prices.cost(model, given)
        self.shares.setdefault(model, Share()).add(_images(model, given), cost, is_new=is_new)

    def spend(self, model: str, given: Mapping[str, Any], times: int) -> None:
        """Count predictions of the journal that were charged or may have been."""
        self.spent += times * (self.known.prices.cost(model, given) or 0)

    @property
    def total(self) -> Share:
        """The sum over all models."""
        shares = self.shares.values()
        total = Share(
            **{
                name: sum(getattr(each, name) for each in shares)
                for name in ("jobs", "predictions", "cost", "unpriced")
            }
        )
        for each in shares:
            total.images = _sum(total.images, each.images)
            total.new_images = _sum(total.new_images, each.new_images)
        return total

    @property
    def predictions(self) -> int:
        """How many predictions would be submitted within the limit."""
        wanted = self.total.predictions
        return wanted if self.limit is None else min(wanted, max(self.limit - self.bought, 0))

    @property
    def least_cost(self) -> int:
        """The micros that the run costs at least, within its limits; predictions without a price cost nothing here."""
        left, cost = self.predictions, 0
        for share in sorted(self.shares.values(), key=lambda each: each.cost / max(each.predictions, 1)):
            count = min(share.predictions, left)
            cost += share.cost * count // max(share.predictions, 1)
            left -= count
        if self.max_cost is None:
            return cost
        return min(cost, max(int(self.max_cost * MICROS) - self.spent, 0))

    def price(self, model: str) -> Price | None:
        """Return the price of a model; None if it is not known."""
        return self.known.prices.get(model)


def _images(model: str, given: Mapping[str, Any]) -> int | None:
    asked = given.get("num_outputs")
    if is_whole(asked, 1):
        return int(asked)
    return 1 if model in flux.MODELS else None
