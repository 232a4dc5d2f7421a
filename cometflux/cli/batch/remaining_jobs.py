"""Count the jobs of a journal that a command works with, and what its remaining jobs need."""

import contextlib
from decimal import ROUND_CEILING, Decimal

from cometflux.account.prices import Prices
from cometflux.cli.batch.journal_status import TO_BUY
from cometflux.errors import CometfluxError
from cometflux.journal.reader import Journal
from cometflux.journal.states import SENDING
from cometflux.journal.writer import JournalWriter

_CENT = Decimal("0.01")


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
