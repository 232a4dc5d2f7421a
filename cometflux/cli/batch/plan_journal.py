"""Plan the jobs of a batch in its journal, and draw them from it."""

import contextlib
from collections.abc import Iterable, Iterator
from itertools import chain

import attrs

from cometflux.cli.batch.journal_status import count_states, summary
from cometflux.cli.batch.open_journal import open_journal
from cometflux.cli.batch.outcome_lines import count_of
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
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.planner import Plan

_AT_THE_SERVICE = ("unsaved", "detached", "unknown", "pending", SENDING)


@attrs.define
class BatchWork:
    """The jobs of a folder as they are drawn, each with its place and its identity."""

    writer: JournalWriter
    total: int
    records: Iterator[JobRecord]

    @property
    def jobs(self) -> Iterator[PlannedJob]:
        """Hand out the jobs, once."""
        return map(job_of_record, self.records)

    def rest(self, cause: CometfluxError) -> Iterator[Outcome]:
        """Yield the outcomes of what was not drawn before *cause*, as the journal has them."""
        undrawn = {record.identity for record in self.records}
        with Journal(self.writer.path) as journal:
            for record in journal.records():
                if record.identity in undrawn:
                    yield undrawn_outcome(record, picture_place(journal), cause)


def plan_batch(
    writer: JournalWriter, plan: Plan, settings: RunOptions, place: str | None = None, *, replaces: bool = False
) -> tuple[BatchWork, list[str]]:
    """Open the journal and write down every job of *plan*; return them, and what there is to say about it.

    If the images go to *place*, not to the journal's folder, that is noted first. If the plan *replaces* what was
    planned before, other jobs for which nothing was sent are dropped.

    Raises:
        SourceError: keys stand in the journal for something else.
        UsageError: the pictures of the batch go elsewhere.
        JournalError: the journal cannot be used.
    """
    with contextlib.ExitStack() as stack:
        open_journal(writer, settings)
        stack.callback(writer.close)
        _take_place(writer, place)
        records = list(plan_jobs(plan, plan.name))
        check_keys(writer.conflicts(records), plan)
        before = count_states(writer)["planned"]
        new, unsent = writer.plan(records, replaces=replaces)
        notes = list(_notes(writer, before, len(records), new, unsent, replaces)) if before else []
        stack.pop_all()
    return BatchWork(writer, len(records), _most_urgent_first(writer, records)), notes


def plan_rest(writer: JournalWriter, settings: RunOptions) -> tuple[BatchWork, list[str]]:
    """Open the journal of a folder and return the jobs in it, and what there is to say about it.

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
    """Note where the pictures go. As soon as something is bought, it is there that they are looked for."""
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
    """Refuse jobs whose keys stand in the journal for another input.

    Raises:
        SourceError: there is one; all are told.
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
        are_new = "the one in it is new" if total == 1 else f"all {total} are new"
        yield f"note: none of the {count_of(before, 'job')} in {folder} is in this file; {are_new}"
    else:
        yield f"going on with {folder}: {summary(status)}"
    others = f"{count_of(unsent, 'job')} planned before {_be(unsent)} not in this file, and {_be(unsent)} not sent"
    if unsent and is_replaced:
        yield f"note: {others}: dropped"
    elif unsent:
        remedy = f"cometflux resume {folder} makes {'it' if unsent == 1 else 'them'}, --replace drops"
        yield f"note: {others}: {remedy} {'it' if unsent == 1 else 'them'}"
    if paid := status["planned"] - total - (0 if is_replaced else unsent):
        yield f"note: {count_of(paid, 'job')} of an earlier run {_be(paid)} not in this file, but paid for and counted"


def _be(number: int) -> str:
    return "is" if number == 1 else "are"


def _most_urgent_first(writer: JournalWriter, records: Iterable[JobRecord]) -> Iterator[JobRecord]:
    """Put first what may be at the service, which keeps outputs for about an hour; the others in their order."""
    with Journal(writer.path) as journal:
        urgent = {record.identity: record for record in journal.records(*_AT_THE_SERVICE)}
    if isinstance(records, list):
        ours = {record.identity for record in records}
        urgent = {identity: record for identity, record in urgent.items() if identity in ours}
    return chain(urgent.values(), (record for record in records if record.identity not in urgent))


def _read(writer: JournalWriter) -> Iterator[JobRecord]:
    with Journal(writer.path) as journal:
        yield from journal.records()
