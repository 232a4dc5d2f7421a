"""Plan the jobs of a batch in its journal, and draw them from it."""

import contextlib
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from cometflux.basics.pages import pages
from cometflux.basics.plain_text import by_number, count_of
from cometflux.cli.batch.check_seeds import check_seeds
from cometflux.cli.batch.draft_plan import BatchPlan
from cometflux.cli.batch.finished_jobs import Draw
from cometflux.cli.batch.journal_status import has_claims, summary
from cometflux.cli.batch.next_command import resume_command
from cometflux.cli.batch.open_journal import open_journal, open_to_add
from cometflux.cli.batch.redo import NOTHING, RedoWish, again_note
from cometflux.cli.batch.redo_chains import left_note
from cometflux.cli.batch.remaining_jobs import count_states
from cometflux.cli.batch.undrawn import picture_place, undrawn_outcome
from cometflux.cli.errors import UsageError
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal import signals
from cometflux.errors import CometfluxError
from cometflux.jobs import PlannedJob
from cometflux.journal.plan import PlannedRow, job_of_record, plan_jobs
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.states import OWED
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import Outcome
from cometflux.sources.errors import MOST_FAULTS, Fault, FaultList
from cometflux.sources.planner import Plan
from cometflux.storage.destination import find_destination

if TYPE_CHECKING:
    from cometflux.distributed.parts import Part


@attrs.define
class BatchWork:
    """The jobs of a folder, in the order in which the session draws them."""

    writer: JournalWriter
    total: int
    draws: Iterator[Draw]
    """Each job once."""
    has_saved: bool = False
    """Whether some of them are saved, as far as the journal knows."""
    is_addition: bool = False
    """Whether all of them are new, so that the end of the run does not concern the folder's other jobs."""

    @property
    def jobs(self) -> Iterator[PlannedJob]:
        """The jobs that were not drawn yet."""
        return (make() for _, make in self.draws)

    def rest(self, cause: CometfluxError) -> Iterator[Outcome]:
        """Yield the outcomes of the jobs that were not drawn before *cause*, from the journal."""
        with Journal(self.writer.path) as journal:
            place = picture_place(journal)
            for page in pages(planned.identity or "" for planned in self.jobs):
                known = journal.find(page)
                yield from (undrawn_outcome(known[name], place, cause) for name in page if name in known)


