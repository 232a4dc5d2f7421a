"""The journal: every job of a batch and its state, in one SQLite file that survives the process.

One process writes, under a kernel lock on a file next to the database; any number of processes may read meanwhile. A
change is on the disk when `JournalWriter.commit` returns. The header and the lock file hold the serial number of the
last change. So a journal that was replaced by an older copy, or has lost its log, is refused and stays as it is.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from cometflux.basics.pages import pages
from cometflux.errors import JournalError, JournalLockedError
from cometflux.journal import job_rows
from cometflux.journal.base import Opened
from cometflux.journal.database import (
    FAULTS,
    explain,
    look,
    make_private,
    read_header,
    translating_errors,
    update,
    write_header,
)
from cometflux.journal.header import Account, JournalHeader
from cometflux.journal.lock import Lock
from cometflux.journal.place import locate
from cometflux.journal.plan import PlannedRow
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.states import OWED, SENDING, UNFINISHED, State

_CACHE, _USUAL_CACHE = 65_536, 2000
"""How much of the database is kept in memory while a batch is planned, and else, in KiB."""


class JournalWriter:
    """Writes a journal. Blocks; a session calls it in a thread of its own.

    Args:
        path: the journal's file, created if it is missing, or its folder.
        account: the account of its predictions; None to leave that unchecked.
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
        self._process = 0
        """The process that opened it."""
        self._journal = ""
        """The journal's own name."""
        self._is_taken = False
        self._serial: int | None = None
        """The serial number of the last change that was made here; None if it is not known."""
        self._has_company = False
        """Whether another process has written to it while it was open here."""

    @property
    def is_open(self) -> bool:
        """Whether it has been opened and not closed."""
        return self._database is not None

    def open(self) -> None:
        """Lock the journal, make it if it is missing, and check it.

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
                    "a run without it could buy pictures twice"
                )
            _check_single(self.path)
            make_private(self.path)
            known = look(self.path, note)
            self._database = self._connect(self.path, isolation_level=None, check_same_thread=False)
            stack.callback(self._forget)
            self._process = os.getpid()
            self._serial, self._has_company = None, False
            self._set_up(known or JournalHeader(journal=os.urandom(8).hex()), is_new=known is None)
            stack.pop_all()

    def take(self, *, counts_cost: bool = False) -> Opened:
        """Open it, unless it is open already, for one session alone; return its state.

        Raises:
            JournalLockedError: another one of this process does so, or as for `open`.
            JournalError: as for `open`.
        """
        if self._is_taken:
            problem = f"the journal {str(self.path)!r} is in use by another session"
            raise JournalLockedError(problem, hint="wait for it, or close it", path=self.path)
        self._is_taken = True
        try:
            if not self.is_open:
                self.open()
            place = self.place or str(self.path.absolute().parent)
            with translating_errors(self.path):
                ids = job_rows.known_ids(self._opened)
                purchases = job_rows.purchases(self._opened) if counts_cost else ()
            return attrs.evolve(self._count(), ids=ids, purchases=purchases, place=place)
        except BaseException:
            self._is_taken = False
            raise

    @property
    def name(self) -> str:
        """The journal's name, which no other journal has. Readable while the journal is open."""
        return self._journal

    @property
    def bought(self) -> int:
        """The number of its predictions that are, or may be, paid for. Readable while the journal is open."""
        return self._count().bought

    def _count(self) -> Opened:
        with translating_errors(self.path):
            # The index has all that this needs.
            found = self._opened.execute("SELECT standing, sum(bought) FROM jobs GROUP BY standing").fetchall()
            if not all(isinstance(bought, int) for _, bought in found):
                raise ValueError("the number of predictions bought is not what was written")
        return Opened(
            bought=sum(bought for _, bought in found),
            was_empty=not found,
            has_saved=any(standing == "saved" for standing, _ in found),
            has_unfinished=any(standing in UNFINISHED for standing, _ in found),
            journal=self._journal,
        )

    def _set_up(self, header: JournalHeader, *, is_new: bool) -> None:
        """Bring the tables up to date and write the account into the header, unless the journal has another one."""
        for setting in ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = FULL", "fullfsync = ON"):
            self._opened.execute(f"PRAGMA {setting}")
        self._journal = header.journal
        signed = header if self._account is None else self._signed(header, self._account, is_new=is_new)
        with self._transaction() as database:
            if update(database):
                job_rows.respell(database)
            if is_new or signed != header:
                write_header(database, signed)

    def _signed(self, header: JournalHeader, account: Account, *, is_new: bool) -> JournalHeader:
        if is_new:
            return header.signed(account, self.path, bought=0, is_owed=False)
        marks = ",".join("?" * len(OWED))
        owed = self._opened.execute(f"SELECT 1 FROM jobs WHERE standing IN ({marks}) LIMIT 1", OWED).fetchone()  # noqa: S608
        return header.signed(account, self.path, bought=self.bought, is_owed=owed is not None)

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise JournalError(f"the journal {str(self.path)!r} is closed")
        if self._process != os.getpid():
            raise JournalError(f"the journal {str(self.path)!r} belongs to the process that opened it")
        return self._database

    @contextlib.contextmanager
    def _transaction(self, *, is_checked: bool = True) -> Iterator[sqlite3.Connection]:
        database = self._opened
        assert self._lock is not None
        try:
            # If the disk refused an earlier rollback too, roll back now.
            if database.in_transaction:
                database.execute("ROLLBACK")
            database.execute("BEGIN IMMEDIATE")
            if is_checked and (refusal := self._find_refusal(database)) is not None:
                raise refusal
            yield database
            (serial,) = database.execute("SELECT serial FROM header").fetchone()
            # If this fails, nobody knows whether it was written.
            self._serial = None
            database.execute("COMMIT")
            self._serial = serial
            self._lock.note_commit(self._journal, serial)
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                if database.in_transaction:
                    database.execute("ROLLBACK")
            if isinstance(error, FAULTS):
                raise explain(error, self.path) from error
            raise

    def _find_refusal(self, database: sqlite3.Connection) -> JournalError | None:
        """Return why nothing may be sent because of a change that is written here; None if it may.

        What is written may be lost. And on some network file systems the lock keeps nobody out.
        """
        assert self._lock is not None
        if self._serial is not None:
            (serial,) = database.execute("SELECT serial FROM header").fetchone()
            self._has_company = self._has_company or serial != self._serial
        if self._has_company:
            message = f"another process writes to the journal {str(self.path)!r}, although this one has its lock"
            return JournalLockedError(f"{message}: use a folder of a local disk", path=self.path)
        return self._lock.find_loss()

    def commit(self, added: Sequence[JobRecord], changed: Sequence[JobRecord] = ()) -> None:
        """Write records, all of them or none, and return when they are on disk.

        If the journal was taken away or has another writer, only facts are written: ids and ends of predictions, which
        may be written by anybody and nowhere else. The error is raised all the same.

        Args:
            added: records that may not be in the journal yet.
            changed: records that are in it; their plans are not written again.

        Raises:
            JournalError: the disk refused, or nothing may be sent any more.
        """
        with self._transaction(is_checked=False) as database:
            refusal = self._find_refusal(database)
            if refusal is not None:
                added, changed = _facts(added), _facts(changed)
                if not (added or changed):
                    raise refusal
            job_rows.write(database, added, changed)
        if refusal is not None:
            raise refusal

    def conflicts(self, rows: Iterable[PlannedRow]) -> Iterator[PlannedRow]:
        """Yield those of *rows* whose identity the journal has with another input: a key used twice.

        Raises:
            JournalError: it cannot be read.
        """
        with translating_errors(self.path):
            yield from job_rows.conflicts(self._opened, rows)

    def has_plan(self, rows: Iterable[PlannedRow]) -> bool:
        """Whether just *rows* are planned, so that `plan` would change nothing.

        Raises:
            JournalError: it cannot be read.
        """
        with translating_errors(self.path):
            return job_rows.has_plan(self._opened, rows)

    def plan(self, rows: Iterable[PlannedRow], *, replaces: bool = False) -> tuple[int, int]:
        """Write down what a batch is to make, before any of it is sent.

        What is there already keeps its progress. If it *replaces* what was planned before, jobs that are not among
        *rows*, and for which nothing was sent, are dropped. Otherwise they stay planned.

        Returns:
            How many of *rows* are new, and how many such other jobs there are.

        Raises:
            JournalError: the disk refused.
        """
        # All or nothing: half a plan would look like a batch that is complete.
        with self._transaction() as database:
            # The identities come in no order, so that each page of the index is needed again and again.
            database.execute(f"PRAGMA cache_size = {-_CACHE}")
            try:
                return job_rows.plan(database, rows, replaces=replaces)
            finally:
                database.execute(f"PRAGMA cache_size = {-_USUAL_CACHE}")

    @property
    def next_index(self) -> int:
        """The index of a job that is added to those that are planned already. Readable while the journal is open."""
        with translating_errors(self.path):
            # A batch has no more places than rows, and the places have no index.
            (last,) = self._opened.execute("SELECT coalesce(max(number), 0) FROM jobs").fetchone()
            return int(last)

    @property
    def place(self) -> str | None:
        """As `Journal.place`, while it is open."""
        with translating_errors(self.path):
            return read_header(self._opened).place

    def note_place(self, url: str) -> None:
        """Write down to which place in an object store the images go.

        Raises:
            JournalError: the disk refused.
        """
        with self._transaction() as database:
            job_rows.write(database, ())
            database.execute("UPDATE header SET place = ?", (url,))

    def forget_service(self) -> None:
        """Plan anew whatever a service still had that no longer exists, as one on this machine that has ended.

        Raises:
            JournalError: the disk refused.
        """
        with Journal(self.path) as reader:
            lost = reader.records("unsaved", "expired", "detached", "unknown", "pending", SENDING)
            for page in pages(lost):
                self.commit((), [record.reset() for record in page])

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
            return job_rows.find(database, identities)

    def find_prediction(self, prediction_id: str) -> JobRecord | None:
        """Return the record of the job whose last submission made this prediction; None if there is none.

        Raises:
            JournalError: it cannot be read.
        """
        with translating_errors(self.path):
            return job_rows.find_prediction(self._opened, prediction_id)

    def make_room(self) -> None:
        """Move what the log holds into the database, so that the log can be written from its beginning again."""
        with contextlib.suppress(sqlite3.Error, JournalError):
            self._opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the database as one complete file, and release the lock. In a forked process it does nothing."""
        if self._database is None or self._lock is None or self._process != os.getpid():
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


def _facts(records: Sequence[JobRecord]) -> list[JobRecord]:
    return [record for record in records if record.state in (State.ACCEPTED, State.ENDED)]


def _check_single(path: Path) -> None:
    """Refuse a file with a second name: under that name it would have another lock and another log.

    Raises:
        JournalError: there is a hard link to it.
    """
    if path.is_file() and path.stat().st_nlink > 1:
        raise JournalError(
            f"the journal {str(path)!r} has a second name, a hard link, under which another run could buy its pictures "
            "again; remove that name, or make a copy of the file in its place"
        )
