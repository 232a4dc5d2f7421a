"""Where pictures may be to go, what may stand there already, and what may be given for a journal."""

import os
import sqlite3
from pathlib import Path

import attrs
from odd_files import make_pipe

from cometflux.errors import ConfigError, JournalError, JournalMismatchError
from cometflux.journal.writer import JournalWriter


@attrs.frozen
class Place:
    """A folder, a file or a journal as it is found."""

    id: str
    make: object
    """A function of an empty folder; returns the path that is given."""
    error: type[Exception] | None = ConfigError
    says: str = ""


def _at(how, name="place"):
    def make(folder):
        how(folder / name)
        return folder / name

    return make


def _file(path):
    path.write_text("x")


FOLDERS = [
    Place("a number", lambda _: 5, says="save_to=5: must be the path of a folder"),
    Place("bytes", lambda _: b"x", says="save_to=b'x': must be the path of a folder"),
    Place("nothing", lambda _: "", says="save_to='': must be the path of a folder"),
    Place("a blank", lambda _: " ", says="save_to=' ': must be the path of a folder"),
    Place("True", lambda _: True, says="save_to=True: must be the path of a folder"),
    Place("a file", _at(_file), says="place' is a file, not a folder"),
    Place("below a file", lambda folder: _at(_file)(folder) / "a", says="cannot be written to: Not a directory"),
    Place("a link to nowhere", _at(lambda path: path.symlink_to("x")), says="is a link that leads nowhere"),
    Place("a link to itself", _at(lambda path: path.symlink_to(path)), says="is a link that leads nowhere"),
    Place("a link to a file", _at(lambda path: path.symlink_to(__file__)), says="is a file, not a folder"),
    Place("a pipe", _at(make_pipe), says="place' is not a folder"),
    Place("a device", lambda _: Path("/dev/null"), says="'/dev/null' is not a folder"),
    Place("a name with a NUL", lambda _: "a\0b", says="cannot be written to: its name holds a NUL"),
    Place("a name too long", lambda folder: folder / ("x" * 256), says="cannot be written to: File name too long"),
    Place("a path too long", lambda folder: folder / ("x/" * 3000), says="cannot be written to: File name too long"),
    Place("half a character", lambda folder: folder / "a\ud800", says="cannot be written to: "),
]


# ── a journal ────────────────────────────────────────────────────────────────────────────────────────────────────────

NAME = "journal.sqlite3"
NO_JOURNAL = "is not a journal of cometflux"
NO_DATABASE = "is not a journal of cometflux, or its beginning is damaged"


def _bytes(data):
    return _at(lambda path: path.write_bytes(data), NAME)


def _database(*statements):
    def make(folder):
        database = sqlite3.connect(folder / NAME)
        for statement in statements:
            database.execute(statement)
        database.commit()
        database.close()
        return folder

    return make


def _used(change):
    """A journal that was used, and changed behind its back."""

    def make(folder):
        writer = JournalWriter(folder)
        writer.open()
        writer.close()
        change(folder)
        return folder

    return make


def _cut(folder):
    path = folder / NAME
    os.truncate(path, path.stat().st_size // 2)


def _newer(folder):
    database = sqlite3.connect(folder / NAME)
    database.execute("PRAGMA user_version = 99")
    database.close()


def _another_table(folder):
    database = sqlite3.connect(folder / NAME)
    database.execute("CREATE TABLE more(x)")
    database.close()


def _gone(folder):
    (folder / NAME).unlink()


def _empty(folder):
    (folder / NAME).write_bytes(b"")


def _no_lock(folder, put):
    lock = folder / "journal.lock"
    lock.unlink()
    put(lock)


JOURNALS = [
    Place("a text", _bytes(b"a text that is long enough to be a database" * 20), JournalError, NO_DATABASE),
    Place("a short text", _bytes(b"x"), JournalError, NO_JOURNAL),
    Place("an image", _bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 5000), JournalError, NO_DATABASE),
    Place("zeros", _bytes(b"\0" * 8192), JournalError, NO_DATABASE),
    Place("a page without its end", _bytes(b"SQLite format 3\0"), JournalError, NO_JOURNAL),
    Place("somebody else's database", _database("CREATE TABLE a(b)"), JournalError, NO_JOURNAL),
    Place("somebody else's mark", _database("PRAGMA application_id = 7"), JournalError, NO_JOURNAL),
    Place("our mark on nothing", _database("PRAGMA application_id = 0x434F4D46"), JournalError, "is damaged"),
    Place("a newer version", _used(_newer), JournalMismatchError, "was written by a newer version"),
    Place("a table too many", _used(_another_table), JournalError, "its tables are not those that were made"),
    Place("half of it", _used(_cut), JournalError, "cannot be used: "),
    Place("its lock alone", _used(_gone), JournalError, "is gone, though journal.lock knows of it"),
    Place(
        "an empty file beside its lock",
        _used(_empty),
        JournalError,
        "has lost what was in it: restore it; a run without it could buy pictures twice",
    ),
    Place("a lock in words", _used(lambda at: (at / "journal.lock").write_text("x")), JournalError, "is damaged"),
    Place("a folder as its lock", _used(lambda at: _no_lock(at, Path.mkdir)), JournalError, "Is a directory"),
    Place(
        "a link as its lock", _used(lambda at: _no_lock(at, lambda to: to.symlink_to("x"))), JournalError, "cannot be"
    ),
    Place("a folder of its name", lambda at: _at(Path.mkdir, NAME)(at).parent, JournalError, "is not a file"),
    Place("a pipe of its name", lambda folder: _at(make_pipe, NAME)(folder).parent, JournalError, "is not a file"),
    Place(
        "a link to nowhere", lambda at: _at(lambda p: p.symlink_to("no/x"), NAME)(at).parent, JournalError, "cannot be"
    ),
    Place("below a file", lambda folder: _at(_file)(folder) / NAME, JournalError, "place' is not a folder"),
    Place("a name too long", lambda folder: folder / ("x" * 300), JournalError, "cannot be used: File name too long"),
    Place("half a character", lambda folder: folder / "a\ud800", ConfigError, "must be the path of a file, or of a"),
]
