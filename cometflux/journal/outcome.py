"""How a job ended, or how far it is, decoded from its record."""

import attrs

from cometflux import errors
from cometflux.errors import (
    CometfluxError,
    Money,
    OutputError,
    PredictionCanceledError,
    PredictionError,
    PredictionExpiredError,
    PredictionFailedError,
)
from cometflux.journal.attempts import Evidence
from cometflux.journal.record import JobRecord
from cometflux.journal.states import State
from cometflux.outcomes import OutcomeKind


@attrs.frozen(kw_only=True)
class RecordedOutcome:
    """How a job ended; for a job that is not over, how it ends if no process continues it."""

    kind: OutcomeKind
    """``not_sent`` while it waits, ``unknown`` while no answer is recorded, ``detached`` while its prediction runs."""
    error: CometfluxError | None = None
    """Why there is no image, or why not all are saved; None if all are saved."""
    files: tuple[str, ...] = ()
    """The saved images, in the order of the output: their file names, or their URLs in an object store."""

    @property
    def ok(self) -> bool:
        """Whether it succeeded and all its images are saved."""
        return self.error is None

    @property
    def money(self) -> Money:
        """What happened to the money."""
        return Money.ACCEPTED if self.error is None else self.error.money


class RecordedError(CometfluxError):
    """An error of an earlier run, as the journal noted it.

    Args:
        noted: the record of the error; ``type`` names its class, which may need more than the journal keeps.
    """

    def __init__(self, noted: Evidence, *, money: Money, prediction_id: str | None) -> None:
        super().__init__(noted.message, money=money, prediction_id=prediction_id)
        self.type = noted.type

    def __str__(self) -> str:
        noted_class = getattr(errors, self.type, CometfluxError)
        return super().__str__() if noted_class.tells_money else self.message


_PREDICTION_ERRORS: dict[OutcomeKind, type[PredictionError]] = {
    OutcomeKind.FAILED: PredictionFailedError,
    OutcomeKind.CANCELED: PredictionCanceledError,
    OutcomeKind.EXPIRED: PredictionExpiredError,
}
_MONEY = {OutcomeKind.NOT_SENT: Money.NOT_SENT, OutcomeKind.REJECTED: Money.REJECTED}
_REASONS = {
    "unsaved": "the images are not saved yet",
    "pending": "the prediction is not over",
    "detached": "the prediction is not over",
    "waiting": "it waits for another run",
}
"""The reason for each state, if the journal noted no error."""


def outcome_of(record: JobRecord, place: str | None = None) -> RecordedOutcome:
    """Decode how a job ended, or how far it is.

    Args:
        record: the job.
        place: the URL of the images' place in an object store; None if they are in a folder.
    """
    start = "" if place is None else f"{place}/"
    files = tuple(f"{start}{file.name}" for file in record.files)
    return RecordedOutcome(kind=_kind(record), error=_error(record), files=files)


def _kind(record: JobRecord) -> OutcomeKind:
    match record.state:
        case State.PLANNED:
            return OutcomeKind.NOT_SENT
        case State.INTENT:
            return OutcomeKind.UNKNOWN
        case State.ACCEPTED:
            return OutcomeKind.DETACHED
    assert record.kind is not None
    return OutcomeKind.CANCELED if record.is_abandoned else record.kind


def _error(record: JobRecord) -> CometfluxError | None:
    kind = _kind(record)
    if kind is OutcomeKind.UNKNOWN or record.is_abandoned:
        return record.unknown_error
    if kind in _PREDICTION_ERRORS and record.prediction_id is not None:
        return _PREDICTION_ERRORS[kind](record.last_prediction)
    if record.state_name == "saved":
        return None
    name = record.state_name
    noted = record.evidence or Evidence(type=CometfluxError.__name__, message=_REASONS.get(name, name))
    if kind is OutcomeKind.SUCCEEDED:
        return OutputError(noted.message, prediction_id=record.prediction_id)
    return RecordedError(noted, money=_MONEY.get(kind, Money.ACCEPTED), prediction_id=record.prediction_id)
