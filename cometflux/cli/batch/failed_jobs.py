"""Write the jobs of a folder that did not succeed as a prompt file, to be edited and redone."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cometflux.basics.plain_text import by_number, count_of
from cometflux.basics.quoting import argument
from cometflux.cli.batch.next_command import resume_command, schemas_of
from cometflux.cli.batch.unknown_jobs import JobNames
from cometflux.cli.errors import UsageError
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import ConfigError, PredictionError
from cometflux.journal.header import LOCAL
from cometflux.journal.outcome import outcome_of
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.sources.formats.written_rows import RowWriter, UnwritableError, WrittenRow
from cometflux.sources.rows import Format
from cometflux.storage import atomic

FAILED = ("failed", "canceled", "expired", "rejected", "not_sent")
"""The states of the jobs that have ended without a picture, and may be redone."""


def write_failures(screen: Screen, folder: Path, form: Format, out: Path | None) -> None:
    """Write the failures of *folder* to *out*, or to stdout.

    Raises:
        ConfigError: *folder* has no journal, or *out* cannot be written.
        JournalError: the journal cannot be read.
        UsageError: *out* is there already, or no row of this format can hold a job.
    """
    if out is not None and out.exists():
        raise UsageError(f"{out} already exists, and is not replaced; give another name")
    with Journal(folder) as journal:
        names = JobNames.in_states(journal, FAILED, is_failure)
        unknown, is_local = journal.status()["unknown"], journal.base_url == LOCAL
        given_up = sum(each.is_abandoned for each in journal.records("canceled"))
    rows = RowWriter(form, Path() if out is None else out.parent)
    left_out = list(_add(rows, names))
    schemas = schemas_of(record.model for record in names.jobs.values())
    resume = partial(resume_command, folder, is_local=is_local, schemas=schemas)
    if len(rows):
        _write(rows.text().encode("utf-8", "replace"), out)
        screen.say(f"{count_of(len(rows), 'job')} of {folder} did not succeed")
        if out is not None:
            screen.say("to redo them, as they are or changed:")
            screen.say(f"  {resume('--redo-from', argument(out))}")
    elif not left_out and not given_up:
        screen.say(f"no job of {folder} failed, expired, or was canceled, rejected or not sent")
    for line in left_out:
        screen.warn(f"left out: {line}")
    if unknown:
        screen.say(f"{count_of(unknown, 'job')} {by_number(unknown, 'is', 'are')} unknown, and may be billed: left out")
    if given_up:
        were = by_number(given_up, "was", "were")
        screen.say(f"{count_of(given_up, 'job')} {were} abandoned while unknown, and may be billed: left out")
        screen.say("to redo one, name its key:")
        screen.say(f"  {resume()} --redo 'KEY'")


def is_failure(record: JobRecord) -> bool:
    """Whether the job has ended without a picture, and may be redone: no unknown submission was given up for it."""
    return record.state_name in FAILED and not record.is_abandoned


def reason_of(record: JobRecord) -> str:
    """Return why the job has no picture."""
    error = outcome_of(record).error
    said = error.prediction.error if isinstance(error, PredictionError) else None
    return f"{record.state_name.replace('_', ' ')}: {said or error}"


def _add(rows: RowWriter, names: JobNames) -> Iterator[str]:
    """Add the rows, and yield why one cannot be written."""
    for record in names.jobs.values():
        name = names.of(record)
        try:
            rows.add(WrittenRow(key=name, why=reason_of(record), model=record.model, input=record.input))
        except UnwritableError as error:
            yield f"{name}: {error}"


def _write(data: bytes, out: Path | None) -> None:
    if out is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return
    try:
        if not atomic.write_new(out, data):
            raise UsageError(f"{out} already exists, and is not replaced; give another name")
    except OSError as error:
        raise ConfigError(f"{out} cannot be written ({error.strerror})") from error
