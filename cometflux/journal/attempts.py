"""The parts of a record: a saved image, the evidence of an error, an earlier attempt, an estimate and a charge."""

from collections.abc import Iterable

import attrs

from cometflux.errors import CometfluxError, PredictionError, UnknownSubmissionError
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction


@attrs.frozen(kw_only=True)
class SavedFile:
    """An image on the disk, as the journal knows it."""

    name: str
    """Its name in the folder, with ``/`` between the parts."""
    size: int
    """In bytes."""
    digest: str
    """SHA-256, in hexadecimal digits."""
    mark: str | None = None
    """``signed``, ``marked`` or ``bare``; None in the records of version 0.1."""


@attrs.frozen(kw_only=True)
class TakenImage:
    """A saved image of another job that was sent with this one."""

    job: str
    """The journal's name for the other job."""
    key: str
    index: int
    """Which of its images, from 0."""
    file: str
    """Its name in the folder, with ``/`` between the parts."""
    digest: str
    """SHA-256, in hexadecimal digits."""

    @property
    def facts(self) -> dict[str, str]:
        """The facts for a record that people read."""
        return {"image": f"@{self.key}[{self.index}]", "file": self.file, "sha256": self.digest}


def facts_of(images: Iterable[TakenImage]) -> dict[tuple[str, int], dict[str, str]]:
    """Return the facts of each image, by its `OutputOf.mark`."""
    return {(image.job, image.index): image.facts for image in images}


@attrs.frozen(kw_only=True)
class Evidence:
    """The facts of an error: of a submission without a response, or of a job that ended. It holds no secret."""

    type: str
    """The name of the error's class."""
    message: str
    evidence: str | None = None
    status: int | None = None
    """The HTTP status of the response; None if there was no response."""
    fault: str | None = None
    """The class name of the error that broke the exchange; None if the response was complete."""
    request_id: str | None = None
    prediction_id: str | None = None
    """An id read from a torn response; None if it held no id."""

    def to_unknown_error(self, key: str) -> UnknownSubmissionError:
        """Make the error of a submission that may have been accepted."""
        return UnknownSubmissionError(
            self.message,
            self.evidence,
            status=self.status,
            fault=self.fault,
            request_id=self.request_id,
            key=key,
            prediction_id=self.prediction_id,
        )


@attrs.frozen(kw_only=True)
class Estimate:
    """What one prediction costs by a price that was known when it was submitted. It is never a bill."""

    micros: int
    """In millionths of a dollar."""
    basis: str
    """Where the price came from: see `cometflux.account.prices.Basis`."""


@attrs.frozen(kw_only=True)
class Charge:
    """What the account says was charged for one prediction. 500,000 units of quota are one dollar."""

    prediction_id: str
    quota: int
    """The charge before the refund."""
    refunded: int = 0
    source: str = "log"
    """``log``, the account's log, or ``task``, its list of tasks."""
    at: float | None = None
    """The time of the account's last row about it, in seconds since 1970."""
    read: float | None = None
    """When the account was read, in seconds since 1970."""

    @property
    def net(self) -> int:
        """The charge after the refund."""
        return self.quota - self.refunded


NO_ANSWER = Evidence(
    type=UnknownSubmissionError.__name__,
    message="the process ended while it waited for the response to the submission",
    evidence="no response was recorded",
)
"""The evidence of a submission whose process ended before the response."""


@attrs.frozen(kw_only=True)
class Attempt:
    """An earlier attempt at the same job: it failed, or it is unknown whether the service accepted it.

    If the job was redone, the attempt may have ended in any way.
    """

    number: int
    began: float | None = None
    """When it was about to be sent, in seconds since 1970."""
    answered: float | None = None
    kind: OutcomeKind
    prediction_id: str | None = None
    prediction: Prediction | None = None
    """The service's last response about it, if it failed."""
    evidence: Evidence | None = None
    estimate: Estimate | None = None
    files: tuple[SavedFile, ...] = ()
    """The images that it has left on the disk."""
    plan: str = ""
    """The plan of the job at that time, as ``codec.dump_plan`` writes it; empty if the job still has it."""

    @property
    def is_paid(self) -> bool:
        """Whether it was, or may have been, paid for."""
        return self.kind not in (OutcomeKind.NOT_SENT, OutcomeKind.REJECTED)

    @property
    def is_unknown(self) -> bool:
        """Whether it may have been accepted, and its id is not known."""
        return self.kind is OutcomeKind.UNKNOWN and self.prediction_id is None


def evidence_of(error: CometfluxError | None) -> Evidence | None:
    """Return the facts of an error that the journal keeps; None if there is nothing to keep."""
    # The prediction itself holds its error.
    if error is None or isinstance(error, PredictionError):
        return None
    return Evidence(
        type=type(error).__name__,
        message=error.message,
        evidence=getattr(error, "evidence", None),
        status=getattr(error, "status", None),
        fault=getattr(error, "fault", None),
        request_id=getattr(error, "request_id", None),
        prediction_id=error.prediction_id,
    )
