"""Compare the estimate of a batch with the balance, before anything is sent. No fault of the account is an error."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from cometflux.account.prices import show_dollars
from cometflux.account.routes import find_root
from cometflux.cli.batch.known_prediction import run_work
from cometflux.cli.batch.purchase_estimate import PurchaseEstimate
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import CometfluxError, ConfigError
from cometflux.journal.reader import Journal
from cometflux.session.fetch_balance import fetch_balance
from cometflux.session.settings import read_base_url, read_key

LONGEST = 5.0
"""How long the balance may take, in seconds."""


def find_shortage(
    offer: Callable[[], PurchaseEstimate],
    settings: RunOptions,
    folder: Path,
    own_url: Callable[[], str | None] = lambda: None,
) -> str | None:
    """Return a sentence if the estimate of a batch exceeds the balance; None if it does not, or if one is not known.

    Without something to submit, the balance is not fetched. Predictions that are paid for and not saved do not wait for
    it, either. Prints at most one note.

    Args:
        offer: returns the estimate.
        settings: the settings of the batch, with the prices that are known.
        folder: the folder of the batch.
        own_url: returns the address in the folder's journal, if it may be used.
    """
    if not settings.prices.prices:
        return None
    try:
        base_url, key = read_base_url(settings.base_url or own_url()), read_key()
    except CometfluxError:
        # The run itself reports it.
        return None
    if find_root(base_url) is None or not _may_wait(folder, base_url, key) or not (cost := offer().least_cost):
        return None
    left = _fetch(settings, base_url, key)
    if left is None or cost <= left:
        return None
    return f"by estimate this costs {show_dollars(cost)}, and the balance is {show_dollars(left)}"


def _may_wait(folder: Path, base_url: str, key: str) -> bool:
    """Whether the folder owes nothing, and does not belong to another address or key: that one must not get the key."""
    try:
        with Journal(folder) as journal:
            status = journal.status()
            is_free = journal.base_url is None or journal.is_of(base_url, key)
            return is_free and not any(status[name] for name in ("unsaved", "pending", "detached"))
    except ConfigError:
        # There is no journal yet.
        return True
    except CometfluxError:
        return False


def _fetch(settings: RunOptions, base_url: str, key: str) -> int | None:
    async def work() -> int | None:
        async with asyncio.timeout(LONGEST):
            return (await fetch_balance(api_key=key, base_url=base_url, proxy=settings.proxy)).left

    screen = Screen(settings.voice)
    try:
        return run_work(work(), screen, "the balance")
    except CometfluxError as error:
        why = error.problem
    except TimeoutError:
        why = f"it did not arrive within {LONGEST:g} s"
    screen.say(f"note: the estimate is not compared with the balance: {why}")
    return None
