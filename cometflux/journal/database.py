"""The journal's file: how it is made, opened and checked.

The tables are ``header`` and ``jobs``, since version 3. Versions 1 and 2 had check sums in every row, which are not
read any more. Version 4 names jobs by what their values mean, not by how they are spelled. A reader understands all
versions and writes nothing. The first writer of an older journal changes it to version 4 in one transaction. From then
on older packages refuse the journal as newer than they are.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path, PurePath
from urllib.parse import quote

from cometflux.errors import JournalError, JournalMismatchError
from cometflux.journal.header import JournalHeader
from cometflux.journal.lock import LockFile
from cometflux.storage import atomic

_APPLICATION = 0x434F4D46
_VERSION = 4
_TABLES = {
    "header": """CREATE TABLE header(
    number INTEGER PRIMARY KEY,
    journal TEXT NOT NULL,
    base_url TEXT,
    key_salt TEXT,
    key_sum TEXT,
    place TEXT,
    serial INTEGER NOT NULL
)""",
    "jobs": """CREATE TABLE jobs(
    number INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,
    place INTEGER NOT NULL,
    plan TEXT NOT NULL,
    standing TEXT NOT NULL,
    bought INTEGER NOT NULL,
    progress TEXT NOT NULL,
    serial INTEGER NOT NULL
)""",
    "standings": "CREATE INDEX standings ON jobs(standing, bought)",
}
_FIRST_WITH_TABLES = 3
_OLD_TABLES = ({"front", "jobs", "learned"}, {"front", "jobs", "learned", "place"})
"""The names of those of versions 1 and 2."""
_HEADERS = {
    1: "SELECT journal, base_url, key_salt, key_sum, NULL, serial FROM front",
    2: "SELECT journal, base_url, key_salt, key_sum, url, serial FROM front JOIN place",
    3: "SELECT journal, base_url, key_salt, key_sum, place, serial FROM header",
    4: "SELECT journal, base_url, key_salt, key_sum, place, serial FROM header",
}
"""How the header is read in each version."""


def explain(error: Exception, path: Path) -> JournalError:
    """Turn an error of the disk, of SQLite or of the checks into an error of this package."""
    match error:
        case sqlite3.Error(sqlite_errorcode=sqlite3.SQLITE_NOTADB):
            return JournalError(
                f"{str(path)!r} is not a journal of cometflux, or its beginning is damaged",
                path=path,
                setting="journal",
            )
        case FileExistsError():
            return JournalError(
                f"the journal {str(path)!r} cannot be used: {error.filename!r} is not a folder", path=path
            )
        case OSError():
            return JournalError(f"the journal {str(path)!r} cannot be used: {error.strerror or error}", path=path)
        case ValueError():
            return JournalError(f"the journal {str(path)!r} is damaged: {error}", path=path)
    return JournalError(f"the journal {str(path)!r} cannot be used: {error}", path=path)


FAULTS = (sqlite3.Error, OSError, ValueError)
"""The errors that `explain` takes."""


@contextlib.contextmanager
def translating_errors(path: Path) -> Iterator[None]:
    """Raise the errors of the disk, of SQLite and of the checks as errors of this package, with *path*."""
    try:
        yield
    except JournalError as error:
        error.path = error.path or path
        raise
    except FAULTS as error:
        raise explain(error, path) from error


def make_private(path: Path) -> None:
    """Make the file if it is missing. Let nobody else read it, its log or its index."""
    if path.exists() and not path.is_file():
        raise JournalError(f"{str(path)!r} is not a file", setting="journal")
    # Made before SQLite would: what it makes itself, others may read; what it makes later is like this.
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        atomic.sync_folder(path.parent)
    for each in (path, _beside(path, "-wal"), _beside(path, "-shm")):
        if each.exists() and each.stat().st_mode & 0o777 != 0o600:
            atomic.make_private(each, each)


def update(database: sqlite3.Connection) -> bool:
    """Make the tables of a new journal, or change those of an older version, within the transaction that is open.

    Return whether its jobs still have the names of an older version.

    Raises:
        ValueError: rows of the older version are missing.
    """
    version = _version(database)
    if version == _VERSION:
        return False
    if version < _FIRST_WITH_TABLES:
        _make_tables(database, read_header(database) if version else None)
    database.execute(f"PRAGMA application_id = {_APPLICATION}")
    database.execute(f"PRAGMA user_version = {_VERSION}")
    return version > 0


def _make_tables(database: sqlite3.Connection, known: JournalHeader | None) -> None:
    if known:
        database.execute("ALTER TABLE jobs RENAME TO old_jobs")
    for statement in _TABLES.values():
        database.execute(statement)
    if known:
        _move_old_rows(database, known)


def _move_old_rows(database: sqlite3.Connection, header: JournalHeader) -> None:
    columns = "number, identity, place, plan, standing, bought, progress, serial"
    found = database.execute(f"INSERT INTO jobs({columns}) SELECT {columns} FROM old_jobs ORDER BY number")  # noqa: S608
    if (found.rowcount,) != database.execute("SELECT rows FROM front").fetchone():
        raise ValueError("some of its rows are missing")
    for table in ("old_jobs", "front", "learned", "place"):
        database.execute(f"DROP TABLE IF EXISTS {table}")
    write_header(database, header)


def is_of_today(database: sqlite3.Connection) -> bool:
    """Whether the journal has the tables and names of this version."""
    return _version(database) == _VERSION


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def read_header(database: sqlite3.Connection) -> JournalHeader:
    """Read the header, even that of an older version.

    Raises:
        ValueError: it was changed.
    """
    found = database.execute(_HEADERS[_version(database)]).fetchall()
    if len(found) != 1:
        raise ValueError("its header is missing")
    *texts, serial = found[0]
    if not isinstance(serial, int) or not all(isinstance(text, str | None) for text in texts):
        raise ValueError("its header is not what was written")
    return JournalHeader._make(found[0])


def write_header(database: sqlite3.Connection, header: JournalHeader) -> None:
    """Write the header, within the transaction that is open."""
    database.execute("INSERT OR REPLACE INTO header VALUES(1, ?, ?, ?, ?, ?, ?)", header)


# ── reading and checking ─────────────────────────────────────────────────────────────────────────────────────────────


def uri_of(path: PurePath) -> str:
    """Return the URI of a path for SQLite, which takes no host in it; ``as_uri`` makes a host of ``//server/share``."""
    name = path.as_posix()
    return f"file://{'' if name.startswith('/') else '/'}{quote(os.fsencode(name), safe='/:')}"


