"""The end of a job: what the journal keeps of it, and what an error says of it that broke its task."""

from collections.abc import Iterable

from cometflux.engine.tracked_job import TrackedJob
from cometflux.errors import (
    ChainError,
    CometfluxError,
    ConnectError,
    InputError,
    Money,
    UnknownSubmissionError,
)
from cometflux.images.formats import Image
from cometflux.journal.attempts import SavedFile
from cometflux.journal.states import State
from cometflux.outcomes import OutcomeKind

UNSAVED = "the session was closed before the images were saved"


def waits_for_the_next_run(kind: OutcomeKind, error: CometfluxError | None) -> bool:
    """Whether a job that was not sent is left for the next run, since nothing is wrong with the job itself."""
    return kind is OutcomeKind.NOT_SENT and not isinstance(error, ChainError | InputError | ConnectError)


def conclude_record(
    tracked: TrackedJob, kind: OutcomeKind, error: CometfluxError | None, files: tuple[Image, ...]
) -> None:
    """Note in the record of a job how the job ended."""
    record = tracked.record
    if record.state is State.PLANNED and kind in (OutcomeKind.FAILED, OutcomeKind.UNKNOWN):
        # Somebody decided by hand that it is sent again, and so it will be.
        return
    if record.kind is OutcomeKind.SUCCEEDED and (
        kind is OutcomeKind.DETACHED or (kind is OutcomeKind.EXPIRED and record.files)
    ):
        # It was polled once more only to fetch a missing image; the images that are saved stay.
        return
    record.ended(kind, tracked.prediction, error)
    if kind is OutcomeKind.SUCCEEDED and tracked.place is not None:
        record.saved(saved_files(files), error)


def saved_files(files: Iterable[Image]) -> tuple[SavedFile, ...]:
    """Describe images as the journal keeps them."""
    return tuple(SavedFile(name=f.name, size=f.size, digest=f.digest, mark=f.mark) for f in files)


def loss_of(error: BaseException, tracked: TrackedJob) -> CometfluxError:
    """Return the error with which a job ends because *error* broke its task: it is true about the money."""
    name = type(error).__name__
    if isinstance(error, CometfluxError) and (tracked.prediction is None or error.money is Money.ACCEPTED):
        return error
    if tracked.prediction is not None:
        return CometfluxError(f"the session failed at this job ({name}: {error})", money=Money.ACCEPTED)
    if tracked.is_in_flight:
        message = f"the transport failed while the submission was under way ({name})"
        return UnknownSubmissionError(message, name, prediction_id=tracked.created_id)
    return CometfluxError(f"the job could not be sent ({name}: {error})")
