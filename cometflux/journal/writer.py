"""What survives the process: every job of a batch, and how far each has come, in one SQLite file.

One process writes, under a kernel lock on a file beside the database; any number may read meanwhile. What has been
written is on the disk when `JournalWriter.commit` returns. Each row carries check sums, the front page tells what they
add up to, and the lock file how much was written at least; so a journal that was damaged, cut or replaced by an older
copy is refused, and left as it is, instead of believed.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import TypeVar

import attrs

from cometflux.errors import JournalError, JournalLockedError, JournalMismatchError
from cometflux.journal.database import (
    COLUMNS,
    look,
    make,
    make_private,
    note_place,
    read_front,
    read_place,
    translating_errors,
    turn_front,
)
from cometflux.journal.lock import Lock
from cometflux.journal.reader import FIND, PAGE, Journal, locate
from cometflux.journal.record import DROPPED, SENDING, JobRecord
from cometflux.journal.row import JournalHeader, plan_of, progress_of, to_record

_PUT = f"""
INSERT INTO jobs({COLUMNS}) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT(identity) DO UPDATE SET
    place = excluded.place, plan = excluded.plan, plan_sum = excluded.plan_sum,
    standing = excluded.standing, bought = excluded.bought, progress = excluded.progress,
    serial = excluded.serial, progress_sum = excluded.progress_sum
"""
_UPDATE = "UPDATE jobs SET standing = ?, bought = ?, progress = ?, serial = ?, progress_sum = ? WHERE identity = ?"
_WEIGH = "SELECT identity, plan_sum, progress_sum FROM jobs WHERE identity"
_MOST_SUMS = 10_000
_Item = TypeVar("_Item")

# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen(kw_only=True)
class Account:
    """Whose predictions a journal holds."""

    base_url: str
    key: str = attrs.field(repr=False)
    """The API key; the journal keeps a salted digest of it only."""
    may_change_key: bool = False
    """Whether a key that is not the journal's takes its place."""


