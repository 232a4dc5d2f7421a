"""How a job ended: once, in one named way."""

from enum import StrEnum
from pathlib import Path

import attrs

from cometflux.errors import (
    CometfluxError,
    Money,
    PredictionCanceledError,
    PredictionError,
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
    """The service ran it and it failed."""
    CANCELED = "canceled"
    """Stopped at the service; the prediction's status tells ``canceled`` from ``aborted``."""
    EXPIRED = "expired"
    """It succeeded, but its output is gone."""
    DETACHED = "detached"
    """Accepted and not over when patience ended or the session closed; the id is known."""
    NOT_SENT = "not_sent"
    """Nothing reached the service."""
    REJECTED = "rejected"
    """The service refused it; nothing is billed."""
    UNKNOWN = "unknown"
    """It left, and nothing proves whether it was accepted; it is not sent again."""


@attrs.frozen(kw_only=True)
class Outcome:
    """How a job ended: once, in one named way."""

    index: int
    """The job's place in the order in which jobs were drawn, from 0."""
    key: str
    """The caller's key, else the index in five digits behind a ``#``."""
    job: Job
    kind: OutcomeKind
    prediction: Prediction | None = None
    """What the service last said; None where there is no id."""
    error: CometfluxError | None = None
    """Why there is no picture, or why it is not saved; None where all is well."""
    files: tuple[Path | StoredFile, ...] = ()
    """The images, in the order of the output: a path on the disk, or where it is in an object store."""
    resumed: bool = False
    """Whether it was bought by an earlier run, and taken up from the journal."""

    @property
    def ok(self) -> bool:
        """Whether it succeeded, and is saved where saving was asked for."""
        return self.kind is OutcomeKind.SUCCEEDED and self.error is None

    def result(self) -> Prediction:
        """Return the prediction, or raise the error, as ``Future.result`` does."""
        if self.error is not None:
            raise self.error
        assert self.prediction is not None
        return self.prediction


def verdict(prediction: Prediction) -> tuple[OutcomeKind, PredictionError | None]:
    """Name the end of a job by the service's last word."""
    match prediction.status:
        case Status.SUCCEEDED if prediction.is_expired:
            return OutcomeKind.EXPIRED, PredictionExpiredError(prediction)
        case Status.SUCCEEDED:
            return OutcomeKind.SUCCEEDED, None
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
    """Name the end of a job that ended without the service's last word."""
    return _KIND_OF_LOSS[error.money]
