"""Opens a journal to read, and counts its jobs. Imports nothing that reads a job, so that counting is quick."""

import os
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from cometflux.errors import ConfigError, JournalError
from cometflux.journal.database import check, explain, is_empty, open_reader, translating_errors
from cometflux.journal.lock import LockFile, is_locked
from cometflux.journal.place import absent, locate
from cometflux.journal.states import DROPPED, SENDING, STATE_NAMES, visible_name


class JournalOverview:
    """How far the jobs of a journal are, even while a batch writes it. Opened as a `Journal` is."""

    def __init__(self, path: str | Path) -> None:
        self.path = locate(path)
        with translating_errors(self.path):
            # In this order: a journal that is begun just now is a file, or not there yet.
            if not os.path.lexists(self.path):
                raise absent(self.path)
            if not self.path.is_file():
                raise JournalError(f"there is no journal at {str(self.path)!r}: what is there is not a file")
            # Read before the rows are, so that whoever writes meanwhile makes no difference.
            note = LockFile.read(self.path)
            self._database = open_reader(self.path, note)
            try:
                if is_empty(self._database, self.path, note):
                    problem = f"there is no journal at {str(self.path)!r} yet: it was begun, and nothing was sent"
                    raise ConfigError(problem, setting="journal")
                check(self._database, self.path, note)
            except BaseException:
                self._database.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def is_running(self) -> bool:
        """Whether a process writes to it at this moment."""
        return is_locked(self.path)

    def status(self) -> dict[str, int]:
        """Count the jobs: ``planned``, and each state; the states always add up to it.

        The states are ``saved``, ``unsaved`` (succeeded, images not on disk), ``failed``, ``canceled``, ``expired``,
        ``detached``, ``not_sent``, ``rejected``, ``unknown``, ``pending`` (at the service, or in flight) and
        ``waiting`` (nothing of it was sent).
        """
        # The index has all that this needs.
        counts = self._count("SELECT x'', standing, count(*) FROM jobs WHERE standing <> :dropped GROUP BY standing")
        return counts.get(b"", dict.fromkeys(("planned", *STATE_NAMES), 0))

    def sources(self) -> dict[str, dict[str, int]]:
        """Count the jobs of each prompt file by state, as `status` does; the file of a job without one is ``""``."""
        # As bytes, because the name of a file need not be UTF-8, and SQLite's texts are.
        source = "CAST(coalesce(json_extract(plan, '$.source'), '') AS BLOB)"
        jobs = "FROM jobs WHERE standing <> :dropped"
        files = f"SELECT DISTINCT {source} AS source {jobs} LIMIT 2"
        states = f"SELECT standing, count(*) AS number {jobs} GROUP BY standing"
        # If all jobs are of one file, as in most folders, the index has their number.
        counts = self._count(f"SELECT source, standing, number FROM ({files}), ({states})")  # noqa: S608 - ours
        if len(counts) > 1:
            # SQLite would sort a million rows to group them.
            counts = self._count(f"SELECT {source}, standing, 1 {jobs}")
        return {name.decode("utf-8", "surrogatepass"): states for name, states in counts.items()}

    def _count(self, query: str) -> dict[bytes, dict[str, int]]:
        """Add up the numbers that *query* finds, by a name of its choice and by state."""
        is_running = self.is_running
        with translating_errors(self.path):
            # Equal rows are counted as they come, in bounded memory.
            found = Counter(self._database.execute(query, {"dropped": DROPPED}))
        # One that worked when this began may have ended meanwhile, and one may have begun.
        is_running = is_running or self.is_running
        counts: dict[bytes, Counter[str]] = {}
        for (key, name, number), times in found.items():
            if name not in (*STATE_NAMES, SENDING):
                raise explain(ValueError(f"no job can be {name!r}"), self.path)
            counts.setdefault(key, Counter())[visible_name(name, is_running=is_running)] += number * times
        return {
            key: {"planned": each.total(), **{name: each[name] for name in STATE_NAMES}}
            for key, each in sorted(counts.items())
        }
