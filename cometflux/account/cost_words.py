"""What costs are called: an estimate always says that it is one, and where its price came from."""

from cometflux.account.prices import show_dollars
from cometflux.journal.costs import CostSum


def told_costs(costs: CostSum) -> tuple[tuple[str, str], ...]:
    """Return the estimate with its basis, and the charge: each under its name, and only if it is known."""
    told: list[tuple[str, str]] = []
    if costs.bases:
        rest = f", {costs.without_price} more without a price" if costs.without_price else ""
        told.append(("by estimate", f"{show_dollars(costs.estimated)} ({', '.join(costs.bases)}{rest})"))
    if costs.charges:
        told.append(("charged", show_dollars(costs.charged - costs.refunded)))
    if costs.refunded:
        told.append(("refunded", show_dollars(costs.refunded)))
    return tuple(told)


def shortest(costs: CostSum) -> str:
    """Return the charge, else the estimate, and which of them it is; empty if neither is known for all predictions."""
    if costs.charges:
        return f"{show_dollars(costs.charged - costs.refunded)} charged"
    return f"{show_dollars(costs.estimated)} by estimate" if costs.bases and not costs.without_price else ""
