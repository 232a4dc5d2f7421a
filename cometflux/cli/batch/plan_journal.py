"""Plan the jobs of a batch in its journal, and draw them from it."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from cometflux.cli.batch.journal_status import count_states, summary
from cometflux.cli.batch.open_journal import open_journal
from cometflux.cli.batch.undrawn import picture_place, undrawn_outcome
from cometflux.cli.errors import UsageError
from cometflux.cli.options.shared import RunOptions
from cometflux.errors import CometfluxError
from cometflux.jobs import PlannedJob
from cometflux.journal.plan import job_of_record, plan_jobs
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.states import SENDING
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import Outcome
from cometflux.plain_text import by_number, count_of
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.planner import Plan
from cometflux.storage.destination import find_destination

if TYPE_CHECKING:
    from cometflux.distributed.parts import Part

_AT_THE_SERVICE = ("unsaved", "detached", "unknown", "pending", SENDING)


@attrs.define
class BatchWork:
    """The jobs of a folder, in the order in which the session draws them."""

    writer: JournalWriter
    total: int
    records: Iterator[JobRecord]

    @property
    def jobs(self) -> Iterator[PlannedJob]:
        """Yield each job once."""
        return map(job_of_record, self.records)

    def rest(self, cause: CometfluxError) -> Iterator[Outcome]:
        """Yield the outcomes of the jobs that were not drawn before *cause*, from the journal."""
        undrawn = {record.identity for record in self.records}
        with Journal(self.writer.path) as journal:
            for record in journal.records():
                if record.identity in undrawn:
                    yield undrawn_outcome(record, picture_place(journal), cause)


def plan_batch(
    writer: JournalWriter,
    plan: Plan,
    settings: RunOptions,
    place: str | None = None,
    *,
    replaces: bool = False,
    part: "Part | None" = None,
) -> tuple[BatchWork, list[str]]:
    """Open the journal and write every job of *plan* to it; return the jobs, and the notes for the user.

    If the images go to *place*, not to the journal's folder, the journal records that first. If the plan *replaces*
    earlier plans, other jobs for which nothing was sent are dropped. A *part* is claimed for this journal first, in the
    place that all parts share.

    Raises:
        SourceError: the journal has the same keys for other inputs.
        UsageError: the pictures of the batch go elsewhere.
        ConfigError: another journal has the part, or the place is divided into another number of parts.
        JournalError: the journal cannot be used.
    """
    with contextlib.ExitStack() as stack:
        open_journal(writer, settings)
        stack.callback(writer.close)
        _take_place(writer, place)
        if part is not None:
            _claim(part, place or writer.path.parent.parent, writer.name)
        records = list(records_of(plan, part))
        check_keys(writer.conflicts(records), plan)
        before = count_states(writer)["planned"]
        new, unsent = writer.plan(records, replaces=replaces)
        notes = list(_notes(writer, before, len(records), new, unsent, replaces)) if before else []
        stack.pop_all()
    return BatchWork(writer, len(records), _most_urgent_first(writer, records)), notes


def records_of(plan: Plan, part: "Part | None" = None) -> Iterator[JobRecord]:
    """Make a record of each job of *plan* that is in *part*; None for all jobs."""
    for record in plan_jobs(plan, plan.name):
        if part is None or part.has(record.identity):
            yield record


def _claim(part: "Part", shared: str | Path, journal: str) -> None:
    from cometflux.distributed.parts import claim_part

    place = find_destination("out", shared)
    asyncio.run(claim_part(place, part, journal))


def plan_rest(writer: JournalWriter, settings: RunOptions) -> tuple[BatchWork, list[str]]:
    """Open the journal of a folder; return its jobs, and the notes for the user.

    Raises:
        JournalError: the journal cannot be used.
    """
    with contextlib.ExitStack() as stack:
        open_journal(writer, settings)
        stack.callback(writer.close)
        status = count_states(writer)
        stack.pop_all()
    work = BatchWork(writer, status["planned"], _most_urgent_first(writer, _read(writer)))
    return work, [f"going on with {writer.path.parent}: {summary(status)}"]


def _take_place(writer: JournalWriter, place: str | None) -> None:
    """Record where the pictures go. After the first purchase the place stays, because runs look there for pictures."""
    noted = writer.place
    if place == noted:
        return
    folder = writer.path.parent
    if place is None:
        raise UsageError(
            f"the pictures of the batch in {folder} go to {noted}: add --out {noted}, or take another folder"
        )
    if writer.bought:
        where = noted or "that folder"
        other = "another folder with --journal"
        raise UsageError(
            f"the pictures of the batch in {folder} go to {where}, not to {place}: leave it at that, or take {other}"
        )
    writer.note_place(place)


def check_keys(conflicts: Iterable[JobRecord], plan: Plan) -> None:
    """Refuse jobs whose keys the journal has for another input.

    Raises:
        SourceError: there is such a job; the error names all of them.
    """
    where = "give it another key, or another folder with --out"
    faults = [
        Fault(f"key {record.key!r} stands in the journal for another input; {where}", plan.line_of(record.index))
        for record in conflicts
    ]
    if faults:
        raise SourceError(faults, plan.name, plan.unit)


def _notes(writer: JournalWriter, before: int, total: int, new: int, unsent: int, is_replaced: bool) -> Iterator[str]:
    folder = writer.path.parent
    status = count_states(writer)
    if new == total:
        are_new = by_number(total, "the one in it is new", f"all {total} are new")
        yield f"note: none of the {count_of(before, 'job')} in {folder} is in this file; {are_new}"
    else:
        yield f"going on with {folder}: {summary(status)}"
    others = f"{count_of(unsent, 'job')} planned before {_be(unsent)} not in this file, and {_be(unsent)} not sent"
    if unsent and is_replaced:
        yield f"note: {others}: dropped"
    elif unsent:
        them = by_number(unsent, "it", "them")
        remedy = f"cometflux resume {folder} makes {them}, --replace drops {them}"
        yield f"note: {others}: {remedy}"
    if paid := status["planned"] - total - (0 if is_replaced else unsent):
        yield f"note: {count_of(paid, 'job')} of an earlier run {_be(paid)} not in this file, but paid for and counted"


def _be(number: int) -> str:
    return by_number(number, "is", "are")


def _most_urgent_first(writer: JournalWriter, records: Iterable[JobRecord]) -> Iterator[JobRecord]:
    """Yield the jobs that may be at the service first, because it keeps outputs for about an hour."""
    with Journal(writer.path) as journal:
        urgent = {record.identity: record for record in journal.records(*_AT_THE_SERVICE)}
    if isinstance(records, list):
        ours = {record.identity for record in records}
        urgent = {identity: record for identity, record in urgent.items() if identity in ours}
    return chain(urgent.values(), (record for record in records if record.identity not in urgent))


def _read(writer: JournalWriter) -> Iterator[JobRecord]:
    with Journal(writer.path) as journal:
        yield from journal.records()
