"""What became of an order."""

from pathlib import Path

import attrs

from cometflux.errors import CometfluxError, Money
from cometflux.journal.record import JobRecord
from cometflux.mcp.tool_arguments import GenerateRequest
from cometflux.outcomes import Outcome, OutcomeKind, kind_of_loss


@attrs.frozen(kw_only=True)
class Result:
    """What became of an order, so far."""

    order: GenerateRequest
    key: str
    """By what the journal knows it."""
    money: Money = Money.NOT_SENT
    """What happened to the money for this picture."""
    kind: OutcomeKind | None = None
    """How it ended; None while it has not."""
    error: CometfluxError | None = None
    """Why there is no picture, or why it is not saved; None where all is well, and while it is waited for."""
    prediction_id: str | None = None
    """None where no prediction is known."""
    files: tuple[Path, ...] = ()
    left: int = 0
    """How many predictions may still be bought."""

    def ended(self, outcome: Outcome) -> "Result":
        """Note how it ended."""
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
        """Note why it was not begun."""
        kind = kind_of_loss(error)
        return attrs.evolve(self, money=error.money, kind=kind, error=error, prediction_id=error.prediction_id)

    def waited(self, record: JobRecord | None) -> "Result":
        """Note how far it is, by what the journal says after the wait; whatever is not bought by then was given up."""
        if record is None or not record.bought:
            return self
        money = Money.UNKNOWN if record.prediction_id is None else Money.ACCEPTED
        return attrs.evolve(self, money=money, prediction_id=record.prediction_id)