def open_reader(path: Path, note: LockFile) -> sqlite3.Connection:
    """Open a journal so that nothing in it is changed; *note* was read before that.

    Raises:
        JournalError: there is nothing in it, though there was.
        sqlite3.Error: it cannot be opened.
    """
    # SQLite would throw away the log that it finds beside an empty file.
    if not _size(path) and (not note.is_blank or _size(_beside(path, "-wal"))):
        raise JournalError(
            f"the journal {str(path)!r} has lost what was in it: restore it; a run without it could buy pictures twice"
        )
    if (copy := _open_copy(path)) is not None:
        return copy
    uri = uri_of(path.absolute())
    # SQLite makes a log and its index even to read. Only a connection with the right to write removes them again, and
    # only if it is the last one. The log of a killed run stays: such a connection would move it into the file.
    mode = "ro" if _size(_beside(path, "-wal")) else "rw"
    database = sqlite3.connect(f"{uri}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA query_only = ON")
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


def _open_copy(path: Path) -> sqlite3.Connection | None:
    """Read a journal that has a log and no index into memory; None if it has an index or no log, or is too large.

    That is a copy of a killed run's folder. SQLite would make an index, and leave it there.
    """
    log, index = _beside(path, "-wal"), _beside(path, "-shm")
    if index.exists() or not 0 < _size(log) <= _LARGEST_COPY - _size(path):
        return None
    # Imported here, because they take longer to import than a small journal takes to read.
    import shutil
    import tempfile

    with contextlib.ExitStack() as stack:
        try:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "journal"
            shutil.copyfile(path, place)
            shutil.copyfile(log, f"{place}-wal")
        except OSError:
            # There is no room for a copy, and to read it matters more.
            return None
        # A writer that has come meanwhile may have changed one of the two.
        return None if index.exists() else _in_memory(place)


