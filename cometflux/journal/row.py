"""A job as a row of the journal, and what the journal notes of itself: with check sums, so that damage is noticed.

A row is made of a plan, a progress and a check sum over each. The front page tells how many rows there are and what
their check sums add up to, so that a row that is older than the rest is noticed as well.
"""

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

from cometflux.journal import codec
from cometflux.journal.record import JobRecord


class JournalHeader(NamedTuple):
    """What a journal notes of itself."""

    journal: str
    """A name that no other journal has."""
    base_url: str | None = None
    """Which service its predictions are at; None until it is told."""
    key_salt: str | None = None
    key_sum: str | None = None
    """The salted digest of the API key; None until there was one."""
    serial: int = 0
    """How many changes were written."""
    rows: int = 0
    """How many jobs it holds."""
    balance: int = 0
    """The sum of the check sums of its rows."""

    def to_row(self) -> tuple[Any, ...]:
        """Lay it out as it is stored, with its check sum."""
        return (*self, checksum(self))

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> Self:
        """Take it from where it is stored.

        Raises:
            ValueError: it is not what was written.
        """
        *columns, noted = row
        if checksum(columns) != noted:
            raise ValueError("its front page is not what was written")
        return cls(**dict(zip(cls._fields, columns, strict=True)))

    def turned(self, changes: int, rows: int, weight: int) -> Self:
        """Note *changes* more, *rows* of them new rows, and by what *weight* the balance changes with them."""
        serial, balance = self.serial + changes, self.balance + weight
        return self._replace(serial=serial, rows=self.rows + rows, balance=balance)

    def signed(self, base_url: str, key: str, *, salt: str) -> Self:
        """Note whose predictions the journal holds."""
        return self._replace(base_url=base_url, key_salt=salt, key_sum=key_sum(salt, key), serial=self.serial + 1)

    def is_of(self, key: str) -> bool:
        """Whether the journal was begun with *key*."""
        return self.key_sum == key_sum(self.key_salt or "", key)


def key_sum(salt: str, key: str) -> str:
    """Digest an API key, so that it is known again and cannot be read."""
    return hashlib.sha256(f"{salt}{key}".encode()).hexdigest()


def plan_of(record: JobRecord) -> tuple[Any, ...]:
    """Lay out what a job asks for as it is stored."""
    columns = (record.identity, record.index, codec.dump_plan(record))
    return (*columns, checksum(columns))


def progress_of(record: JobRecord, serial: int) -> tuple[Any, ...]:
    """Lay out how far a job has come as it is stored; *serial* is the number of this change."""
    columns = (record.state_name, record.bought, codec.dump_progress(record), serial)
    return (*columns, checksum((record.identity, *columns)))


def check_row(number: object, row: Sequence[Any]) -> int:
    """Return what a row adds to the balance.

    Raises:
        ValueError: it is not what was written.
    """
    identity, place, plan, plan_sum, *progress, progress_sum = row
    if checksum((identity, place, plan)) != plan_sum or checksum((identity, *progress)) != progress_sum:
        raise ValueError(f"row {number} is not what was written")
    return int(plan_sum) + int(progress_sum)


def to_record(row: Sequence[Any]) -> JobRecord:
    """Read a job from where it is stored.

    Raises:
        ValueError: it is not what was written.
    """
    check_row(repr(row[0]), row)
    return codec.load_record(row[0], row[1], row[2], row[6])


def checksum(columns: Iterable[Any]) -> int:
    """Sum up what stands in *columns*; a text and the number that it shows are not alike."""
    marked = (f"'{each}" if isinstance(each, str) else repr(each) for each in columns)
    return zlib.crc32("\0".join(marked).encode("utf-8", "surrogatepass"))
