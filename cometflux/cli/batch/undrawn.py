"""The outcomes of the jobs that a run did not draw."""

from collections.abc import Sequence
from pathlib import Path

from cometflux.errors import CometfluxError, Money, SessionClosedError, SessionStoppedError
from cometflux.images.formats import Image
from cometflux.jobs import Job, position_key
from cometflux.journal.finished import FinishedJob
from cometflux.journal.job_rows import to_record
from cometflux.journal.outcome import outcome_of
from cometflux.journal.plan import job_of_record
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.locations import Location, StoredFile
from cometflux.outcomes import Outcome, OutcomeKind


def picture_place(journal: Journal) -> Path | Location:
    """Return the place of the images of a journal: its folder, or a place in an object store."""
    return journal.path.parent if journal.place is None else Location.of(journal.place)


def _file(where: Path | Location, name: str) -> Path | StoredFile:
    return where / name if isinstance(where, Path) else StoredFile(location=where, name=name)


def undrawn_outcome(record: JobRecord, where: Path | Location, cause: CometfluxError) -> Outcome:
    """Return the outcome of a job that was not drawn before *cause*."""
    drawn = job_of_record(record)
    key = shown_key(record)
    outcome = outcome_of(record)
    if outcome.money in (Money.NOT_SENT, Money.REJECTED):
        return not_drawn(record.index, key, drawn.job, cause)
    is_detached = outcome.kind is OutcomeKind.DETACHED
    return Outcome(
        index=record.index,
        key=key,
        job=drawn.job,
        kind=outcome.kind,
        prediction=record.last_prediction if record.prediction_id else None,
        error=SessionClosedError(cause.message, money=Money.ACCEPTED) if is_detached else outcome.error,
        files=tuple(_file(where, name) for name in outcome.files) if outcome.ok else (),
        resumed=True,
    )


def finished_outcome(job: FinishedJob, images: Sequence[Image]) -> Outcome:
    """Return the outcome of a job that an earlier run finished, and whose *images* are there."""
    record = to_record(job.row)
    return Outcome(
        index=record.index,
        key=shown_key(record),
        job=job_of_record(record).job,
        kind=OutcomeKind.SUCCEEDED,
        prediction=record.last_prediction,
        files=tuple(image.path for image in images),
        resumed=True,
    )


def not_drawn(index: int, key: str, job: Job, cause: CometfluxError) -> Outcome:
    """Make the outcome of a job that the session did not start."""
    stopped = SessionStoppedError(cause.cause) if isinstance(cause, SessionStoppedError) else None
    error = stopped or SessionClosedError(cause.message)
    return Outcome(index=index, key=key, job=job, kind=OutcomeKind.NOT_SENT, error=error)


def shown_key(record: JobRecord) -> str:
    """Return the key by which outcomes name a job: the caller's, else its place in the last batch."""
    return record.key if record.identity.startswith("key:") else position_key(record.index)
