"""Fetch what the account charged for predictions: from its log, else from its list of tasks."""

from collections.abc import Mapping

import attrs

from cometflux.account.lists import AccountLists
from cometflux.account.usage import Charged, sum_up
from cometflux.errors import AccountError


@attrs.frozen(kw_only=True)
class Charges:
    """The charges that the account shows, and what it does not show."""

    by_id: Mapping[str, Charged]
    notes: tuple[str, ...] = ()
    """Why some charges may be missing."""


async def fetch_charges(lists: AccountLists, names: Mapping[str, str], start: float, end: float) -> Charges:
    """Fetch the charges of predictions between two times, in seconds since 1970.

    Args:
        lists: the account's lists.
        names: the id of the prediction for each name by which the account may mention it.
        start: when the first of them was submitted, or earlier.
        end: when the last refund may have been written.

    Raises:
        AccountError: neither the log nor the list of tasks can be read.
    """
    notes: list[str] = []
    found: dict[str, Charged] = {}
    try:
        entries, is_whole = await lists.entries(start, end)
        found = sum_up(names, entries)
        if not is_whole:
            notes.append("the account's log lacks rows, so the sum may be too low")
    except AccountError as error:
        notes.append(f"the log is not read: {error.problem}")
        tasks, is_whole = await lists.tasks(start, end)
        return Charges(by_id=sum_up(names, (), tasks), notes=tuple(notes))
    if set(names.values()) - {each for each, charged in found.items() if charged.is_whole}:
        try:
            tasks, _ = await lists.tasks(start, end)
            found = sum_up(names, entries, tasks)
        except AccountError as error:
            notes.append(f"the list of tasks is not read: {error.problem}")
    return Charges(by_id=found, notes=tuple(notes))
