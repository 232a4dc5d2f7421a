"""The result of a request."""

from pathlib import Path

import attrs

from cometflux.errors import CometfluxError, Money
from cometflux.journal.record import JobRecord
from cometflux.mcp.tool_arguments import GenerateRequest
from cometflux.outcomes import Outcome, OutcomeKind, kind_of_loss


@attrs.frozen(kw_only=True)
class Result:
    """The result of a request so far."""

    request: GenerateRequest
    key: str
    """The job's key in the journal."""
    money: Money = Money.NOT_SENT
    """Whether the prediction was charged."""
    kind: OutcomeKind | None = None
    """How the job ended; None while it is pending."""
    error: CometfluxError | None = None
    """Why the picture was not made or not saved; None on success and while the job is pending."""
    prediction_id: str | None = None
    """None if no prediction is known."""
    files: tuple[Path, ...] = ()
    left: int = 0
    """How many more predictions the operator's limit allows."""

    def ended(self, outcome: Outcome) -> "Result":
        """Return the result with the job's outcome."""
        error = None if outcome.kind is OutcomeKind.SUCCEEDED else outcome.error
        return attrs.evolve(
            self,
            money=Money.ACCEPTED if error is None else error.money,
            kind=outcome.kind,
            error=outcome.error,
            prediction_id=outcome.prediction.id if outcome.prediction else None,
            files=tuple(file for file in outcome.files if isinstance(file, Path)),
        )

    def refused(self, error: CometfluxError) -> "Result":
        """Return the result with the reason why the job was not started."""
        kind = kind_of_loss(error)
        return attrs.evolve(self, money=error.money, kind=kind, error=error, prediction_id=error.prediction_id)

    def waited(self, record: JobRecord | None) -> "Result":
        """Return the pending result with the journal's state after the wait. A job that was not sent is dropped."""
        if record is None or not record.bought:
            return self
        money = Money.UNKNOWN if record.prediction_id is None else Money.ACCEPTED
        return attrs.evolve(self, money=money, prediction_id=record.prediction_id)
