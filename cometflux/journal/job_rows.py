"""Jobs as rows of the journal: how they are written, found and planned within a transaction."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import attrs

from cometflux.basics.pages import PAGE, pages
from cometflux.jobs import Job, PlannedJob, position_key
from cometflux.journal import codec
from cometflux.journal.costs import CostSum
from cometflux.journal.plan import PlannedRow, job_of_record, job_of_saved
from cometflux.journal.record import JobRecord
from cometflux.journal.redo import was_planned_as
from cometflux.journal.respelling import respelled
from cometflux.journal.states import DROPPED, OWED, State
from cometflux.storage.file_names import file_stem

COLUMNS = "identity, place, plan, standing, bought, progress"
"""Of a job, in the order in which `to_record` takes them."""
_PUT = """
INSERT INTO jobs(identity, place, plan, standing, bought, progress, serial) VALUES(?, ?, ?, ?, ?, ?, ?)
ON CONFLICT(identity) DO UPDATE SET
    place = excluded.place, plan = excluded.plan,
    standing = excluded.standing, bought = excluded.bought, progress = excluded.progress, serial = excluded.serial
"""
_INSERT = "INSERT INTO jobs(identity, place, plan, standing, bought, progress, serial) VALUES(?, ?, ?, ?, ?, ?, ?)"
_NEW = "waiting"
"""The state of a job of which nothing was sent."""
_UPDATE = "UPDATE jobs SET standing = ?, bought = ?, progress = ?, serial = ? WHERE identity = ?"


class JournalRow(NamedTuple):
    """A job as the journal keeps it: its `COLUMNS`."""

    identity: str
    place: int
    plan: str
    standing: str
    bought: int
    progress: str


def to_record(row: Sequence[Any]) -> JobRecord:
    """Read a job from its `COLUMNS`.

    Raises:
        ValueError: it is not what was written.
    """
    identity, place, plan, standing, bought, progress = row
    record = codec.load_record(identity, place, plan, progress)
    has_end = record.state is not State.ENDED or record.kind is not None
    if not has_end or (standing, bought) != (record.state_name, record.bought):
        raise ValueError(f"the row of {identity!r} is not what was written")
    return record


def to_job(row: Sequence[Any]) -> PlannedJob:
    """Make a job again from its `COLUMNS`. Of one that is saved, the progress is not read.

    Raises:
        ValueError: it is not what was written.
        InputError: no job can be made of it.
    """
    saved = job_of_saved(PlannedRow(*row[:3])) if row[3] == "saved" else None
    return saved or job_of_record(to_record(row))


def find(database: sqlite3.Connection, identities: Iterable[str]) -> dict[str, JobRecord]:
    """Return the records of those *identities* that are in the journal.

    Raises:
        ValueError: one is not what was written.
    """
    return {
        identity: to_record(row) for page in pages(identities) for identity, row in find_rows(database, page).items()
    }


def find_rows(database: sqlite3.Connection, identities: Sequence[str]) -> dict[str, JournalRow]:
    """Return the rows of those *identities*, at most a `PAGE`, that are in the journal."""
    found = database.execute(f"SELECT {COLUMNS} FROM jobs WHERE identity IN ({_marks(identities)})", identities)  # noqa: S608
    return {row[0]: JournalRow._make(row) for row in found}


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def order(database: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """Yield the row number of each planned job, and the serial number of its last change, in the batch's order."""
    return database.execute("SELECT number, serial FROM jobs WHERE standing <> ? ORDER BY place, number", (DROPPED,))


def read_rows(database: sqlite3.Connection, numbers: Iterable[int]) -> Iterator[tuple[int, JobRecord]]:
    """Yield the records at these row numbers; those that are planned no longer are left out.

    Raises:
        ValueError: one is not what was written.
    """
    for page in pages(numbers):
        query = f"SELECT number, {COLUMNS} FROM jobs WHERE number IN ({_marks(page)}) AND standing <> ?"  # noqa: S608
        for number, *row in database.execute(query, (*page, DROPPED)).fetchall():
            yield number, to_record(row)


