"""Ask the account for the charges of a folder's predictions, note them in the journal, and print them."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, aclosing
from itertools import chain
from pathlib import Path
from typing import Any

import attrs
from rich.table import Table

from cometflux.account.charges import Charges, fetch_charges
from cometflux.account.prices import show_dollars
from cometflux.account.settle import is_unknown
from cometflux.account.usage import Charged, dollars
from cometflux.basics.pages import pages
from cometflux.basics.plain_text import by_number, count_of, plain
from cometflux.basics.quoting import argument, join
from cometflux.cli.batch.account_access import AccountAccess
from cometflux.cli.batch.keep_manifest import renew_manifest
from cometflux.cli.batch.known_prediction import run_work
from cometflux.cli.batch.part_folders import journal_folders
from cometflux.cli.batch.undrawn import shown_key
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.console import make_console
from cometflux.cli.terminal.screen import Screen
from cometflux.journal.attempts import Charge
from cometflux.journal.costs import CostSum
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind

_MARGIN = 300.0
"""How far the account's clock may be from ours, in seconds."""
_PICTURELESS = (OutcomeKind.FAILED, OutcomeKind.CANCELED, OutcomeKind.EXPIRED)


def show_costs(screen: Screen, folder: Path, settings: RunOptions, *, as_json: bool) -> None:
    """Read the charges of a folder's predictions from the account, note them in the journal, and print them.

    Raises:
        ConfigError: the key or the access token is missing or unusable, or *folder* has no journal.
        JournalError: the journal cannot be used, or a batch is using it.
        AccountError: the account's lists cannot be fetched or read.
    """
    folders = journal_folders(folder)
    names = {each: "" if each == folder else each.name for each in folders}
    parts = [] if folders == [folder] else folders
    notes = {each: _renew(screen, each, settings) for each in folders}
    by_folder = {each: _costs_of([each], said) for each, said in notes.items()}
    costs = _costs_of(notes, list(dict.fromkeys(chain.from_iterable(notes.values())))) if parts else by_folder[folder]
    if as_json:
        by_part = {"parts": {names[each]: by_folder[each].described() for each in parts}} if parts else {}
        screen.data_json({**costs.described(), **by_part})
        return
    costs.print()
    for each in parts:
        screen.say(f"{names[each] or 'without parts'}: {by_folder[each].line()}")
    for note in costs.notes:
        screen.say(note)
    if costs.unknown:
        screen.say(f"{count_of(costs.unknown, 'unknown job')} may be charged, too; to find out:")
        screen.say(f"  {join(['cometflux', 'unknown', argument(folder), '--settle'])}")


def _renew(screen: Screen, folder: Path, settings: RunOptions) -> Sequence[str]:
    """Write the charges of the account into a folder's journal and manifest; return the account's notes."""
    access = AccountAccess.of(folder, settings)
    with access.open_journal() as (writer, journal):
        names, start = _names(journal.records())
        charges = run_work(_fetch(access, names, start), screen, "the account") if names else Charges(by_id={})
        _note(writer, journal.records(), charges.by_id)
    renew_manifest(screen, folder)
    return charges.notes


def _costs_of(folders: Iterable[Path], notes: Sequence[str]) -> "Costs":
    with ExitStack() as stack:
        journals = [stack.enter_context(Journal(each)) for each in folders]
        return Costs.of(chain.from_iterable(journal.records() for journal in journals), notes)


def _names(records: Iterable[JobRecord]) -> tuple[dict[str, str], float]:
    """Return the id of each prediction by each of its names, and the time of the first submission."""
    names: dict[str, str] = {}
    start = time.time()
    for record in records:
        ids = record.prediction_ids
        names.update(zip(ids, ids, strict=True))
        other = record.prediction and record.prediction.extra.get("id")
        if isinstance(other, str) and record.prediction_id is not None:
            names.setdefault(other, record.prediction_id)
        times = (record.began, *(each.began for each in record.earlier))
        start = min([start, *(at for at in times if at is not None)])
    return names, start


async def _fetch(access: AccountAccess, names: Mapping[str, str], start: float) -> Charges:
    async with aclosing(access.lists()) as lists:
        return await fetch_charges(lists, names, start - _MARGIN, time.time() + _MARGIN)


