"""The journal of a batch: opened, planned, drawn from, and summed up for people."""

import asyncio
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import attrs

from cometflux.cli.batch.summary import not_drawn
from cometflux.cli.errors import UsageError
from cometflux.cli.options.shared import MAX_PENDING, RunOptions
from cometflux.cli.terminal.quoting import argument, join
from cometflux.errors import CometfluxError, ConfigError, JournalMismatchError, Money, OutputError, SessionClosedError
from cometflux.jobs import PlannedJob, position_key
from cometflux.journal.header import Account
from cometflux.journal.outcome import outcome_of
from cometflux.journal.plan import job_of_record, plan_jobs
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.states import SENDING
from cometflux.journal.writer import JournalWriter
from cometflux.locations import Location, StoredFile
from cometflux.outcomes import Outcome, OutcomeKind
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.planner import Plan
from cometflux.storage.destination import Destination, find_destination

LOCAL = "local"
"""What stands in the journal for the address and the key of the local service, which are new each time."""

_AT_THE_SERVICE = ("unsaved", "detached", "unknown", "pending", SENDING)
_TO_BUY = ("waiting", "not_sent", "rejected")
_PARTS = {
    "paid and not saved": ("unsaved",),
    "at the service": ("pending", "detached"),
    "unknown": ("unknown",),
    "ended without a picture": ("failed", "canceled", "expired"),
    "to do": _TO_BUY,
}
_UNFINISHED = ("unsaved", "pending", "detached", *_TO_BUY)


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
                    yield _outcome(record, _where(journal), cause)


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def plan_batch(
    writer: JournalWriter, plan: Plan, settings: RunOptions, place: str | None = None
) -> tuple[BatchWork, list[str]]:
    """Open the journal and write down every job of *plan*; return them, and what there is to say about it.

    Where the pictures go to *place*, not to the journal's folder, that is noted first.

    Raises:
        SourceError: keys stand in the journal for something else.
        UsageError: the pictures of the batch go elsewhere.
        JournalError: the journal cannot be used.
    """
    with contextlib.ExitStack() as stack:
        _open(writer, settings)
        stack.callback(writer.close)
        _take_place(writer, place)
        records = list(plan_jobs(plan))
        check_keys(writer.conflicts(records), plan)
        before = count_states(writer)["planned"]
        new, dropped = writer.plan(records)
        notes = list(_notes(writer, before, len(records), new, dropped)) if before else []
        stack.pop_all()
    return BatchWork(writer, len(records), _most_urgent_first(writer, records)), notes


def plan_rest(writer: JournalWriter, settings: RunOptions) -> tuple[BatchWork, list[str]]:
    """Open the journal of a folder and return the jobs in it, and what there is to say about it.

    Raises:
        JournalError: the journal cannot be used.
    """
    with contextlib.ExitStack() as stack:
        _open(writer, settings)
        stack.callback(writer.close)
        status = count_states(writer)
        stack.pop_all()
    work = BatchWork(writer, status["planned"], _most_urgent_first(writer, _read(writer)))
    return work, [f"going on with {writer.path.parent}: {summary(status)}"]


def own_base_url(folder: Path, settings: RunOptions, *, new_key: bool) -> str | None:
    """Tell where a folder's predictions are, unless that is given; None where it is, or is not known.

    With a new key the folder has no say: it may come from somebody else, who would get the key.

    Raises:
        JournalError: the journal cannot be read, or the folder was made with ``--local`` and is not taken up with it.
        ConfigError: there is no journal.
    """
    with Journal(folder) as journal:
        own = journal.base_url
    if own == LOCAL and not settings.local:
        raise JournalMismatchError(_MADE_WITH_LOCAL.format(str(folder)))
    is_given = settings.local or settings.base_url or os.environ.get("COMETFLUX_BASE_URL", "").strip()
    return None if is_given or new_key else own


def own_place(folder: Path) -> str | None:
    """Tell to which place in an object store the pictures of a folder's batch go; None where they go to the folder.

    Raises:
        JournalError: the journal cannot be read.
        ConfigError: there is no journal.
    """
    with Journal(folder) as journal:
        return journal.place


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


def _open(writer: JournalWriter, settings: RunOptions) -> None:
    try:
        writer.open()
    except JournalMismatchError as error:
        if (own := _mismatch(writer, settings)) is not None:
            raise own from error
        raise
    if settings.local:
        try:
            # What the service of an earlier run had has gone with it.
            writer.forget_service()
            _forget_files(writer)
        except BaseException:
            writer.close()
            raise


def _forget_files(writer: JournalWriter) -> None:
    """Plan anew what is no longer on the disk: nobody has it to be fetched again."""
    with Journal(writer.path) as journal:
        place = find_destination("out", writer.place or writer.path.parent)
        try:
            gone = asyncio.run(_gone(place, journal.records("saved")))
        except OutputError as error:
            # It is of no one prediction.
            raise ConfigError(error.message) from error
    writer.commit((), [record.reset() for record in gone])


async def _gone(place: Destination, records: Iterable[JobRecord]) -> list[JobRecord]:
    """Return the records of which the pictures are not all there."""
    return [
        record
        for record in records
        if await place.check_files([(file.name, file.size, file.digest) for file in record.files]) is None
    ]


_MADE_WITH_LOCAL = "the folder {!r} was made with --local; add --local, or take another folder"
_MADE_WITHOUT = "the folder {!r} was made without --local; leave --local out, or take another folder"


def _mismatch(writer: JournalWriter, settings: RunOptions) -> JournalMismatchError | None:
    """Return the error in the words of the shell; None if the library's own will do."""
    try:
        with Journal(writer.path) as journal:
            check_maker(journal, writer.path.parent, settings)
    except JournalMismatchError as error:
        return error
    except CometfluxError:
        return None
    return None


