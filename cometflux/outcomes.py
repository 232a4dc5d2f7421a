"""How a job ended: once, in one named way."""

from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import attrs

from cometflux.errors import (
    CometfluxError,
    Money,
    OutputError,
    PredictionCanceledError,
    PredictionExpiredError,
    PredictionFailedError,
)
from cometflux.jobs import Job
from cometflux.locations import StoredFile
from cometflux.predictions import Prediction, Status


class OutcomeKind(StrEnum):
    """How a job ended. Every job ends once, in one of these ways."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The service ran it, and it failed."""
    CANCELED = "canceled"
    """Stopped at the service. The prediction's status is ``canceled`` or ``aborted``."""
    EXPIRED = "expired"
    """It succeeded, but its output is gone: the service says so, or it is more than an hour old."""
    DETACHED = "detached"
    """Accepted, but not over when patience ended or the session closed. The id is known."""
    NOT_SENT = "not_sent"
    """Nothing reached the service."""
    REJECTED = "rejected"
    """The service rejected it; nothing is billed."""
    UNKNOWN = "unknown"
    """It was sent, and nothing proves whether it was accepted. It is not sent again."""


@attrs.frozen(kw_only=True)
class Outcome:
    """How a job ended: once, in one named way."""

    index: int
    """The job's number in the order in which jobs were taken, from 0."""
    key: str
    """The caller's key, else ``#`` and the index in five digits."""
    job: Job
    kind: OutcomeKind
    prediction: Prediction | None = None
    """The prediction as the service last reported it; None if no id is known."""
    error: CometfluxError | None = None
    """Why there is no picture, or why it is not saved; None if nothing is wrong."""
    files: tuple[Path | StoredFile, ...] = ()
    """The saved images, in the order of the output: paths on disk, or addresses in an object store."""
    resumed: bool = False
    """Whether an earlier run submitted it, and this run resumed it from the journal."""
    estimated_cost: Decimal | None = None
    """The estimated cost of its predictions in dollars; None if the session has no price for its model.

    It includes predictions of earlier runs and unknown ones. It is never a bill.
    """
    cost_basis: str | None = None
    """Where that price comes from, ``given`` for the session's own prices; None without a price."""

    @property
    def ok(self) -> bool:
        """Whether it succeeded and, if saving was requested, is saved."""
        return self.kind is OutcomeKind.SUCCEEDED and self.error is None

    def result(self) -> Prediction:
        """Return the prediction, or raise the error, as ``Future.result`` does."""
        if self.error is not None:
            raise self.error
        assert self.prediction is not None
        return self.prediction


LIFETIME = 3600.0
"""How long the service keeps outputs, in seconds (Replicate's documentation of data retention)."""


def verdict(prediction: Prediction, age: float = 0.0) -> tuple[OutcomeKind, CometfluxError | None]:
    """Return the outcome's kind and error for a prediction that is over.

    *age* is the time since it was accepted, in seconds. A success without output is expired only if the service says
    so, or if the prediction is old enough.

    Raises:
        ValueError: the status is not terminal.
    """
    match prediction.status:
        case Status.SUCCEEDED if prediction.output:
            return OutcomeKind.SUCCEEDED, None
        case Status.SUCCEEDED if prediction.is_expired or age > LIFETIME:
            return OutcomeKind.EXPIRED, PredictionExpiredError(prediction)
        case Status.SUCCEEDED:
            return OutcomeKind.SUCCEEDED, OutputError("the service returned no output", prediction_id=prediction.id)
        case Status.FAILED:
            return OutcomeKind.FAILED, PredictionFailedError(prediction)
        case Status.CANCELED | Status.ABORTED:
            return OutcomeKind.CANCELED, PredictionCanceledError(prediction)
        case status:
            raise ValueError(f"{status} is not the end")


_KIND_OF_LOSS = {
    Money.NOT_SENT: OutcomeKind.NOT_SENT,
    Money.REJECTED: OutcomeKind.REJECTED,
    Money.ACCEPTED: OutcomeKind.DETACHED,
    Money.UNKNOWN: OutcomeKind.UNKNOWN,
}


def kind_of_loss(error: CometfluxError) -> OutcomeKind:
    """Return the outcome's kind for a job that ended with *error* and no terminal status."""
    return _KIND_OF_LOSS[error.money]