def _note(writer: JournalWriter, records: Iterable[JobRecord], found: Mapping[str, Charged]) -> None:
    """Write the charges into the journal."""
    now = time.time()
    charges = (
        (each, [_charge(name, found[name], now) for name in each.prediction_ids if name in found]) for each in records
    )
    for page in pages(record.charged(its) for record, its in charges if its):
        writer.commit((), page)


def _charge(prediction_id: str, found: Charged, now: float) -> Charge:
    return Charge(
        prediction_id=prediction_id,
        quota=found.charged,
        refunded=found.refunded,
        source=found.source,
        at=found.at,
        read=now,
    )


@attrs.frozen(kw_only=True)
class Costs:
    """The charges of a folder's predictions, as the journal has them."""

    predictions: int
    sums: CostSum
    charged: int
    """In quota, as `refunded`."""
    refunded: int
    sources: Mapping[str, int]
    """How many charges come from the log and from the list of tasks."""
    failed: Sequence[Mapping[str, Any]]
    """The predictions without a picture that were charged and not refunded."""
    unknown: int
    notes: Sequence[str]

    @classmethod
    def of(cls, records: Iterable[JobRecord], notes: Sequence[str]) -> "Costs":
        """Add up what the journal has."""
        predictions = charged = refunded = unknown = 0
        sums = CostSum()
        sources: Counter[str] = Counter()
        failed: list[Mapping[str, Any]] = []
        for record in records:
            sums.add(record)
            predictions += len(record.prediction_ids)
            unknown += is_unknown(record)
            endings = {record.prediction_id: record.kind, **{each.prediction_id: each.kind for each in record.earlier}}
            for charge in record.charges:
                charged, refunded = charged + charge.quota, refunded + charge.refunded
                sources[charge.source] += 1
                kind = endings.get(charge.prediction_id)
                if kind in _PICTURELESS and charge.net > 0:
                    failed.append(
                        {
                            "key": shown_key(record),
                            "prediction_id": charge.prediction_id,
                            "ended": kind.value,
                            "quota": charge.net,
                            "dollars": dollars(charge.net),
                        }
                    )
        return cls(
            predictions=predictions,
            sums=sums,
            charged=charged,
            refunded=refunded,
            sources=sources,
            failed=failed,
            unknown=unknown,
            notes=notes,
        )

    @property
    def missing(self) -> int:
        """How many predictions the account shows no charge for."""
        return self.predictions - sum(self.sources.values())

    def described(self) -> dict[str, Any]:
        """Return the costs for JSON. An estimate is also told in millionths of a dollar, and a charge in quota."""
        amounts = {"charged": self.charged, "refunded": self.refunded, "net": self.charged - self.refunded}
        return {
            "predictions": self.predictions,
            "estimated": show_dollars(self.sums.estimated),
            "estimated_micros": self.sums.estimated,
            "bases": dict(self.sums.bases),
            "without_price": self.sums.without_price,
            **{f"{name}_quota": amount for name, amount in amounts.items()},
            **{name: dollars(amount) for name, amount in amounts.items()},
            "sources": dict(self.sources),
            "without_charge": self.missing,
            "unknown": self.unknown,
            "failed_and_charged": list(self.failed),
            "notes": list(self.notes),
        }

    def line(self) -> str:
        """Return the costs in a few words."""
        return f"{count_of(self.predictions, 'prediction')}, charged {dollars(self.charged - self.refunded)} in the end"

    def print(self) -> None:
        """Print the costs for people."""
        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(justify="right")
        table.add_row("predictions", str(self.predictions))
        if self.sums.bases:
            table.add_row(f"by estimate ({', '.join(self.sums.bases)})", show_dollars(self.sums.estimated))
        if self.sums.bases and self.sums.without_price:
            table.add_row("without an estimate", str(self.sums.without_price))
        if self.missing:
            table.add_row("without a charge in the account", str(self.missing))
        table.add_row("charged", dollars(self.charged))
        table.add_row("refunded", dollars(self.refunded))
        table.add_row("charged in the end", dollars(self.charged - self.refunded))
        console = make_console()
        console.print(table)
        if tasks := self.sources.get("task"):
            console.print(f"{tasks} {by_number(tasks, 'charge is', 'charges are')} known from the list of tasks only")
        for each in self.failed:
            line = f"{each['key']} {each['ended']}, and charged {each['dollars']} (id {each['prediction_id']})"
            console.print(plain(line), markup=False)