def check_maker(journal: Journal, folder: Path, settings: RunOptions) -> None:
    """Look whether a folder that was made with ``--local`` is gone on with so, and no other one is.

    Raises:
        JournalMismatchError: it is not.
    """
    own = journal.base_url
    if own is not None and (own == LOCAL) != settings.local:
        raise JournalMismatchError((_MADE_WITH_LOCAL if own == LOCAL else _MADE_WITHOUT).format(str(folder)))


def account_of(base_url: str, key: str, settings: RunOptions, *, may_change_key: bool) -> Account:
    """Name the account for the journal."""
    if settings.local:
        return Account(base_url=LOCAL, key=LOCAL)
    return Account(base_url=base_url, key=key, may_change_key=may_change_key)


# ── planning ─────────────────────────────────────────────────────────────────────────────────────────────────────────


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


def _notes(writer: JournalWriter, before: int, total: int, new: int, dropped: int) -> Iterator[str]:
    folder = writer.path.parent
    status = count_states(writer)
    if new == total:
        are_new = "the one in it is new" if total == 1 else f"all {total} are new"
        yield f"note: none of the {_jobs(before)} in {folder} is in this file; {are_new}"
    else:
        yield f"going on with {folder}: {summary(status)}"
    if dropped:
        yield f"note: {_jobs(dropped)} of an earlier run {_no_longer(dropped)} planned: not in the file, and not sent"
    if others := status["planned"] - total:
        absent = f"{_jobs(others)} of an earlier run {_no_longer(others)} in the file"
        yield f"note: {absent}, but bought, and {'stays' if others == 1 else 'stay'} counted"


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


def _no_longer(number: int) -> str:
    return "is no longer" if number == 1 else "are no longer"


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


# ── summing up ───────────────────────────────────────────────────────────────────────────────────────────────────────


def count_states(writer: JournalWriter) -> dict[str, int]:
    """Count the jobs by state, before a session works or after it."""
    with Journal(writer.path) as journal:
        status = journal.status()
        if writer.is_open and journal.is_running:
            # The lock is our own: nobody else could still get an answer.
            lost = sum(1 for _ in journal.records(SENDING))
            status["pending"] -= lost
            status["unknown"] += lost
    return status


def summary(status: Mapping[str, int]) -> str:
    """Say how far a folder is, as in ``12 of 24 saved, 3 unknown, 9 to do``."""
    counts = {words: sum(status[place] for place in places) for words, places in _PARTS.items()}
    parts = [f"{count} {words}" for words, count in counts.items() if count]
    return ", ".join([f"{status['saved']} of {status['planned']} saved", *parts])


def is_unfinished(status: Mapping[str, int]) -> bool:
    """Whether another run has something to do."""
    return any(status[place] for place in _UNFINISHED)


def has_claims(status: Mapping[str, int]) -> bool:
    """Whether something is bought, or may be, and is not on the disk."""
    return any(status[place] for place in ("unsaved", "pending", "detached", "unknown"))


def enough(writer: JournalWriter, limit: int) -> int:
    """Return a limit that lets everything be bought that is left; *limit* is the one that was given.

    Raises:
        JournalError: the journal cannot be read.
    """
    bought = left = 0
    with Journal(writer.path) as journal:
        for record in journal.records():
            bought += record.bought
            left += record.state_name in _TO_BUY
    return max(limit, bought) + max(left, 1)


def resume_line(folder: Path, settings: RunOptions, *, limit: int | None = None) -> str:
    """Write the command that goes on, as it can be pasted; *limit* takes the place of the one that was given."""
    words = ["cometflux", "resume", argument(folder)]
    for name in ("local", "embed", "gallery"):
        words += [f"--{name}"] if getattr(settings, name) else []
    options = {
        "--base-url": settings.base_url,
        # One with a password is not shown.
        "--proxy": None if "@" in (settings.proxy or "") else settings.proxy,
        "--limit": settings.limit if limit is None else limit,
        "--retry-failed": settings.retry_failed or None,
        "--max-pending": settings.max_pending if settings.max_pending != MAX_PENDING else None,
        "--creates-per-minute": settings.creates_per_minute,
        "--polls-per-minute": settings.polls_per_minute,
    }
    for name, value in options.items():
        words += [] if value is None else [name, str(value)]
    return join(words)


def _where(journal: Journal) -> Path | Location:
    return journal.path.parent if journal.place is None else Location.of(journal.place)


def _file(where: Path | Location, name: str) -> Path | StoredFile:
    return where / name if isinstance(where, Path) else StoredFile(location=where, name=name)


def _outcome(record: JobRecord, where: Path | Location, cause: CometfluxError) -> Outcome:
    """Return the outcome of a job that was not drawn before *cause*."""
    drawn = job_of_record(record)
    key = shown_key(record)
    outcome = outcome_of(record)
    if outcome.money in (Money.NOT_SENT, Money.REJECTED):
        return not_drawn(record.index, key, drawn.job, cause)
    is_detached = outcome.kind is OutcomeKind.DETACHED
    return Outcome(
        index=record.index,
        key=key,
        job=drawn.job,
        kind=outcome.kind,
        prediction=record.last_prediction if record.prediction_id else None,
        error=SessionClosedError(cause.message, money=Money.ACCEPTED) if is_detached else outcome.error,
        files=tuple(_file(where, name) for name in outcome.files) if outcome.ok else (),
        resumed=True,
    )


def shown_key(record: JobRecord) -> str:
    """Return the key by which outcomes name a job: the caller's, else its place in the last batch."""
    return record.key if record.identity.startswith("key:") else position_key(record.index)