def file_names(database: sqlite3.Connection) -> Iterator[str]:
    """Yield the names of all saved files."""
    # A damaged row is reported when its job is read.
    query = """SELECT json_extract(file.value, '$.name') FROM jobs, json_each(progress, '$.files') AS file
    WHERE json_valid(progress) AND file.type = 'object'"""
    return (name for (name,) in database.execute(query) if isinstance(name, str))


def earlier_file_names(database: sqlite3.Connection) -> Iterator[str]:
    """Yield the names of the files that attempts before the last one of a job have left."""
    query = """SELECT json_extract(file.value, '$.name')
    FROM jobs, json_each(progress, '$.earlier') AS each, json_each(each.value, '$.files') AS file
    WHERE instr(progress, '"earlier":') AND json_valid(progress) AND file.type = 'object'"""
    return (name for (name,) in database.execute(query) if isinstance(name, str))


def file_keys(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Yield the name of each saved file with the key of its job; a job without a key has its place as one."""
    query = """SELECT json_extract(file.value, '$.name'), identity, json_extract(plan, '$.key'), place
    FROM jobs, json_each(progress, '$.files') AS file
    WHERE json_valid(progress) AND json_valid(plan) AND file.type = 'object'"""
    for name, identity, key, place in database.execute(query):
        if isinstance(name, str) and isinstance(key, str):
            yield name, key if identity.startswith("key:") else position_key(place)


def differing(database: sqlite3.Connection) -> list[str]:
    """Return the names of the parameters that differ among the planned jobs, in the order of the inputs."""
    query = f"""WITH planned AS (SELECT number, plan FROM jobs WHERE standing <> '{DROPPED}' AND json_valid(plan))
    SELECT given.key FROM planned, json_each(plan, '$.input') AS given GROUP BY given.key
    HAVING count(*) < (SELECT count(*) FROM planned) OR min(given.value) <> max(given.value)
        OR min(given.type) <> max(given.type) OR count(given.value) NOT IN (0, count(*))
    ORDER BY min(number), min(given.id)"""  # noqa: S608 - ours
    return [str(name) for (name,) in database.execute(query)]


def find_prediction(database: sqlite3.Connection, prediction_id: str) -> JobRecord | None:
    """Return the record of the job whose last submission made this prediction; None if there is none.

    Raises:
        ValueError: it is not what was written.
    """
    # There is no index: every write would pay for it. The few that are not saved yet are looked through first.
    is_it = "bought AND json_valid(progress) AND json_extract(progress, '$.prediction_id') = :id"
    query = f"""SELECT {COLUMNS} FROM jobs WHERE standing = 'unsaved' AND {is_it}
    UNION ALL SELECT {COLUMNS} FROM jobs WHERE standing <> 'unsaved' AND {is_it} LIMIT 1"""  # noqa: S608
    row = database.execute(query, {"id": prediction_id}).fetchone()
    return None if row is None else to_record(row)


def last_ids(database: sqlite3.Connection) -> frozenset[str]:
    """Return the id of each job's last prediction, without the ids that are only suspected."""
    # SQLite reads what is needed of a row in a fraction of the time that a whole record takes.
    query = "SELECT json_extract(progress, '$.prediction_id') FROM jobs WHERE bought AND json_valid(progress)"
    return frozenset(found for (found,) in database.execute(query) if isinstance(found, str))


def known_ids(database: sqlite3.Connection) -> frozenset[str]:
    """Return the ids of all predictions, without the ids that are only suspected."""
    query = """SELECT json_extract(each.value, '$.prediction_id') FROM jobs, json_each(progress, '$.earlier') AS each
    WHERE bought AND instr(progress, '"earlier":') AND json_valid(progress)"""
    before = (found for (found,) in database.execute(query) if isinstance(found, str))
    return last_ids(database).union(before)


def write(database: sqlite3.Connection, added: Sequence[JobRecord], changed: Sequence[JobRecord] = ()) -> int:
    """Write records under the next serial number, and return that.

    Raises:
        ValueError: one of *changed* is not in the journal.
    """
    serial = _next_serial(database)
    puts = [(r.identity, r.index, codec.dump_plan(r), *_progress(r, serial)) for r in added]
    updates = [(*_progress(r, serial), r.identity) for r in changed]
    if puts:
        database.executemany(_PUT, puts)
    if updates and database.executemany(_UPDATE, updates).rowcount != len(updates):
        raise ValueError("it has lost a job while it was open")
    return serial


def _next_serial(database: sqlite3.Connection) -> int:
    database.execute("UPDATE header SET serial = serial + 1")
    return _serial(database)


def _serial(database: sqlite3.Connection) -> int:
    (serial,) = database.execute("SELECT serial FROM header").fetchone()
    return int(serial)


def _progress(record: JobRecord, serial: int) -> tuple[Any, ...]:
    return record.state_name, record.bought, codec.dump_progress(record), serial


def has_plan(database: sqlite3.Connection, rows: Iterable[PlannedRow]) -> bool:
    """Whether just *rows* are planned, so that `plan` would change nothing."""
    count = 0
    for page in pages(rows):
        names = [row.identity for row in page]
        query = f"SELECT identity, place, plan FROM jobs WHERE identity IN ({_marks(names)}) AND standing <> ?"  # noqa: S608
        if {*database.execute(query, (*names, DROPPED))} != {*page}:
            return False
        count += len(page)
    planned = database.execute("SELECT count(*) FROM jobs WHERE standing <> ?", (DROPPED,)).fetchone()
    return bool(planned == (count,))


def plan(database: sqlite3.Connection, rows: Iterable[PlannedRow], *, replaces: bool) -> tuple[int, int]:
    """Write what a batch is to make; return how many jobs are new, and how many others nothing was sent for.

    A job that is there already keeps its progress. If it *replaces* what was planned, those others are dropped.
    """
    (last,) = database.execute("SELECT coalesce(max(number), 0) FROM jobs").fetchone()
    if not last:
        return _insert(database, rows, _next_serial(database)), 0
    # A plan that is there already changes nothing, and then the number stays as well.
    serial = _serial(database) + 1
    database.execute("DROP TABLE IF EXISTS temp.drawn")
    database.execute("CREATE TEMP TABLE drawn(number INTEGER PRIMARY KEY)")
    added = sum(_plan_page(database, page, serial) for page in pages(rows))
    others = 0
    for page in _other_pages(database, last):
        others += len(page)
        if replaces:
            write(database, (), [record.dropped() for record in find(database, page).values()])
    database.execute("DROP TABLE temp.drawn")
    if added and _serial(database) < serial:
        _next_serial(database)
    return added, others


def _insert(database: sqlite3.Connection, rows: Iterable[PlannedRow], serial: int) -> int:
    """Write new jobs, and return their number."""
    values = ((row.identity, row.position, row.plan, _NEW, 0, "{}", serial) for row in rows)
    return database.executemany(_INSERT, values).rowcount


def _plan_page(database: sqlite3.Connection, page: Sequence[PlannedRow], serial: int) -> int:
    """Write a page of a plan, and return how many of its jobs are new."""
    known = _find_plans(database, page)
    database.executemany("INSERT INTO drawn VALUES(?)", [(each.number,) for each in known.values()])
    new = [row for row in page if row.identity not in known]
    # Read in full only if there is something to change.
    again = {
        row.identity: row
        for row in page
        if (found := known.get(row.identity)) and (not found.is_same(row) or found.standing == DROPPED)
    }
    before = find(database, again)
    after = [_planned_again(record, again[identity].to_record()) for identity, record in before.items()]
    if changed := [each for each in after if each != before[each.identity]]:
        write(database, changed)
    _insert(database, new, serial)
    return len(new)


class _KnownPlan(NamedTuple):
    """The plan of a job in the journal."""

    identity: str
    position: int
    plan: str
    number: int
    standing: str

    def is_same(self, row: PlannedRow) -> bool:
        return self.plan == row.plan and self.position == row.position


def _find_plans(database: sqlite3.Connection, rows: Iterable[PlannedRow]) -> dict[str, _KnownPlan]:
    """Return what the journal has of *rows*, by identity."""
    names = [row.identity for row in rows]
    query = f"SELECT identity, place, plan, number, standing FROM jobs WHERE identity IN ({_marks(names)})"  # noqa: S608
    return {found[0]: _KnownPlan._make(found) for found in database.execute(query, names)}


def conflicts(database: sqlite3.Connection, rows: Iterable[PlannedRow]) -> Iterator[PlannedRow]:
    """Yield those of *rows* whose identity the journal has with another input: a key used twice.

    Raises:
        ValueError: a row of the journal is not what was written.
    """
    if database.execute("SELECT 1 FROM jobs LIMIT 1").fetchone() is None:
        return
    for page in pages(rows):
        known = _find_plans(database, page)
        unlike = {row.identity: row for row in page if row.identity in known and not known[row.identity].is_same(row)}
        for identity, record in find(database, unlike).items():
            fingerprint = unlike[identity].to_record().fingerprint
            if fingerprint != record.fingerprint and not was_planned_as(record, fingerprint):
                yield unlike[identity]


def _planned_again(known: JobRecord, record: JobRecord) -> JobRecord:
    """Give a job its place of today, and keep its progress. One that asks for something else stays as it is.

    Once something was sent for it, its files keep their name.
    """
    placed = attrs.evolve(known, index=record.index, name=_kept_name(known, record.index))
    if known.fingerprint != record.fingerprint:
        return placed if was_planned_as(known, record.fingerprint) else known
    return attrs.evolve(
        placed,
        key=record.key,
        input=record.input,
        source=record.source,
        name=placed.name if known.attempt else record.name,
        tags=record.tags,
        is_dropped=False,
    )


def _kept_name(known: JobRecord, index: int) -> str | None:
    """Return the name of a job's files if its place is *index* from now on; None if that place names them."""
    if known.name is not None or known.index == index or known.state_name not in OWED:
        return known.name
    # A run that was killed may have saved an image under the name of the place that the job had.
    return file_stem(known.index, Job.checked(known.model, known.input, None))


def _other_pages(database: sqlite3.Connection, last: int) -> Iterator[list[str]]:
    """Yield the identities of the jobs up to number *last* that are not drawn and for which nothing was sent."""
    query = f"""SELECT number, identity FROM jobs
    WHERE number > ? AND number <= ? AND bought = 0 AND standing <> ? AND number NOT IN drawn
    ORDER BY number LIMIT {PAGE}"""  # noqa: S608 - ours
    at = 0
    while page := database.execute(query, (at, last, DROPPED)).fetchall():
        at = page[-1][0]
        yield [identity for _, identity in page]


def respell(database: sqlite3.Connection) -> None:
    """Give the jobs of an older version the names of today, within the transaction that is open. Reads their files."""

    def is_taken(identity: str) -> bool:
        return database.execute("SELECT 1 FROM jobs WHERE identity = ?", (identity,)).fetchone() is not None

    following: dict[str, int] = {}
    for (number,) in database.execute("SELECT number FROM jobs ORDER BY number").fetchall():
        row = database.execute(f"SELECT {COLUMNS} FROM jobs WHERE number = ?", (number,)).fetchone()  # noqa: S608
        # A damaged row stays as it is, and is refused when it is read.
        with contextlib.suppress(ValueError):
            record = to_record(row)
            if (named := respelled(record, is_taken, following)) is not record:
                values = (named.identity, codec.dump_plan(named), number)
                database.execute("UPDATE jobs SET identity = ?, plan = ? WHERE number = ?", values)


def purchases(database: sqlite3.Connection) -> list[tuple[str, dict[str, Any], int]]:
    """Return what was, or may have been, paid for: a model, the number of images if one was given, and how often."""
    # Of a job that had another plan before, each attempt is counted under the plan of its time.
    before = f"""SELECT 1, json_extract(each.value, '$.plan') FROM jobs, json_each(progress, '$.earlier') AS each
    WHERE {_HAD_OTHER_PLANS} AND json_extract(each.value, '$.plan') <> ''
    AND json_extract(each.value, '$.kind') NOT IN ('not_sent', 'rejected')"""  # noqa: S608
    now = f"""bought - CASE WHEN {_HAD_OTHER_PLANS} THEN
    (SELECT count(*) FROM ({before.replace("FROM jobs, ", "FROM ")})) ELSE 0 END"""  # noqa: S608
    # A damaged plan is reported when its job is read; here its model has no name.
    plans = f"""SELECT {now} AS bought, CASE WHEN json_valid(plan) THEN plan ELSE '{{}}' END AS plan
    FROM jobs WHERE bought UNION ALL {before}"""  # noqa: S608
    what = "coalesce(json_extract(plan, '$.model'), ''), json_extract(plan, '$.input.num_outputs')"
    found = database.execute(f"SELECT {what}, sum(bought) FROM ({plans}) GROUP BY 1, 2 HAVING sum(bought)")  # noqa: S608
    return [(str(model), {} if images is None else {"num_outputs": images}, bought) for model, images, bought in found]


_HAD_OTHER_PLANS = """bought AND instr(progress, '"plan":') AND json_valid(progress)"""


def cost_sum(database: sqlite3.Connection) -> CostSum:
    """Add up what all predictions cost, without reading the records.

    Raises:
        ValueError: an amount is not what was written.
    """
    # SQLite finds a text sooner than it reads JSON, and few journals have all three. The names in JSON are in quotes.
    counts = ", ".join(f"""total(instr(progress, '"{part}":') > 0)""" for part in ("estimate", "earlier", "charges"))
    is_paid = f"standing NOT IN ('waiting', 'not_sent', 'rejected', '{DROPPED}')"
    paid, estimated, repeated, charged = database.execute(
        f"SELECT total({is_paid}), {counts} FROM jobs WHERE bought"  # noqa: S608
    ).fetchone()
    # A damaged row is reported when its job is read.
    jobs = "(SELECT standing, progress FROM jobs WHERE bought AND json_valid(progress))"
    found = CostSum(without_price=0 if estimated else int(paid))
    last = f"""SELECT json_extract(progress, '$.estimate.basis'), sum(json_extract(progress, '$.estimate.micros')),
    count(*) FROM {jobs} WHERE {is_paid} GROUP BY 1"""  # noqa: S608
    before = f"""SELECT json_extract(value, '$.estimate.basis'), sum(json_extract(value, '$.estimate.micros')), count(*)
    FROM {jobs}, json_each(progress, '$.earlier')
    WHERE json_extract(value, '$.kind') NOT IN ('not_sent', 'rejected') GROUP BY 1"""  # noqa: S608
    for query, is_needed in ((last, estimated), (before, repeated)):
        for basis, micros, count in database.execute(query) if is_needed else ():
            if not (isinstance(basis, str | None) and isinstance(micros, int | None)):
                raise ValueError("an estimate is not what was written")
            found.add_estimates(basis, micros or 0, count)
    charges = f"""SELECT coalesce(sum(json_extract(value, '$.quota')), 0),
    coalesce(sum(json_extract(value, '$.refunded')), 0), count(*) FROM {jobs}, json_each(progress, '$.charges')"""  # noqa: S608
    if charged:
        amounts = database.execute(charges).fetchone()
        if {*map(type, amounts)} != {int}:
            raise ValueError("a charge is not what was written")
        found.add_charges(*amounts)
    return found