class JournalWriter:
    """The one who writes a journal. Blocks; a session calls it in a thread of its own.

    Args:
        path: the journal's file, made where it is missing, or the folder that it is in.
        account: whose predictions it holds; None to leave that unchecked.
        connect: opens the database, as `sqlite3.connect` does.
    """

    def __init__(
        self,
        path: str | Path,
        account: Account | None = None,
        *,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        self.path = locate(path)
        self._account = account
        self._connect = connect
        self._lock: Lock | None = None
        self._database: sqlite3.Connection | None = None
        self._sums: dict[str, tuple[int, int]] = {}
        """The check sums of rows written last, which are likely to be written next."""
        self.bought = 0
        """How many predictions were, or may have been, bought when it was opened."""
        self.was_empty = False
        """Whether no job was in it when it was taken."""
        self.is_owing = False
        """Whether something was paid for and not on the disk when it was taken."""
        self.learned: dict[str, str] = {}
        """What was learned of each model's predictions, as it stood when it was taken."""
        self._is_taken = False

    @property
    def is_open(self) -> bool:
        """Whether it has been opened and not closed."""
        return self._database is not None

    def open(self) -> None:
        """Lock the journal, make it where it is missing, and check every row.

        Raises:
            JournalLockedError: another process, or another session, has it.
            JournalMismatchError: it belongs to a newer version, another base URL or another key.
            JournalError: it is damaged, or cannot be written to.
        """
        with contextlib.ExitStack() as stack, translating_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.path)
            stack.callback(self._lock.release)
            note = self._lock.note
            if not self.path.exists() and not note.is_blank:
                raise JournalError(
                    f"the journal {str(self.path)!r} is gone, though {self._lock.path.name} knows of it: restore it; "
                    "going on without could buy pictures twice"
                )
            make_private(self.path)
            found = look(self.path, note)
            self._database = self._connect(self.path, isolation_level=None, check_same_thread=False)
            stack.callback(self._forget)
            self._set_up()
            known, self.bought = found or (None, 0)
            front = self._sign(known)
            self._lock.write(front.journal, front.serial, front.rows)
            stack.pop_all()

    def take(self) -> None:
        """Open it, unless it is open already, for one who works with it alone.

        Raises:
            JournalLockedError: another one of this process does so, or as for `open`.
            JournalError: as for `open`.
        """
        if self._is_taken:
            raise JournalLockedError(f"the journal {str(self.path)!r} is in use by another session", path=self.path)
        self._is_taken = True
        try:
            if not self.is_open:
                self.open()
            owing = "SELECT 1 FROM jobs WHERE standing IN ('unsaved', 'pending', 'detached') LIMIT 1"
            with translating_errors(self.path):
                self.is_owing = self._opened.execute(owing).fetchone() is not None
                self.learned = dict(self._opened.execute("SELECT model, observed FROM learned"))
                self.was_empty = self._opened.execute("SELECT 1 FROM jobs LIMIT 1").fetchone() is None
        except BaseException:
            self._is_taken = False
            raise

    def _set_up(self) -> None:
        for setting in ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = FULL", "fullfsync = ON"):
            self._opened.execute(f"PRAGMA {setting}")

    def _sign(self, known: JournalHeader | None) -> JournalHeader:
        """Make the journal where it is new, and note whose it is; refuse one that is somebody else's."""
        front = self._check_account(known or JournalHeader(journal=os.urandom(8).hex()))
        if front != known:
            with self._transaction() as database:
                if known is None:
                    make(database)
                turn_front(database, front)
        return front

    def _check_account(self, front: JournalHeader) -> JournalHeader:
        account = self._account
        if account is None:
            return front
        # Where nothing was ever bought, there is nothing that another service could not know.
        is_bound = front.base_url is not None and self.bought > 0
        if is_bound and front.base_url != account.base_url:
            raise JournalMismatchError(
                f"the journal {str(self.path)!r} belongs to {front.base_url}, not to {account.base_url}",
                setting="base_url",
            )
        if front.is_of(account.key) and front.base_url == account.base_url:
            return front
        if front.base_url is not None and front.key_sum is None:
            # Else whoever wrote the address would be sent a key that nothing here proves to belong to it.
            raise JournalError(f"the journal {str(self.path)!r} is damaged: it does not say whose it is")
        if front.key_sum is not None and not (front.is_of(account.key) or account.may_change_key):
            raise JournalMismatchError(
                f"the journal {str(self.path)!r} was begun with another API key, which may belong to another account",
                setting="new_key",
                hint="to go on with the new key, pass new_key=True, or --new-key to the command",
            )
        return front.signed(account.base_url, account.key, salt=os.urandom(16).hex())

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise JournalError(f"the journal {str(self.path)!r} is closed")
        assert self._lock is not None
        if self._lock.is_released:
            raise JournalError(f"the journal {str(self.path)!r} belongs to the process that opened it")
        if not self._lock.is_held:
            raise JournalError(f"the lock file of the journal {str(self.path)!r} was taken away while it was in use")
        return self._database

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = self._opened
        with translating_errors(self.path):
            # What could not be taken back when the disk refused is taken back now.
            if database.in_transaction:
                database.execute("ROLLBACK")
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                # A commit that failed may have reached the disk all the same.
                self._sums.clear()
                with contextlib.suppress(sqlite3.Error):
                    if database.in_transaction:
                        database.execute("ROLLBACK")
                raise

    def commit(
        self, added: Sequence[JobRecord], changed: Sequence[JobRecord] = (), learned: Mapping[str, str] | None = None
    ) -> None:
        """Write records, and return when they are on the disk: all of them, or none.

        Args:
            added: those that may not be in the journal yet.
            changed: those that are; what they ask for is not written again.
            learned: what was learned of the predictions of each model, beside them.

        Raises:
            JournalError: the disk refused.
        """
        with self._transaction() as database:
            written = self._write(database, added, changed)
            database.executemany("INSERT OR REPLACE INTO learned VALUES(?, ?)", (learned or {}).items())
        self._note(*written)

    def _note(self, front: JournalHeader, sums: Mapping[str, tuple[int, int]]) -> None:
        """Take note of what has reached the disk."""
        assert self._lock is not None
        self._lock.write(front.journal, front.serial, front.rows)
        if len(self._sums) > _MOST_SUMS:
            self._sums.clear()
        self._sums.update(sums)

    def _write(
        self, database: sqlite3.Connection, added: Sequence[JobRecord], changed: Sequence[JobRecord]
    ) -> tuple[JournalHeader, dict[str, tuple[int, int]]]:
        # Read again each time, since a commit that failed may have reached the disk all the same.
        front = read_front(database)
        whole = {record.identity for record in added}
        # Of several records of one job the last one counts; what is put as a whole may be there already.
        latest = {record.identity: record for record in (*added, *changed)}
        before = self._weigh(latest)
        if not latest.keys() - whole <= before.keys():
            raise JournalError(f"the journal {str(self.path)!r} has lost a job while it was open")
        serials = count(front.serial + 1)
        rest = [(*progress_of(record, next(serials)), record.identity) for record in latest.values()]
        puts = [(*plan_of(latest[row[-1]]), *row[:-1]) for row in rest if row[-1] in whole]
        updates = [row for row in rest if row[-1] not in whole]
        database.executemany(_PUT, puts)
        database.executemany(_UPDATE, updates)
        after = {row[0]: (row[3], row[-1]) for row in puts}
        after.update((row[-1], (before[row[-1]][0], row[-2])) for row in updates)
        weight = sum(map(sum, after.values())) - sum(map(sum, before.values()))
        front = front.turned(len(rest), len(latest) - len(before), weight)
        turn_front(database, front)
        return front, after

    def _weigh(self, identities: Collection[str]) -> dict[str, tuple[int, int]]:
        """Return the check sums of plan and progress that stand there now, of the jobs that do."""
        found = {identity: self._sums[identity] for identity in identities if identity in self._sums}
        for page in _pages(identity for identity in identities if identity not in found):
            for identity, plan_sum, progress_sum in self._opened.execute(f"{_WEIGH} IN ({_marks(page)})", page):
                found[identity] = plan_sum, progress_sum
        return found

    def conflicts(self, records: Iterable[JobRecord]) -> list[JobRecord]:
        """Return those of *records* whose identity stands in the journal for something else: a key used twice.

        Raises:
            JournalError: it cannot be read.
        """
        found = []
        for page in _pages(records):
            known = self.find(record.identity for record in page)
            found += [r for r in page if r.identity in known and known[r.identity].fingerprint != r.fingerprint]
        return found

    def plan(self, records: Iterable[JobRecord]) -> tuple[int, int]:
        """Write down what a batch is to make, before any of it is sent.

        What is there already keeps its progress. Jobs that are in the journal, not among *records*, and for which
        nothing was sent, are planned no longer.

        Returns:
            How many of *records* are new, and how many jobs are planned no longer.

        Raises:
            JournalError: the disk refused.
        """
        # All or nothing: half a plan would look like a batch that is complete.
        with self._transaction() as database:
            database.execute("DROP TABLE IF EXISTS temp.drawn")
            database.execute("CREATE TEMP TABLE drawn(identity TEXT PRIMARY KEY) WITHOUT ROWID")
            added = sum(self._plan_page(database, page) for page in _pages(records))
            dropped = self._drop_others(database)
            front = read_front(database)
            database.execute("DROP TABLE temp.drawn")
        self._sums.clear()
        self._note(front, {})
        return added, dropped

    def _plan_page(self, database: sqlite3.Connection, page: Sequence[JobRecord]) -> int:
        known = _look_up(database, [record.identity for record in page])
        again = [_planned_again(known[record.identity], record) for record in page if record.identity in known]
        new = [record for record in page if record.identity not in known]
        database.executemany("INSERT INTO drawn VALUES(?)", [(record.identity,) for record in page])
        self._write(database, [*new, *(each for each in again if each != known[each.identity])], ())
        return len(new)

    def _drop_others(self, database: sqlite3.Connection) -> int:
        others = "SELECT identity FROM jobs WHERE bought = 0 AND standing <> ? AND identity NOT IN drawn"
        identities = [identity for (identity,) in database.execute(others, (DROPPED,))]
        for page in _pages(identities):
            self._write(database, (), [record.dropped() for record in _look_up(database, page).values()])
        return len(identities)

    @property
    def place(self) -> str | None:
        """As `Journal.place`, while it is open."""
        with translating_errors(self.path):
            return read_place(self._opened)

    def note_place(self, url: str) -> None:
        """Write down to which place in an object store the images go.

        Raises:
            JournalError: the disk refused.
        """
        with self._transaction() as database:
            note_place(database, url)

    def forget_service(self) -> None:
        """Plan anew whatever a service still had that no longer exists, as one on this machine that has ended.

        Raises:
            JournalError: the disk refused.
        """
        with Journal(self.path) as reader:
            lost = reader.records("unsaved", "expired", "detached", "unknown", "pending", SENDING)
            for page in _pages(lost):
                self.commit((), [record.renewed() for record in page])
                self.bought -= sum(record.bought for record in page)

    def find(self, identities: Iterable[str]) -> dict[str, JobRecord]:
        """Return the records of those *identities* that are in the journal.

        Raises:
            JournalError: it cannot be read.
        """
        database = self._opened
        with translating_errors(self.path):
            # What could not be taken back when the disk refused was never written.
            if database.in_transaction:
                database.execute("ROLLBACK")
            return _look_up(database, identities)

    def make_room(self) -> None:
        """Move what the log holds into the database, so that the log can be written from its beginning again."""
        with contextlib.suppress(sqlite3.Error, JournalError):
            self._opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Leave one complete file behind, and let others in. In a process that was forked off it does nothing."""
        if self._database is None or self._lock is None or self._lock.is_released:
            return
        try:
            self.make_room()
            self._forget()
        finally:
            self._is_taken = False
            self._lock.release()

    def _forget(self) -> None:
        assert self._database is not None
        database, self._database = self._database, None
        database.close()


def _planned_again(known: JobRecord, record: JobRecord) -> JobRecord:
    """Give a job the place that it has now, and keep its progress. One that asks for something else stays as it is."""
    if known.fingerprint != record.fingerprint:
        return known
    return attrs.evolve(known, index=record.index, key=record.key, input=record.input, is_dropped=False)


def _look_up(database: sqlite3.Connection, identities: Iterable[str]) -> dict[str, JobRecord]:
    found = {}
    for page in _pages(identities):
        for row in database.execute(f"{FIND} IN ({_marks(page)})", page):
            found[row[0]] = to_record(row)
    return found


def _marks(page: Sequence[str]) -> str:
    return ",".join("?" * len(page))


def _pages(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while page := list(islice(iterator, PAGE)):
        yield page
