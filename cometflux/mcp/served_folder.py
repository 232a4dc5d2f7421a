"""Read the server's folder through its journal, and the progress of batches in the allowed folders."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux.errors import ConfigError
from cometflux.images.formats import ImageFile
from cometflux.journal.outcome import outcome_of
from cometflux.journal.place import FILE_NAME
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.states import OWED, visible_name
from cometflux.mcp.tools import MOST_JOBS
from cometflux.provenance.sidecar import read_sidecar
from cometflux.storage.folder import check_files


class NotAllowedError(Exception):
    """The operator does not allow agents to read this folder, or it has no batch."""


@attrs.frozen(kw_only=True)
class StoredImages:
    """The journal's records at one moment."""

    records: Mapping[str, JobRecord]
    """Every job of the journal, by its identity."""

    @property
    def bought(self) -> int:
        """How many predictions were charged or may have been."""
        return sum(record.bought for record in self.records.values())

    @property
    def next_index(self) -> int:
        """The batch place of the next new job."""
        return max((record.index for record in self.records.values()), default=-1) + 1


@attrs.frozen
class ServedFolder:
    """The server's folder. All methods block, so call them in a thread."""

    folder: Path

    def read(self) -> StoredImages:
        """Read the journal.

        Raises:
            JournalError: it cannot be read, or is damaged.
        """
        return StoredImages(records={record.identity: record for record in self._records()})

    def _records(self, *state_names: str) -> Iterator[JobRecord]:
        try:
            with Journal(self.folder / FILE_NAME) as journal:
                yield from journal.records(*state_names)
        except ConfigError:
            # The journal does not exist yet, or is still empty.
            return

    def unfinished(self) -> list[JobRecord]:
        """Return the jobs that may be charged and are not over.

        Raises:
            JournalError: the journal cannot be read, or is damaged.
        """
        return list(self._records(*OWED))

    def find_picture(self, name: str) -> Path | None:
        """Return the file of a picture in the journal; None if it is unknown, missing or changed."""
        # Only names from the journal are opened, so an agent's text cannot reach another file.
        for record in self._records("saved", "unsaved"):
            for file in record.files:
                if file.name == name:
                    found = check_files(self.folder, [(file.name, file.size, file.digest)])
                    return found[0].path.absolute() if found else None
        return None

    def saved_files(self, record: JobRecord) -> tuple[ImageFile, ...] | None:
        """Return the pictures of a saved job; None if one is missing or changed, or the job is not saved."""
        if record.state_name != "saved":
            return None
        return check_files(self.folder, [(file.name, file.size, file.digest) for file in record.files])


def read_seed(picture: Path) -> int | None:
    """Return the seed that the service used, from the record next to a picture; None if the record has none."""
    match read_sidecar(picture):
        case {"prediction": {"logs": str(logs)}}:
            # Search only the first lines: the prompt follows, and it may contain any text.
            found = re.match(r"(?:.*\n){0,3}?Using seed: (\d{1,20})\s", f"{logs}\n")
            return int(found[1]) if found else None
    return None


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen(kw_only=True)
class AllowedFolders:
    """The folders whose batches agents may read: the server's own, and those in and below the allowed ones."""

    own: Path
    allowed: tuple[Path, ...] = ()

    def find(self, name: str | None) -> Path:
        """Return the folder that *name* refers to, or the server's own if it is None or blank. Blocks.

        Raises:
            NotAllowedError: the folder is not allowed, or has no batch.
        """
        if name is None or not name.strip():
            return self.own.resolve()
        roots = [root.resolve() for root in (self.own, *self.allowed)]
        for candidate in _candidates(name, roots):
            is_allowed = any(candidate.is_relative_to(root) for root in roots)
            if is_allowed and os.path.isfile(candidate / FILE_NAME):  # noqa: PTH113 - Path raises for a long name
                return candidate
        # The same message whether the folder exists or not, so that an agent cannot probe the disk.
        raise NotAllowedError("there is no batch of this name in a folder that the operator allows")


def _candidates(name: str, roots: Iterable[Path]) -> Iterator[Path]:
    for root in roots:
        for start in (root, root.parent):
            try:
                # Resolve links first, so that a link out of an allowed folder is refused.
                yield (start / name).resolve()
            except (OSError, ValueError, RuntimeError):
                continue


def describe_batch(folder: Path) -> dict[str, Any]:
    """Return the counts of a batch's jobs, and its last jobs. Blocks; changes nothing.

    Raises:
        ConfigError: the journal does not exist yet, or is still empty.
        JournalError: the journal cannot be read, or is damaged.
    """
    with Journal(folder / FILE_NAME) as journal:
        counts = journal.status()
        is_running, place = journal.is_running, journal.place
        last = sorted(journal.records(), key=lambda record: record.index)[-MOST_JOBS:]
    told = [_describe(record, place, is_running=is_running) for record in last]
    return {"is_running": is_running, **counts, "last": told}


def _describe(record: JobRecord, place: str | None, *, is_running: bool) -> dict[str, Any]:
    prompt = record.input.get("prompt")
    values = {
        "key": record.key,
        "model": record.model.rpartition("/")[2],
        "prompt": prompt[:200] if isinstance(prompt, str) else None,
        "standing": visible_name(record.state_name, is_running=is_running),
        "prediction_id": record.prediction_id,
        "files": list(outcome_of(record, place).files) or None,
    }
    return {name: value for name, value in values.items() if value is not None}
