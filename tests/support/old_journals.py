"""Journals as older versions of the package wrote them."""

import contextlib
import sqlite3
from collections import Counter

import attrs

from cometflux import Journal
from cometflux.images import reference_files
from cometflux.journal import codec
from cometflux.journal.place import FILE_NAME
from cometflux.journal.record import identify
from cometflux.protocol import encoding


def make_old(folder):
    """Give the jobs of a journal the names that version 3 gave them."""
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as database:
        with Journal(folder) as journal:
            records = [*journal.records()]
        alike = Counter()
        for record in records:
            fingerprint = encoding.digest(record.model, reference_files.describe_input(record.input))
            alike[fingerprint] += 1
            identity, key = identify(None, fingerprint, alike[fingerprint]), record.key
            if record.identity.startswith("key:"):
                key = record.key.replace(record.fingerprint[:16], fingerprint[:16])
                identity = identify(key, "", 1)
            old = attrs.evolve(record, identity=identity, key=key, fingerprint=fingerprint)
            change = "UPDATE jobs SET identity = ?, plan = ? WHERE identity = ?"
            database.execute(change, (f"{identity} old", codec.dump_plan(old), record.identity))
        database.execute("UPDATE jobs SET identity = substr(identity, 1, length(identity) - 4)")
        database.execute("PRAGMA user_version = 3")
