"""Reads a journal, even while a batch writes it."""

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

from cometflux.basics.pages import PAGE
from cometflux.jobs import PlannedJob
from cometflux.journal.costs import CostSum
from cometflux.journal.database import is_of_today, read_header, translating_errors
from cometflux.journal.header import JournalHeader
from cometflux.journal.job_rows import (
    COLUMNS,
    JournalRow,
    cost_sum,
    differing,
    earlier_file_names,
    file_keys,
    file_names,
    find,
    find_rows,
    last_ids,
    order,
    purchases,
    read_rows,
    to_job,
    to_record,
)
from cometflux.journal.overview import JournalOverview
from cometflux.journal.record import JobRecord
from cometflux.journal.states import DROPPED

_SELECT = f"SELECT number, {COLUMNS} FROM jobs"  # noqa: S608


class Journal(JournalOverview):
    """Reads a journal, even while a batch writes it. Use it with ``with``, or `close` it.

    Args:
        path: the journal's file, or its folder.

    Raises:
        ConfigError: there is no journal.
        JournalError: it cannot be read, is damaged, or is not a file.
        JournalMismatchError: a newer version of this package wrote it.
    """

    @property
    def name(self) -> str:
        """A name that no other journal has."""
        return self._read_header().journal

    @property
    def base_url(self) -> str | None:
        """The base URL of the service that has its predictions; None if nothing was written yet."""
        return self._read_header().base_url

    def is_of(self, base_url: str, key: str) -> bool:
        """Whether its predictions belong to this base URL and this API key."""
        return self._read_header().is_of(base_url, key)

    @property
    def place(self) -> str | None:
        """The URL of its images' place in an object store; None if they are in its own folder."""
        return self._read_header().place

    @property
    def bought(self) -> int:
        """The number of its predictions that are, or may be, paid for."""
        with translating_errors(self.path):
            (bought,) = self._database.execute("SELECT coalesce(sum(bought), 0) FROM jobs WHERE bought").fetchone()
            if not isinstance(bought, int):
                raise ValueError("the number of predictions bought is not what was written")
            return bought

    @property
    def purchases(self) -> list[tuple[str, dict[str, Any], int]]:
        """The predictions that are, or may be, paid for, as ``Opened.purchases`` has them."""
        with translating_errors(self.path):
            return purchases(self._database)

    @property
    def models(self) -> set[str]:
        """The models of its jobs."""
        # A damaged plan is reported when its job is read.
        query = "SELECT DISTINCT json_extract(plan, '$.model') FROM jobs WHERE standing <> ? AND json_valid(plan)"
        with translating_errors(self.path):
            return {model for (model,) in self._database.execute(query, (DROPPED,)) if isinstance(model, str)}

    @property
    def has_names_of_today(self) -> bool:
        """Whether its jobs have the identities that this version of the package computes."""
        with translating_errors(self.path):
            return is_of_today(self._database)

    @property
    def serial(self) -> int:
        """How many changes were written to it."""
        return self._read_header().serial

    def _read_header(self) -> JournalHeader:
        with translating_errors(self.path):
            return read_header(self._database)

    def records(self, *state_names: str) -> Iterator[JobRecord]:
        """Yield the jobs in the order in which they were first written; only those of *state_names* if given.

        Jobs that a later plan dropped are left out.
        """
        with translating_errors(self.path):
            for row in self._rows():
                if row.standing in state_names if state_names else row.standing != DROPPED:
                    yield to_record(row)

    def jobs(self, *, without: Container[str] = ()) -> Iterator[PlannedJob]:
        """Yield the jobs of the `records` as they were planned, but not those with the identities *without*.

        Quick, because the progress of saved jobs is not read. Raises as `records` does.
        """
        return map(self.job_of, self.rows(without=without))

    def job_of(self, row: JournalRow) -> PlannedJob:
        """Make the job of a row as it was planned. Raises as `records` does."""
        with translating_errors(self.path):
            return to_job(row)

    def rows(self, *, without: Container[str] = ()) -> Iterator[JournalRow]:
        """Yield the rows of the `records`, but not those with the identities *without*. Raises as `records` does."""
        with translating_errors(self.path):
            for row in self._rows():
                if row.standing != DROPPED and row.identity not in without:
                    yield row

    def _rows(self) -> Iterator[JournalRow]:
        last = 0
        # Page by page: a long read would keep the writer from tidying up.
        while page := self._read_page(last):
            last = page[-1][0]
            for row in page:
                yield JournalRow._make(row[1:])

    def find(self, identities: Iterable[str]) -> dict[str, JobRecord]:
        """Return the records of those *identities* that are in the journal, including those of jobs that were dropped.

        Raises:
            JournalError: it cannot be read, or is damaged.
        """
        with translating_errors(self.path):
            return find(self._database, identities)

    def record_of(self, row: JournalRow) -> JobRecord:
        """Read the record of a row. Raises as `records` does."""
        with translating_errors(self.path):
            return to_record(row)

    def find_rows(self, identities: Sequence[str]) -> dict[str, JournalRow]:
        """Return the rows of those *identities* that are in the journal, as `find` does."""
        with translating_errors(self.path):
            return find_rows(self._database, identities)

    def order(self) -> Iterator[tuple[int, int]]:
        """Yield the row number of each planned job, and the serial number of its last change, in the batch's order."""
        with translating_errors(self.path):
            yield from order(self._database)

    def read(self, numbers: Iterable[int]) -> Iterator[tuple[int, JobRecord]]:
        """Yield the jobs at these row numbers, which `order` returned; jobs that are no longer planned are left out."""
        with translating_errors(self.path):
            yield from read_rows(self._database, numbers)

    def file_names(self) -> Iterator[str]:
        """Yield the names of all saved files."""
        with translating_errors(self.path):
            yield from file_names(self._database)

    def earlier_file_names(self) -> Iterator[str]:
        """Yield the names of the files that attempts before the last one of a job have left."""
        with translating_errors(self.path):
            yield from earlier_file_names(self._database)

    def file_keys(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each saved file with the key of its job, or with its job's place if the job has no key."""
        with translating_errors(self.path):
            yield from file_keys(self._database)

    def prediction_ids(self) -> frozenset[str]:
        """Return the id of each job's last prediction."""
        with translating_errors(self.path):
            return last_ids(self._database)

    def costs(self) -> CostSum:
        """Add up the estimated cost of all predictions, and the charges that the account showed."""
        with translating_errors(self.path):
            return cost_sum(self._database)

    def differing_parameters(self) -> list[str]:
        """Return the names of the parameters that differ among the planned jobs, in the order of the inputs."""
        with translating_errors(self.path):
            return differing(self._database)

    def _read_page(self, last: int) -> list[tuple[Any, ...]]:
        """Read the rows after the one with the number *last*."""
        query = f"{_SELECT} WHERE number > ? ORDER BY number LIMIT {PAGE}"
        with translating_errors(self.path):
            page = self._database.execute(query, (last,)).fetchall()
            # Where the way to a row is damaged, another may be found there, though every row is whole.
            if [row[0] for row in page] != list(range(last + 1, last + len(page) + 1)):
                raise ValueError(f"row {last + 1} is not where it should be")
        return page
