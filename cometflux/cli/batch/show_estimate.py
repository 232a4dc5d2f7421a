"""Print the estimate of a run, and ask for consent to it."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from rich.table import Table

from cometflux.account.prices import show_dollars, to_dollars
from cometflux.basics.plain_text import by_number, count_of, plain
from cometflux.cli.batch.journal_status import summary
from cometflux.cli.batch.purchase_estimate import PurchaseEstimate, Share
from cometflux.cli.options.known_prices import describe_price
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.console import make_console
from cometflux.cli.terminal.screen import Screen
from cometflux.models.docs import slug


def show_estimate(offer: PurchaseEstimate, settings: RunOptions) -> None:
    """Print the estimate for a dry run."""
    if settings.json:
        Screen().data_json(_plain_values(offer))
        return
    console = make_console()
    console.print(_table(offer))
    if _has_cost(offer, settings):
        console.print()
        console.print(_cost_table(offer))
    for line in _lines(offer, settings):
        console.print(line, soft_wrap=True)


def _plain_values(offer: PurchaseEstimate) -> dict[str, Any]:
    models = [
        {"model": model, **share.describe(), **describe_price(offer.price(model))}
        for model, share in offer.shares.items()
    ]
    return {
        **offer.total.describe(),
        "to_buy": offer.predictions,
        "limit": offer.limit,
        "bought": offer.bought,
        "again": offer.again,
        "max_cost": None if offer.max_cost is None else str(offer.max_cost),
        "spent": str(to_dollars(offer.spent)),
        "journal": offer.status,
        "models": models,
        "notes": [*offer.known.notes(offer.shares)],
    }


def _table(offer: PurchaseEstimate) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("model")
    for name in ("jobs", "images", "predictions to buy", "images to buy"):
        table.add_column(name, justify="right")
    shares = {slug(model): share for model, share in offer.shares.items()}
    if len(shares) > 1:
        shares["total"] = offer.total
    for name, share in shares.items():
        numbers = (share.jobs, share.images, share.predictions, share.new_images)
        table.add_row(plain(name), *("?" if number is None else str(number) for number in numbers))
    return table


def _has_cost(offer: PurchaseEstimate, settings: RunOptions) -> bool:
    """Whether there is something to say of money."""
    return bool(offer.total.predictions) and not (settings.local and not settings.prices.prices)


def _cost_table(offer: PurchaseEstimate) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("model", "price", "basis"):
        table.add_column(name)
    for name in ("to buy", "estimate"):
        table.add_column(name, justify="right")
    shares = {model: share for model, share in offer.shares.items() if share.predictions}
    for model, share in shares.items():
        price = offer.price(model)
        words = ("no price known", "-") if price is None else (price.dollars, str(price.basis))
        table.add_row(plain(slug(model)), *words, str(share.predictions), "?" if price is None else _dollars(share))
    if len(shares) > 1:
        table.add_row("total", "", "", str(offer.total.predictions), _dollars(offer.total))
    return table


def _dollars(share: Share) -> str:
    return f"{show_dollars(share.cost)}{' + ?' if share.unpriced else ''}"


def _cost_lines(offer: PurchaseEstimate) -> Iterator[str]:
    total = offer.total
    yield from (f"note: {note}" for note in offer.known.notes(offer.shares))
    if 0 < total.unpriced < total.predictions:
        are = by_number(total.unpriced, "has no price, and is", "have no price, and are")
        yield f"{total.unpriced} of {count_of(total.predictions, 'prediction')} {are} not in the sum"
    if offer.max_cost is not None:
        most, spent = f"${offer.max_cost:f}", show_dollars(offer.spent)
        is_enough = to_dollars(offer.spent + total.cost) <= offer.max_cost
        end = "is enough" if is_enough else "stops the run before it is passed"
        yield f"--max-cost {offer.max_cost:f} {end}: by estimate {spent} of {most} are spent already"


def _sum_of(offer: PurchaseEstimate) -> str:
    """Return the estimated cost, as a phrase."""
    total = offer.total
    if total.unpriced == total.predictions:
        return "no price known"
    most = "at most " if offer.predictions < total.predictions else ""
    rest = f", {total.unpriced} without a price" if total.unpriced else ""
    return f"{most}{show_dollars(total.cost)} by estimate{rest}"


def _lines(offer: PurchaseEstimate, settings: RunOptions) -> list[str]:
    lines = [] if offer.status is None else [f"the journal has: {summary(offer.status)}"]
    if offer.predictions < offer.total.predictions:
        lines.append(f"--limit {offer.limit} allows {offer.predictions} of them: {offer.bought} are bought already")
    if offer.again:
        lines.append(f"{count_of(offer.again, 'job')} that {by_number(offer.again, 'is', 'are')} over would be redone")
    if offer.retries:
        lines.append(f"each that fails for a transient reason may be bought again, up to {offer.retries} times")
    if offer.reseeds:
        lines.append(f"each that is withheld may be bought again with a new seed, up to {offer.reseeds} times")
    if _has_cost(offer, settings):
        lines += _cost_lines(offer)
    bought = "nothing would be paid, with --local" if settings.local else _would_be(offer)
    return [*lines, f"{bought}; this was a dry run"]


def _would_be(offer: PurchaseEstimate) -> str:
    cost = f" ({_sum_of(offer)})" if offer.predictions else ""
    return f"{count_of(offer.predictions, 'prediction')} would be bought{cost}"


def ask(offer: PurchaseEstimate, settings: RunOptions) -> bool:
    """Print the estimate on the terminal, and return whether the user confirms it."""
    screen = Screen()
    screen.show(_table(offer))
    cost = ""
    if _has_cost(offer, settings):
        screen.say("")
        screen.show(_cost_table(offer))
        for line in _cost_lines(offer):
            screen.say(line)
        cost = _sum_of(offer)
    most = offer.retries + offer.reseeds
    retries = f", and again up to {most} times what fails" if most else ""
    again = f"{count_of(offer.again, 'job')} again" if offer.again else ""
    details = ", ".join(filter(None, (again, cost)))
    wanted = f"{count_of(offer.predictions, 'prediction')}{f' ({details})' if details else ''}{retries}"
    screen.console.print(f"buy {wanted}? [y/N] ", end="", soft_wrap=True)
    answer = ""
    try:
        # An answer that cannot be decoded is not a yes.
        with contextlib.suppress(UnicodeDecodeError):
            answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):
            # The answer did not end the line, so end it here.
            screen.say("")
    return answer.strip().lower() in ("y", "yes")
