"""The journal's file: how it is made and opened, and how all of it is checked before anything in it is believed."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from cometflux.errors import JournalError, JournalMismatchError
from cometflux.journal.lock import LockFile
from cometflux.journal.row import JournalHeader, check_row, checksum

_APPLICATION = 0x434F4D46
_SCHEMA = 1
_TABLES = {
    "front": """CREATE TABLE front(
    number INTEGER PRIMARY KEY,
    journal TEXT NOT NULL,
    base_url TEXT,
    key_salt TEXT,
    key_sum TEXT,
    serial INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    page_sum INTEGER NOT NULL
)""",
    "jobs": """CREATE TABLE jobs(
    number INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,
    place INTEGER NOT NULL,
    plan TEXT NOT NULL,
    plan_sum INTEGER NOT NULL,
    standing TEXT NOT NULL,
    bought INTEGER NOT NULL,
    progress TEXT NOT NULL,
    serial INTEGER NOT NULL,
    progress_sum INTEGER NOT NULL
)""",
    "learned": """CREATE TABLE learned(
    model TEXT PRIMARY KEY,
    observed TEXT NOT NULL
)""",
}
_PLACE_SCHEMA = 2
_PLACE_TABLE = {
    "place": """CREATE TABLE place(
    number INTEGER PRIMARY KEY,
    url TEXT NOT NULL,
    url_sum INTEGER NOT NULL
)"""
}
"""Only in the journal of a batch whose images go to an object store."""
COLUMNS = "identity, place, plan, plan_sum, standing, bought, progress, serial, progress_sum"
"""Of a job, in the order in which `rows` lays them out."""


@contextlib.contextmanager
def translating_errors(path: Path) -> Iterator[None]:
    """Tell what the disk or SQLite meets, and what the checks find, as an error of this package."""
    shown = repr(str(path))
    try:
        yield
    except JournalError as error:
        error.path = error.path or path
        raise
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            problem = f"{shown} is not a journal of cometflux, or its beginning is damaged"
            raise JournalError(problem, path=path, setting="journal") from error
        raise JournalError(f"the journal {shown} cannot be used: {error}", path=path) from error
    except FileExistsError as error:
        raise JournalError(f"the journal {shown} cannot be used: {error.filename!r} is no folder", path=path) from error
    except OSError as error:
        raise JournalError(f"the journal {shown} cannot be used: {error.strerror or error}", path=path) from error
    except ValueError as error:
        raise JournalError(f"the journal {shown} is damaged: {error}", path=path) from error


def make_private(path: Path) -> None:
    """Make the file where it is missing, and let nobody else read it or what stands beside it."""
    if path.exists() and not path.is_file():
        raise JournalError(f"{str(path)!r} is not a file", setting="journal")
    # Made before SQLite would: what it makes itself, others may read; what it makes later is like this.
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    for each in (path, _beside(path, "-wal"), _beside(path, "-shm")):
        if each.exists() and each.stat().st_mode & 0o777 != 0o600:
            each.chmod(0o600)


def make(database: sqlite3.Connection) -> None:
    """Make the tables of a new journal, within the transaction that is open; its front page is to be written next."""
    for statement in _TABLES.values():
        database.execute(statement)
    database.execute(f"PRAGMA application_id = {_APPLICATION}")
    database.execute(f"PRAGMA user_version = {_SCHEMA}")


def read_front(database: sqlite3.Connection) -> JournalHeader:
    """Read what the journal notes of itself.

    Raises:
        ValueError: it is not what was written.
    """
    found = database.execute("SELECT * FROM front").fetchall()
    if len(found) != 1:
        raise ValueError("its front page is missing")
    return JournalHeader.of_row(found[0][1:])


def turn_front(database: sqlite3.Connection, front: JournalHeader) -> None:
    """Write what the journal notes of itself, within the transaction that is open."""
    database.execute("INSERT OR REPLACE INTO front VALUES(1, ?, ?, ?, ?, ?, ?, ?, ?)", front.to_row())


def read_place(database: sqlite3.Connection) -> str | None:
    """Read to which place in an object store the images go; None where they go to the journal's own folder.

    Raises:
        ValueError: it is not what was written.
    """
    if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'place'").fetchone():
        return None
    found = database.execute("SELECT url, url_sum FROM place").fetchall()
    if len(found) != 1 or checksum(found[0][:1]) != found[0][1]:
        raise ValueError("where its images go is not what was written")
    return str(found[0][0])


def note_place(database: sqlite3.Connection, url: str) -> None:
    """Note to which place in an object store the images go, within the transaction that is open."""
    database.execute(_PLACE_TABLE["place"].replace("TABLE", "TABLE IF NOT EXISTS", 1))
    database.execute("INSERT OR REPLACE INTO place VALUES(1, ?, ?)", (url, checksum((url,))))
    # A version that knows nothing of places would save what is left into the folder.
    database.execute(f"PRAGMA user_version = {_PLACE_SCHEMA}")


# ── reading and checking ─────────────────────────────────────────────────────────────────────────────────────────────


def open_reader(path: Path, note: LockFile) -> sqlite3.Connection:
    """Open a journal so that nothing in it is changed; *note* was read before that.

    Raises:
        JournalError: there is nothing in it, though there was.
        sqlite3.Error: it cannot be opened.
    """
    # SQLite would throw away the log that it finds beside an empty file.
    if not _size(path) and (not note.is_blank or _size(_beside(path, "-wal"))):
        raise JournalError(
            f"the journal {str(path)!r} has lost what was in it: restore it; going on without could buy pictures twice"
        )
    uri = path.absolute().as_uri()
    database = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    try:
        database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        database.close()
        if error.sqlite_errorcode & 0xFF not in _NO_RIGHTS or _size(_beside(path, "-wal")):
            raise
        # In a folder that cannot be written to, a journal that was closed properly is complete without its log.
        database = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    except BaseException:
        database.close()
        raise
    return database


_SMALLEST = 512
_NO_RIGHTS = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def look(path: Path, note: LockFile) -> tuple[JournalHeader, int] | None:
    """Check all of a journal and change nothing in it, as `check` does, and its indexes too; None where it is empty.

    What is damaged is left as it is, for whoever can mend it.

    Raises:
        JournalError: it is not a journal, or not all of it.
        ValueError: it is damaged.
        sqlite3.Error: it cannot be read.
    """
    # SQLite takes a file of a few bytes for an empty database, and would write over it.
    if 0 < _size(path) < _SMALLEST and not _size(_beside(path, "-wal")):
        raise JournalError(f"{str(path)!r} is not a journal of cometflux", setting="journal")
    with contextlib.closing(open_reader(path, note)) as database:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        if note.is_blank and not application and not database.execute("SELECT 1 FROM sqlite_schema").fetchone():
            return None
        found = check(database, path, note)
        (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise ValueError(verdict)
        return found


def check(database: sqlite3.Connection, path: Path, note: LockFile) -> tuple[JournalHeader, int]:
    """Read all of a journal as it is at one moment; return its front page, and how many predictions were bought.

    Raises:
        JournalError: it is not a journal, or not all of it.
        ValueError: it is damaged.
        sqlite3.Error: it cannot be read.
    """
    database.execute("BEGIN")
    try:
        _check_schema(database, path)
        front = read_front(database)
        read_place(database)
        _check_note(front, note, path)
        number = balance = bought = 0
        every = f"SELECT number, {COLUMNS} FROM jobs ORDER BY number"  # noqa: S608
        for number, (found, *row) in enumerate(database.execute(every), 1):
            if found != number:
                raise ValueError(f"row {number} is missing")
            balance += check_row(number, row)
            bought += row[5]
        if (number, balance) != (front.rows, front.balance):
            raise ValueError("some of its rows are missing, or older than the rest")
        return front, bought
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def _check_schema(database: sqlite3.Connection, path: Path) -> None:
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (schema,) = database.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise JournalError(f"{str(path)!r} is not a journal of cometflux", setting="journal")
    if schema > _PLACE_SCHEMA:
        raise JournalMismatchError(f"the journal {str(path)!r} was written by a newer version of cometflux")
    tables = dict(database.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
    if (schema, tables) not in ((_SCHEMA, _TABLES), (_PLACE_SCHEMA, _TABLES | _PLACE_TABLE)):
        raise ValueError("its tables are not those that were made")


def _check_note(front: JournalHeader, note: LockFile, path: Path) -> None:
    if note.is_blank:
        return
    if note.journal != front.journal:
        raise JournalError(f"the journal {str(path)!r} is not the one that the lock file beside it belongs to")
    if front.serial < note.serial or front.rows < note.rows:
        raise JournalError(
            f"the journal {str(path)!r} lacks the last {note.serial - front.serial} changes of {note.serial}: "
            "restore it with its -wal file; going on without could buy pictures twice"
        )


def _beside(path: Path, suffix: str) -> Path:
    # SQLite follows links before it looks for the log.
    return Path(os.path.realpath(path) + suffix)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
