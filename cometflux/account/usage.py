"""Read the account's list of tasks and its log of charges. Values in, values out.

Reading is total: any bytes become rows, with what could not be read counted. The shapes are those of the vendor's
documentation and of its own command line; other shapes are taken as far as they are understood.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import attrs

from cometflux.account.prices import MICROS, show_dollars
from cometflux.errors import AnswerError
from cometflux.protocol import decoding

QUOTA_PER_DOLLAR = 500_000
"""The account counts money in quota; source: the vendor's command line, ``cometapi-cli`` 0.3.10."""
_LARGEST_QUOTA = 10**15
_MILLISECONDS = 10**11
"""A larger time is in milliseconds."""
_SHORTEST_CUT = 8
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(?:\.0*)?")


@attrs.frozen(kw_only=True)
class Page:
    """One page of rows, as objects of JSON."""

    rows: tuple[Mapping[str, Any], ...] = ()
    total: int | None = None
    """How many rows all pages have; None if it is not given."""
    unread: int = 0
    """How many rows are not objects."""
    fault: str | None = None
    """Why there are no rows; None if the page was understood."""


@attrs.frozen(kw_only=True)
class Task:
    """A row of the list of tasks."""

    id: str
    """The prediction's id; it may be cut."""
    model: str | None = None
    at: float | None = None
    """When it was submitted, in seconds since 1970."""
    quota: int | None = None
    platform: str | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether its platform makes no predictions of the Replicate-format routes. A platform may be a number."""
        return self.platform is not None and self.platform.isalpha() and self.platform.casefold() not in _OURS

    def is_cut_from(self, prediction_id: str) -> bool:
        """Whether the id is the beginning of this one."""
        return len(self.id) >= _SHORTEST_CUT and prediction_id.startswith(self.id)


class EntryKind(StrEnum):
    """The kind of a row of the log."""

    CHARGE = "charge"
    REFUND = "refund"
    OTHER = "other"


@attrs.frozen(kw_only=True)
class Entry:
    """A row of the log."""

    kind: EntryKind
    names: frozenset[str]
    """The ids in it: of the request, of the response, of the task."""
    quota: int | None = None
    """The amount, never negative; None if it cannot be read."""
    at: float | None = None


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_page(body: bytes) -> Page:
    """Read the rows of a response: in ``data``, in ``data.items``, or the list itself."""
    try:
        value = decoding.load_json(body)
    except AnswerError as error:
        return Page(fault=error.message)
    if isinstance(value, dict) and value.get("success") is False:
        said = value.get("message")
        reason = f": {said[:200]}" if isinstance(said, str) and said else ""
        return Page(fault=f"the account rejects the request{reason}")
    found = _find_rows(value)
    if found is None:
        return Page(fault=f"the response has no list of rows ({decoding.kind_of(value)})")
    rows, holder = found
    objects = tuple(row for row in rows if isinstance(row, dict))
    return Page(rows=objects, total=_read_count(holder.get("total")), unread=len(rows) - len(objects))


def _find_rows(value: Any) -> tuple[list[Any], Mapping[str, Any]] | None:
    """Return the rows and the object that holds them. An empty list may be written as null."""
    holder: Mapping[str, Any] = {}
    for _ in range(_DEEPEST_ROWS):
        if isinstance(value, list):
            return value, holder
        if not isinstance(value, dict):
            return None
        holder = value if "total" in value else holder
        name = next((each for each in _ROWS if each in value), None)
        if name is None:
            return None
        if value[name] is None:
            return [], holder
        value = value[name]
    return None


_ROWS = ("items", "data", "rows", "list", "tasks", "logs")
_DEEPEST_ROWS = 4


def _read_count(value: Any) -> int | None:
    found = read_quota(value)
    return found if found is not None and found >= 0 else None


def mark_of(row: Mapping[str, Any]) -> str:
    """Return a text that is the same for a row that comes again on another page.

    The row's own number is left out: gateways of this make number the rows of each page, or repeat the numbers.
    """
    return repr(sorted((item for item in row.items() if item[0] != "id"), key=str))


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_task(row: Mapping[str, Any]) -> Task | None:
    """Read a row of the list of tasks; None if it has no id."""
    found = _first_text(row, "task_id", "prediction_id", "response_id")
    if found is None:
        return None
    at = next((time for name in ("submit_time", "created_at") if (time := _read_time(row.get(name)))), None)
    return Task(
        id=found.rstrip(".…*"),
        model=_first_text(row, "model_name", "model"),
        at=at,
        quota=read_quota(row.get("quota")),
        platform=_first_text(row, "platform"),
    )


_OURS = ("replicate", "flux")


def read_entry(row: Mapping[str, Any]) -> Entry:
    """Read a row of the log."""
    kind = _KINDS.get(str(row.get("type")).strip().casefold(), EntryKind.OTHER)
    quota = read_quota(row.get("quota"))
    if quota is not None and quota < 0:
        # A refund may be written as a negative charge.
        kind = EntryKind.REFUND if kind is EntryKind.CHARGE else kind
        quota = -quota
    return Entry(
        kind=kind,
        names=frozenset(_names(row)),
        quota=quota,
        at=_read_time(row.get("created_at")),
    )


_KINDS = {
    **dict.fromkeys(("2", "consume", "consumption"), EntryKind.CHARGE),
    **dict.fromkeys(("6", "refund"), EntryKind.REFUND),
}
_NAMES = ("response_id", "task_id", "prediction_id", "request_id")


def _names(row: Mapping[str, Any]) -> Iterator[str]:
    other = row.get("other")
    if isinstance(other, str):
        try:
            other = decoding.load_json(other.encode())
        except AnswerError:
            other = None
    for part in (row, other if isinstance(other, dict) else {}):
        for name in _NAMES:
            if (found := _first_text(part, name)) is not None:
                yield found


def _first_text(row: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def read_quota(value: Any) -> int | None:
    """Read a whole number, also from a text or a float; None if it is not one, or absurdly large."""
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value.strip().partition(".")[0])
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_QUOTA:
        value = int(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and abs(value) <= _LARGEST_QUOTA else None


def _read_time(value: Any) -> float | None:
    found = read_quota(int(value) if isinstance(value, float) and abs(value) < _LARGEST_QUOTA else value)
    if found is None or found <= 0:
        return None
    return found / 1000 if found > _MILLISECONDS else float(found)


# ── money ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def dollars(quota: int) -> str:
    """Write an amount in dollars, exactly: at least two places, and as many as it needs."""
    return show_dollars(quota * (MICROS // QUOTA_PER_DOLLAR))


@attrs.frozen(kw_only=True)
class Charged:
    """What the account says about one prediction."""

    charged: int = 0
    """In quota."""
    refunded: int = 0
    at: float | None = None
    """The time of the last row, in seconds since 1970."""
    source: str = "log"
    """``log``, or ``task`` if only the list of tasks has an amount."""

    @property
    def is_whole(self) -> bool:
        """Whether there is a charge for each refund."""
        return self.refunded <= self.charged


def sum_up(names: Mapping[str, str], entries: Iterable[Entry], tasks: Iterable[Task] = ()) -> dict[str, Charged]:
    """Add the charges and the refunds of each prediction.

    Args:
        names: the id of the prediction for each name by which a row may mention it; its own id is one of them.
        entries: the rows of the log.
        tasks: the rows of the list of tasks, for the predictions that the log does not charge.
    """
    found: dict[str, Charged] = {}
    for entry in entries:
        mentioned = {names[name] for name in entry.names if name in names}
        is_money = entry.kind is not EntryKind.OTHER and entry.quota is not None
        if len(mentioned) != 1 or not is_money:
            continue
        (prediction_id,) = mentioned
        found[prediction_id] = _add(found.get(prediction_id, Charged()), entry)
    for task in tasks:
        prediction_id = names.get(task.id, "")
        known = found.get(prediction_id)
        if prediction_id and not (known and known.is_whole) and task.quota is not None and task.quota >= 0:
            refunded = 0 if known is None else known.refunded
            found[prediction_id] = Charged(charged=task.quota, refunded=refunded, at=task.at, source="task")
    return found


def _add(known: Charged, entry: Entry) -> Charged:
    assert entry.quota is not None
    at = max((each for each in (known.at, entry.at) if each is not None), default=None)
    if entry.kind is EntryKind.REFUND:
        return attrs.evolve(known, refunded=known.refunded + entry.quota, at=at)
    return attrs.evolve(known, charged=known.charged + entry.quota, at=at)
