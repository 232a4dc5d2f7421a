"""What predictions cost by estimate, and what the account charged for them. The two are never added to each other."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs

from cometflux.journal.record import JobRecord

_MICROS_OF_QUOTA = 2
"""500,000 quota are one dollar."""


@attrs.define
class CostSum:
    """The costs of some jobs, including all predictions that are, or may be, paid for."""

    estimated: int = 0
    """In millionths of a dollar, as all amounts here."""
    bases: Counter[str] = attrs.field(factory=Counter)
    """Where the prices came from, and for how many predictions."""
    without_price: int = 0
    """How many predictions had no price when they were submitted."""
    charged: int = 0
    """The charges that the account showed when it was read, before refunds."""
    refunded: int = 0
    charges: int = 0
    """For how many predictions the account showed a charge."""

    def add(self, record: JobRecord) -> None:
        """Add the predictions of a job."""
        for estimate in record.estimates:
            if estimate is None:
                self.add_estimates(None, 0, 1)
            else:
                self.add_estimates(estimate.basis, estimate.micros, 1)
        for charge in record.charges:
            self.add_charges(charge.quota, charge.refunded, 1)

    def add_estimates(self, basis: str | None, micros: int, count: int) -> None:
        """Add so many predictions with the same basis, which cost *micros* together; None for those without a price."""
        if basis is None:
            self.without_price += count
        else:
            self.estimated += micros
            self.bases[basis] += count

    def add_charges(self, quota: int, refunded: int, count: int) -> None:
        """Add the charges of so many predictions."""
        self.charged += quota * _MICROS_OF_QUOTA
        self.refunded += refunded * _MICROS_OF_QUOTA
        self.charges += count


def describe_estimate(costs: CostSum) -> dict[str, Any]:
    """Return the sum of the estimates, for JSON, and how many predictions are not in it."""
    return {
        "estimated_cost": _dollars(costs.estimated) if costs.bases else None,
        "cost_basis": ", ".join(costs.bases) or None,
        "without_price": costs.without_price,
    }


NO_COSTS: Mapping[str, str | None] = dict.fromkeys(("estimated_cost", "cost_basis", "charged", "refunded"))
"""What `describe_costs` returns of a job of which nothing is known."""


def describe_costs(record: JobRecord) -> dict[str, Any]:
    """Return what a job cost, for JSON: dollars as text, because a JSON number may lose digits.

    An estimate is there only if every prediction had a price, and a charge only if the account was read.
    """
    costs = CostSum()
    costs.add(record)
    is_estimated = costs.bases and not costs.without_price
    estimated = describe_estimated(costs.estimated, ", ".join(costs.bases)) if is_estimated else NO_COSTS
    if not costs.charges:
        return dict(estimated)
    return {**estimated, "charged": _dollars(costs.charged), "refunded": _dollars(costs.refunded)}


def describe_estimated(micros: int, basis: str) -> dict[str, str | None]:
    """Return what a job cost by estimate, as `describe_costs` does."""
    return {**NO_COSTS, "estimated_cost": _dollars(micros), "cost_basis": basis}


def _dollars(micros: int) -> str:
    exact = Decimal(micros).scaleb(-6)
    return f"{exact.quantize(Decimal('0.01')) if micros % 10_000 == 0 else exact.normalize():f}"
