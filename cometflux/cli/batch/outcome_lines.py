"""One outcome: values for programs, a sentence for people."""

from typing import Any

from cometflux.basics.plain_text import count_of
from cometflux.cli.terminal.screen import clip
from cometflux.errors import Money, PredictionError
from cometflux.journal.manifest import expected
from cometflux.outcomes import Outcome, OutcomeKind

KIND_WORDS = {kind: kind.value.replace("_", " ") for kind in OutcomeKind}
"""How each kind of outcome is called in text."""


def describe(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as values for JSON. The keys are stable: none will be renamed or removed."""
    error = outcome.error
    return {
        "index": outcome.index,
        "key": outcome.key,
        "kind": outcome.kind.value,
        "ok": outcome.ok,
        "model": outcome.job.model,
        "prompt": outcome.job.prompt,
        "prediction_id": outcome.prediction.id if outcome.prediction else None,
        "files": [str(path) for path in outcome.files],
        "expected": expected(outcome.job),
        "error": None if error is None else str(error),
        "money": Money.ACCEPTED.value if error is None else error.money.value,
        "resumed": outcome.resumed,
        # As text, because a JSON number may lose digits.
        "estimated_cost": None if outcome.estimated_cost is None else str(outcome.estimated_cost),
        "cost_basis": outcome.cost_basis,
        "tags": dict(outcome.job.tags),
    }


def text_line(outcome: Outcome) -> str:
    """Return one line on how a job ended."""
    kind = KIND_WORDS[outcome.kind] if outcome.ok or outcome.kind is not OutcomeKind.SUCCEEDED else "not saved"
    what = f": {clip(outcome.job.prompt or '', 60)}" if outcome.ok else f": {clip(reason_of(outcome), 200)}"
    earlier = " (an earlier run)" if outcome.resumed else ""
    return f"{clip(outcome.key, 20)} {kind}{earlier}{what}"


def reason_of(outcome: Outcome) -> str:
    """Return what is wrong with an outcome: its error, or the images that did not come back."""
    if outcome.ok:
        return f"{len(outcome.files)} of {count_of(expected(outcome.job) or 0, 'picture')} came back"
    error = outcome.error
    if isinstance(error, PredictionError) and error.prediction.error:
        return error.prediction.error
    return str(error)