def plan_batch(
    writer: JournalWriter,
    plan: BatchPlan,
    settings: RunOptions,
    place: str | None = None,
    *,
    replaces: bool = False,
    part: "Part | None" = None,
    sample: int | None = None,
) -> tuple[BatchWork, list[str]]:
    """Open the journal and write every job of *plan* to it; return the jobs, and the notes for the user.

    If the images go to *place*, not to the journal's folder, the journal records that first. If the plan *replaces*
    earlier plans, other jobs for which nothing was sent are dropped. A *part* is claimed for this journal before the
    plan is written, in the place that all parts share. With a *sample*, only so many of the jobs that may not be paid
    for yet are returned.

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
        before = count_states(writer)["planned"]
        new = unsent = 0
        is_other = before != len(plan) or not writer.has_plan(plan.draft)
        if is_other:
            check_keys(writer.conflicts(plan.draft), plan)
        if part is not None:
            _claim(part, place or writer.path.parent.parent, writer.name)
        if is_other:
            new, unsent = writer.plan(plan.draft, replaces=replaces)
        notes = list(_notes(writer, settings, before, len(plan), new, unsent, replaces)) if before else []
        stack.pop_all()
    urgent = _urgent_of(writer, plan)
    has_saved = count_states(writer)["saved"] > 0
    if sample is None:
        rows = (row for row in plan.draft if row.identity not in urgent)
        total = len(plan)
    else:
        wanted = plan.sample(sample).difference(urgent)
        rows = (row for row in plan.draft if row.identity in wanted)
        total = len(urgent) + len(wanted)
    rest = _draw_rows(writer, rows, validate=plan.validate, has_saved=has_saved)
    return BatchWork(writer, total, chain(_draw_urgent(urgent), rest), has_saved=has_saved), notes


def plan_prompts(
    writer: JournalWriter, plan: Plan, settings: RunOptions, place: str | None = None, *, replaces: bool = False
) -> tuple[BatchWork, list[str]]:
    """Open the journal and add every job of *plan* to it as a new one; return the jobs, and the notes for the user.

    *place* and *replaces* are as for `plan_batch`.

    Raises:
        InputError: an image file cannot be read any more.
        UsageError: the pictures of the folder go elsewhere.
        JournalError: the journal cannot be used.
    """
    with contextlib.ExitStack() as stack:
        open_to_add(writer, settings)
        stack.callback(writer.close)
        _take_place(writer, place)
        rows = [*plan_jobs(plan, new_from=writer.next_index)]
        _, unsent = writer.plan(rows, replaces=replaces)
        stack.pop_all()
    notes = [_unsent_note(writer, settings, unsent, "run", is_replaced=replaces)] if unsent else []
    if place is not None:
        notes.append(f"the journal of this run is in {writer.path.parent}")
    planned = (
        # The job itself, because a row has no schema.
        (None, partial(lambda row, job: attrs.evolve(row.to_job(), job=job), row, job))
        for job, row in zip(plan, rows, strict=True)
    )
    return BatchWork(writer, len(rows), planned, is_addition=True), notes


def _claim(part: "Part", shared: str | Path, journal: str) -> None:
    from cometflux.distributed.parts import claim_part

    place = find_destination("out", shared)
    signals.run(claim_part(place, part, journal))


def plan_rest(writer: JournalWriter, settings: RunOptions, redo: RedoWish = NOTHING) -> tuple[BatchWork, list[str]]:
    """Open the journal of a folder, and plan the jobs again that are asked for; return all jobs, and the notes.

    Raises:
        UsageError: *redo* names no job of the folder, or one that cannot be redone.
        SourceError: the file of changed rows has mistakes.
        JournalError: the journal cannot be used.
    """
    with contextlib.ExitStack() as stack:
        open_journal(writer, settings)
        stack.callback(writer.close)
        with Journal(writer.path) as journal:
            again = redo.find(journal)
            left = left_note(again, journal.records()) if again else None
            if settings.reseed:
                check_seeds((job_of_record(again.get(each.identity, each)).job for each in _to_send(journal)), settings)
        if again:
            # All together, so that a run that is killed now goes on with all of them.
            writer.commit([*again.values()])
        status = count_states(writer)
        stack.pop_all()
    urgent = _find_urgent(writer)
    draws = chain(_draw_urgent(urgent), _draw_journal(writer, urgent))
    work = BatchWork(writer, status["planned"], draws, has_saved=status["saved"] > 0)
    notes = [again_note(again), *([left] if left else [])] if redo else []
    return work, [*notes, f"resuming {writer.path.parent}: {summary(status)}"]


def _take_place(writer: JournalWriter, place: str | None) -> None:
    """Record where the pictures go. After the first purchase the place stays, because runs look there for pictures."""
    noted = writer.place
    if place == noted:
        return
    folder = writer.path.parent
    if place is None:
        raise UsageError(
            f"the pictures of the batch in {folder} go to {noted}: add --out {noted}, or use another folder"
        )
    if writer.bought:
        where = noted or "that folder"
        other = "another folder with --journal"
        raise UsageError(
            f"the pictures of the batch in {folder} go to {where}, not to {place}: keep that place, or use {other}"
        )
    writer.note_place(place)


def check_keys(conflicts: Iterable[PlannedRow], plan: BatchPlan) -> None:
    """Refuse jobs whose keys the journal has for another input.

    Raises:
        SourceError: there is such a job; the error names all of them.
    """
    found = [row.identity for row in conflicts]
    if not found:
        return
    lines = plan.draft.lines(set(found[:MOST_FAULTS]))
    faults = FaultList()
    for identity in found:
        key = identity.removeprefix("key:")
        where = "give it another key, use another folder with --out, or redo the job with resume --redo-from"
        faults.add(Fault(f"key {key!r} is in the journal with another input; {where}", lines.get(identity)))
    raise faults.error(plan.name, plan.unit)


def _notes(
    writer: JournalWriter, settings: RunOptions, before: int, total: int, new: int, unsent: int, is_replaced: bool
) -> Iterator[str]:
    folder = writer.path.parent
    status = count_states(writer)
    if new == total:
        are_new = by_number(total, "the one in it is new", f"all {total} are new")
        yield f"note: none of the {count_of(before, 'job')} in {folder} is in this file; {are_new}"
    else:
        yield f"resuming {folder}: {summary(status)}"
    if unsent:
        yield _unsent_note(writer, settings, unsent, "file", is_replaced=is_replaced)
    if paid := status["planned"] - total - (0 if is_replaced else unsent):
        yield f"note: {count_of(paid, 'job')} of an earlier run {_be(paid)} not in this file, but paid for and counted"


def _unsent_note(writer: JournalWriter, settings: RunOptions, unsent: int, unit: str, *, is_replaced: bool) -> str:
    others = f"{count_of(unsent, 'job')} planned before {_be(unsent)} not in this {unit}, and {_be(unsent)} not sent"
    if is_replaced:
        return f"note: {others}: dropped"
    them = by_number(unsent, "it", "them")
    command = resume_command(writer.path.parent, is_local=settings.local, schemas=settings.schema_options)
    return f"note: {others}: {command} makes {them}, --replace drops {them}"


def _be(number: int) -> str:
    return by_number(number, "is", "are")


def _urgent_of(writer: JournalWriter, plan: BatchPlan) -> dict[str, JobRecord]:
    """Return the jobs of the plan that may be at the service."""
    urgent = _find_urgent(writer)
    if urgent:
        # The others are not in this plan.
        ours = {row.identity for row in plan.draft if row.identity in urgent}
        urgent = {identity: record for identity, record in urgent.items() if identity in ours}
    return urgent


def _draw_urgent(urgent: Mapping[str, JobRecord]) -> Iterator[Draw]:
    """Draw the *urgent* jobs; they come first, because the service keeps outputs for about an hour."""
    return ((None, partial(job_of_record, record)) for record in urgent.values())


def _draw_rows(writer: JournalWriter, rows: Iterable[PlannedRow], *, validate: bool, has_saved: bool) -> Iterator[Draw]:
    """Draw the jobs of *rows*; if the journal *has_saved* jobs, also look for each."""
    with Journal(writer.path) as journal:
        for page in pages(rows):
            known = journal.find_rows([row.identity for row in page]) if has_saved else {}
            for row in page:
                found = known.get(row.identity)
                is_same = found is not None and found.plan == row.plan
                yield found if is_same else None, partial(row.to_job, validate=validate)


def _find_urgent(writer: JournalWriter) -> dict[str, JobRecord]:
    with Journal(writer.path) as journal:
        # Counted first, by the index: there may be a million rows.
        if not has_claims(journal.status()):
            return {}
        return {record.identity: record for record in journal.records(*OWED)}


def _to_send(journal: Journal) -> Iterator[JobRecord]:
    """Yield the jobs that may be submitted."""
    return (record for record in journal.records() if record.state_name != "saved")


def _draw_journal(writer: JournalWriter, without: Container[str]) -> Iterator[Draw]:
    with Journal(writer.path) as journal:
        yield from ((row, partial(journal.job_of, row)) for row in journal.rows(without=without))