def _in_memory(path: Path) -> sqlite3.Connection:
    with contextlib.closing(sqlite3.connect(path)) as source:
        database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            source.backup(database)
        except BaseException:
            database.close()
            raise
        return database


_LARGEST_COPY = 256 * 1024 * 1024
_SMALLEST = 512
_NO_RIGHTS = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def look(path: Path, note: LockFile) -> JournalHeader | None:
    """Check a journal as `check` does, without changing anything in it; return None if it is empty.

    A damaged journal stays as it is, so that it can be repaired.

    Raises:
        JournalError: it is not a journal, or not all of it.
        ValueError: it is damaged.
        sqlite3.Error: it cannot be read.
    """
    with contextlib.closing(open_reader(path, note)) as database:
        return None if is_empty(database, path, note) else check(database, path, note)


def is_empty(database: sqlite3.Connection, path: Path, note: LockFile) -> bool:
    """Whether a journal has nothing yet: whoever began it is about to write the first page, or was killed before."""
    # SQLite takes a file of a few bytes for an empty database, and would write over it.
    if 0 < _size(path) < _SMALLEST and not _size(_beside(path, "-wal")):
        return False
    (application,) = database.execute("PRAGMA application_id").fetchone()
    return note.is_blank and not application and not database.execute("SELECT 1 FROM sqlite_schema").fetchone()


def check(database: sqlite3.Connection, path: Path, note: LockFile) -> JournalHeader:
    """Return the header of a journal, if it has the name and at least the serial number of *note*. Reads no rows.

    SQLite refuses a file that lacks pages. It ignores the damaged part of a log, and then the serial number is too low.

    Raises:
        JournalError: it is not a journal, or not all of it.
        ValueError: it is damaged.
        sqlite3.Error: it cannot be read.
    """
    database.execute("BEGIN")
    try:
        _check_tables(database, path)
        _check_size(database, path)
        header = read_header(database)
        _check_note(header, note, path)
        return header
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def _check_tables(database: sqlite3.Connection, path: Path) -> None:
    (application,) = database.execute("PRAGMA application_id").fetchone()
    if application != _APPLICATION:
        raise JournalError(f"{str(path)!r} is not a journal of cometflux", setting="journal")
    version = _version(database)
    if version > _VERSION:
        raise JournalMismatchError(f"the journal {str(path)!r} was written by a newer version of cometflux")
    tables = dict(database.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
    is_old = version in (1, 2) and tables.keys() == _OLD_TABLES[version - 1]
    if not is_old and (version < _FIRST_WITH_TABLES or tables != _TABLES):
        raise ValueError("its tables are not those that were made")


def _check_size(database: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that was cut within a page. SQLite notices missing pages only, and completes a page with zeros.

    A log may hold the whole page; then all pages are checked.
    """
    (size,) = database.execute("PRAGMA page_size").fetchone()
    if not _size(path) % size:
        return
    if not _size(_beside(path, "-wal")) or database.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
        raise ValueError("its file was cut")


def _check_note(header: JournalHeader, note: LockFile, path: Path) -> None:
    if note.is_blank:
        return
    if note.journal != header.journal:
        raise JournalError(f"the journal {str(path)!r} is not the one that the lock file next to it belongs to")
    if header.serial < note.serial:
        raise JournalError(
            f"the journal {str(path)!r} lacks the last {note.serial - header.serial} changes of {note.serial}: "
            "restore it with its -wal file; a run without it could buy pictures twice"
        )


def _beside(path: Path, suffix: str) -> Path:
    # SQLite follows links before it looks for the log.
    return Path(os.path.realpath(path) + suffix)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
