"""Count the jobs of a journal by state, and summarize the progress of a batch."""

import contextlib
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

from cometflux.account.prices import Prices
from cometflux.errors import CometfluxError
from cometflux.journal.reader import Journal
from cometflux.journal.states import SENDING
from cometflux.journal.writer import JournalWriter

TO_BUY = ("waiting", "not_sent", "rejected")
"""The states of the jobs that are still to be submitted."""
_CENT = Decimal("0.01")
_UNFINISHED = ("unsaved", "pending", "detached", *TO_BUY)


def count_states(writer: JournalWriter) -> dict[str, int]:
    """Count the jobs by state while no session is running."""
    with Journal(writer.path) as journal:
        status = journal.status()
        # Looked for among the rows only if there may be some: there may be a million rows.
        if status["pending"] and writer.is_open and journal.is_running:
            # The lock is ours, so no other process can still receive a response.
            lost = sum(1 for _ in journal.records(SENDING))
            status["pending"] -= lost
            status["unknown"] += lost
    return status


def summary(status: Mapping[str, int]) -> str:
    """Summarize the progress of a folder as `cometflux status` names it: ``12 of 24 saved, 3 unknown, 9 waiting``."""
    others = {name: count for name, count in status.items() if count and name not in ("planned", "saved")}
    parts = [f"{count} {name.replace('_', ' ')}" for name, count in others.items()]
    return ", ".join([f"{status['saved']} of {status['planned']} saved", *parts])


def is_unfinished(status: Mapping[str, int]) -> bool:
    """Whether another run has jobs to finish or to submit."""
    return any(status[place] for place in _UNFINISHED)


def has_claims(status: Mapping[str, int]) -> bool:
    """Whether predictions are paid for, or may be, and are not saved."""
    return any(status[place] for place in ("unsaved", "pending", "detached", "unknown"))


def enough(writer: JournalWriter, limit: int) -> int:
    """Return a limit that is enough for all remaining jobs, and above *limit*, the present one."""
    bought = left = 0
    with contextlib.suppress(CometfluxError), Journal(writer.path) as journal:
        for record in journal.records():
            bought += record.bought
            left += record.state_name in TO_BUY
        return max(limit, bought) + max(left, 1)
    return limit + max(limit, 1)


def enough_dollars(writer: JournalWriter, prices: Prices, limit: Decimal) -> Decimal:
    """Return whole cents that are enough for all remaining jobs by *prices*, and more than *limit*, the present one."""
    micros = 0
    with contextlib.suppress(CometfluxError), Journal(writer.path) as journal:
        for record in journal.records():
            times = record.bought + (record.state_name in TO_BUY)
            micros += times * (prices.cost(record.model, record.input) or 0)
        return max(_in_cents(Decimal(micros).scaleb(-6)), _in_cents(limit) + _CENT)
    return limit * 2


def _in_cents(dollars: Decimal) -> Decimal:
    return dollars.quantize(_CENT, ROUND_CEILING)
