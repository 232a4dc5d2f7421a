"""Choose the jobs of a folder to make again: by state, by key, or by a file of changed rows."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from cometflux.basics.plain_text import by_number, count_of
from cometflux.cli.batch.redo_chains import FolderKeys, takes_own_output
from cometflux.cli.batch.undrawn import shown_key
from cometflux.cli.batch.unknown_jobs import JobNames
from cometflux.cli.errors import UsageError
from cometflux.cli.terminal.screen import clip
from cometflux.journal.plan import plan_jobs
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.redo import REDONE_STATES, has_state, is_under_way, redone
from cometflux.models.schemas import ModelSchema
from cometflux.models.words import closest, question
from cometflux.sources.columns import Columns
from cometflux.sources.defaults import Defaults
from cometflux.sources.errors import Fault, FaultList
from cometflux.sources.formats.open_file import format_of, read_path
from cometflux.sources.planner import Planner
from cometflux.sources.rows import Entry, Row, Source


@attrs.frozen(kw_only=True)
class RedoWish:
    """The jobs that somebody asks for again."""

    given: tuple[str, ...] = ()
    """States and keys, as they were given: each may have several, with commas between them."""
    source: Source | None = None
    """The changed rows, which can be taken again and again; None without a file."""
    folder: Path = Path()
    """The folder of that file."""
    schemas: Mapping[str, ModelSchema] = {}

    def __bool__(self) -> bool:
        return bool(self.given) or self.source is not None

    def find(self, journal: Journal) -> dict[str, JobRecord]:
        """Return the records as the redo makes them, by identity. Nothing is written.

        Raises:
            UsageError: a name is neither a state nor the key of a job, or a job cannot be redone.
            SourceError: the file has mistakes.
        """
        if not self:
            return {}
        rows = [] if self.source is None else self.source.rows
        keys = [*self.given, *(each for given in self.given for each in _parts(given))]
        keys += [row.values["key"] for row in rows if isinstance(row, Row) and isinstance(row.values.get("key"), str)]
        jobs = _FolderJobs(journal, keys)
        found = {each.identity: redone(each) for each in _by_name(self.given, jobs)}
        if self.source is not None:
            found.update(_by_row(self.source, self.folder, self.schemas, jobs, journal))
        return found


NOTHING = RedoWish()


def read_wish(given: tuple[str, ...], file: Path | None, schemas: Mapping[str, ModelSchema]) -> RedoWish:
    """Read the names and the file of changed rows.

    Raises:
        UsageError: a name is blank.
        SourceError: the file cannot be read.
    """
    if not all(map(str.strip, given)):
        raise UsageError("--redo is blank; give a state or a key")
    if file is None:
        return RedoWish(given=given)
    source = read_path(file, format_of(file, None, "give it one of these"), needs_prompt=False)
    # It is looked at before the question, and again when the journal is locked.
    source = attrs.evolve(source, rows=tuple(source.rows))
    return RedoWish(given=given, source=source, folder=file.parent, schemas=schemas)


def _parts(given: str) -> list[str]:
    return [part for each in given.split(",") if (part := each.strip())]


class _FolderJobs:
    """The jobs of a folder, found by state or by *keys*."""

    def __init__(self, journal: Journal, keys: Sequence[str]) -> None:
        wanted = {*keys, *(key.rpartition("@")[0] for key in keys)}
        self.states: dict[str, list[JobRecord]] = {name: [] for name in REDONE_STATES}
        for record in journal.records(*REDONE_STATES):
            if has_state(record, REDONE_STATES):
                self.states[record.state_name].append(record)
        # Read once more only if a name may be a key.
        records = journal.records() if wanted - {*REDONE_STATES, ""} else ()
        self._names = JobNames(records, lambda record: shown_key(record) in wanted)

    def find(self, key: str) -> list[JobRecord]:
        """Return the jobs that *key* may mean."""
        return [self._names.jobs[mark.identity] for mark in self._names.find(key)]

    def fault(self, key: str, found: Sequence[JobRecord]) -> str | None:
        """Return why the jobs *found* for *key* are not one that can be redone; None if they are."""
        if not found:
            return f"no job has the key {clip(key, 60)!r}"
        if len(found) > 1:
            each = ", ".join(self._names.of(record) for record in found)
            return f"{len(found)} jobs go by {clip(key, 60)!r}; name one of them: {each}"
        if is_under_way(found[0]):
            return f"the job {clip(key, 60)!r} is paid for and not saved yet: resume the folder first"
        return None

    def hint(self, key: str) -> str:
        """Return what there is, for a name that nothing has."""
        counts = [f"{len(each)} {name}" for name, each in self.states.items() if each]
        meant = question(closest(key, [*REDONE_STATES, *self._names.keys]))
        there = f"the folder has {', '.join(counts) or 'no job that failed, expired, or was canceled or rejected'}"
        return f"{there}; {meant}" if meant else there


def _by_name(given: Sequence[str], jobs: _FolderJobs) -> Iterator[JobRecord]:
    faults: list[Fault] = []
    for name in dict.fromkeys(_names(given, jobs)):
        if name in jobs.states:
            yield from jobs.states[name]
            continue
        found = jobs.find(name)
        if fault := jobs.fault(name, found):
            faults.append(
                Fault(f"--redo: {fault}" if found else f"--redo: {fault}, and it is not a state; {jobs.hint(name)}")
            )
        else:
            yield found[0]
    if faults:
        raise UsageError(faults)


def _names(given: Sequence[str], jobs: _FolderJobs) -> Iterator[str]:
    """Yield each name. A key may contain a comma."""
    for each in given:
        parts = _parts(each)
        if each in jobs.states or jobs.find(each) or not parts:
            yield each
        else:
            yield from parts


# ── a file of changed rows ───────────────────────────────────────────────────────────────────────────────────────────


def _by_row(
    source: Source, folder: Path, schemas: Mapping[str, ModelSchema], jobs: _FolderJobs, journal: Journal
) -> Iterator[tuple[str, JobRecord]]:
    """Yield the jobs that the rows of *source* change, or that did not succeed.

    Raises:
        SourceError: a row is wrong in itself, or has no job in the folder; the error lists all of them.
    """
    known: dict[str, JobRecord] = {}
    matched = attrs.evolve(source, rows=[*_matched(source, jobs, known)])
    # Columns that the batch carried along are not parameters here either.
    named = {*source.columns, *(name for row in matched.rows if isinstance(row, Row) for name in row.values)}
    tags = dict.fromkeys(name for record in known.values() for name in record.tags if name in named)
    defaults = Defaults(schemas=schemas, keep_label=lambda _: "", known_keys=FolderKeys(journal))
    planner = Planner(Columns(keep=(*tags,)).apply(matched), defaults, folder)
    found = [*planner.jobs()]
    changed: dict[str, JobRecord] = {}
    for (job, _), row in zip(found, plan_jobs((job for job, _ in found), source.name), strict=True):
        identity = known[job.key or ""].identity
        changed[identity] = attrs.evolve(row.to_record(), identity=identity)
    faults = FaultList()
    for (_, line), new in zip(found, changed.values(), strict=True):
        if takes_own_output(new, changed, journal):
            faults.add(Fault("a job cannot take its own output, not even through other jobs", line))
    if faults.count:
        raise faults.error(source.name, source.unit)
    for before in known.values():
        if (new := changed[before.identity]).fingerprint != before.fingerprint or has_state(before, REDONE_STATES):
            yield before.identity, redone(before, new)


def _matched(source: Source, jobs: _FolderJobs, known: dict[str, JobRecord]) -> Iterator[Entry]:
    """Yield each row with the model of its job, or why it has no job; note the jobs in *known*, by the rows' keys."""
    times: Counter[str] = Counter()
    for row in source.rows:
        if not isinstance(row, Row):
            yield row
            continue
        key = row.values.get("key")
        if not isinstance(key, str):
            yield Fault("the row has no key, by which its job is found; cometflux failures writes it", row.line)
            continue
        found = jobs.find(key)
        if fault := jobs.fault(key, found):
            yield Fault(fault if found else f"{fault} in this folder; {jobs.hint(key)}", row.line)
            continue
        (record,) = found
        times[record.identity] += 1
        if times[record.identity] > 1 and key not in known:
            yield Fault(f"key: {clip(key, 60)!r} is the job of another row", row.line)
        elif lost := _lost(row, source, record):
            yield Fault(f"the job has {', '.join(lost)}, and the file has no such column; add it", row.line)
        else:
            known[key] = record
            yield attrs.evolve(row, values={"model": record.model, **row.values})


def _lost(row: Row, source: Source, record: JobRecord) -> list[str]:
    """Return the parameters of a job that its row neither keeps nor clears: an option gave them, not a column."""
    if row.is_body:
        return []
    columns = {*(source.columns or row.values), *source.used}
    return [name for name in record.input if name not in columns]


def again_note(records: Mapping[str, JobRecord]) -> str:
    """Return the line on the jobs that are redone."""
    if not records:
        return "nothing to redo"
    before = sum(record.bought for record in records.values())
    paid = f"; {count_of(before, 'earlier prediction')} still {by_number(before, 'counts', 'count')}" if before else ""
    return f"redoing {count_of(len(records), 'job')}{paid}"
