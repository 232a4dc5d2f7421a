"""What the journal knows of one job, and how each step of its way changes that. Values in, values out.

The way of a record, and what stands in it when the process dies there::

    planned ── sending ──▶ intent ── accepted ──▶ accepted ── ended ──▶ ended
       ▲                     │                       │
       └──── withdrawn ──────┘ refused, or not sent  └─ detached: asked after again when the batch is run again

A record that is found in ``intent`` by a later process is one of unknown fate.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self

import attrs

from cometflux.errors import CometfluxError, Money, PredictionError, PredictionFailedError, UnknownSubmissionError
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status


class State(StrEnum):
    """How far a job has come."""

    PLANNED = "planned"
    """Nothing may have left that is not answered."""
    INTENT = "intent"
    """A submission is about to leave, or has left and is not answered."""
    ACCEPTED = "accepted"
    """The prediction's id is known; it is not over."""
    ENDED = "ended"
    """It is over, in the way that ``kind`` names."""


class NextStep(StrEnum):
    """What a job needs when a later process, or a later batch, comes to it."""

    SUBMIT = "submit"
    """It has not been bought, or is to be bought again."""
    DECIDE = "decide"
    """Its submission is of unknown fate: what to do is for the caller to say."""
    ASK = "ask"
    """It is bought and not known to be over."""
    SAVE = "save"
    """It succeeded; its images may be missing."""
    TELL = "tell"
    """It is over; nothing is left to do but to say so."""


STATE_NAMES = (
    *("saved", "unsaved", "failed", "canceled", "expired", "detached"),
    *("not_sent", "rejected", "unknown", "pending", "waiting"),
)
"""Where a planned job can stand; every job stands in one of these places."""
SENDING = "sending"
"""A twelfth, while a process works: for everybody else it is ``unknown``."""
DROPPED = "dropped"
"""No longer in the prompt file, and nothing was sent for it: it is not planned any more."""


@attrs.frozen(kw_only=True)
class SavedFile:
    """An image on the disk, as the journal knows it."""

    name: str
    """Its file name, without the folder."""
    size: int
    """In bytes."""
    digest: str
    """SHA-256, in hexadecimal digits."""


@attrs.frozen(kw_only=True)
class Evidence:
    """What is known of a submission that was not answered, or of why a job ended; it holds no secret."""

    type: str
    """The name of the error's class."""
    message: str
    evidence: str | None = None
    status: int | None = None
    """The HTTP status of the answer; None where there was none."""
    fault: str | None = None
    """What broke the exchange; None where an answer came whole."""
    request_id: str | None = None
    prediction_id: str | None = None
    """An id that a torn answer showed; None where it showed none."""


@attrs.frozen(kw_only=True)
class Attempt:
    """An earlier purchase of the same job: one that failed, or whose fate stayed unknown."""

    number: int
    began: float | None = None
    """When it was about to leave, in seconds since 1970."""
    answered: float | None = None
    kind: OutcomeKind
    prediction_id: str | None = None
    prediction: Prediction | None = None
    """What the service last said of one that failed."""
    evidence: Evidence | None = None


# Without slots, so that `_with` can copy all fields at once.
@attrs.frozen(kw_only=True, slots=False)
class JobRecord:
    """One job as it stands on the disk."""

    identity: str
    """What makes this job the same in a later run: see `identify`."""
    index: int
    """Its place in the order of the batch that last drew it, from 0."""
    key: str
    model: str
    input: Mapping[str, Any]
    """The job's input, with files and bytes as ``notation.dump_plan`` writes them."""
    fingerprint: str
    """What the job asks for, as a digest."""

    state: State = State.PLANNED
    kind: OutcomeKind | None = None
    """How it ended; with ``accepted`` it may be ``detached``; None while it has not."""
    attempt: int = 0
    """How many submissions have been begun."""
    began: float | None = None
    """When the last submission was about to leave, in seconds since 1970."""
    answered: float | None = None
    """When its answer was here, in seconds since 1970."""
    body: str | None = None
    """SHA-256 of the body that was sent."""
    input_size: int = 0
    """About how many bytes the input has, which each answer repeats."""
    prediction_id: str | None = None
    prediction: Prediction | None = None
    """What the service last said, without input and logs; None before the end."""
    evidence: Evidence | None = None
    files: tuple[SavedFile, ...] = ()
    """The images on the disk, in the order of the output."""
    is_whole: bool = False
    """Whether all its images are on the disk."""
    refused: int = 0
    """How many submissions were refused for their speed."""
    unsent: int = 0
    """How many submissions provably never left."""
    earlier: tuple[Attempt, ...] = ()
    """The purchases before the last one."""
    is_abandoned: bool = False
    """Whether its unknown submission was given up by hand."""
    is_dropped: bool = False
    """Whether the prompt file no longer holds it."""

    # ── where it stands ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def standing(self) -> str:
        """One of `STATE_NAMES`, or `SENDING`."""
        match self.state:
            case State.PLANNED:
                return DROPPED if self.is_dropped else "waiting"
            case State.INTENT:
                return SENDING
            case State.ACCEPTED:
                return "detached" if self.kind else "pending"
        assert self.kind is not None
        if self.is_abandoned:
            return OutcomeKind.CANCELED.value
        if self.kind is OutcomeKind.SUCCEEDED:
            return "saved" if self.is_whole else "unsaved"
        return self.kind.value

    @property
    def bought(self) -> int:
        """How many predictions were, or may have been, paid for with this job."""
        is_free = self.state is State.PLANNED or self.kind in (OutcomeKind.NOT_SENT, OutcomeKind.REJECTED)
        return len(self.earlier) + (not is_free)

    def step(self, retry_failed: int = 0) -> NextStep:
        """Tell what is to be done with this job when it is come to again."""
        match self.state:
            case State.PLANNED:
                return NextStep.SUBMIT
            case State.INTENT:
                return NextStep.DECIDE
            case State.ACCEPTED:
                return NextStep.ASK if self.prediction_id else NextStep.DECIDE
        match self.kind:
            case OutcomeKind.NOT_SENT | OutcomeKind.REJECTED:
                return NextStep.SUBMIT
            case OutcomeKind.UNKNOWN:
                return NextStep.TELL if self.is_abandoned else NextStep.DECIDE
            case OutcomeKind.SUCCEEDED:
                return NextStep.SAVE
            case OutcomeKind.FAILED if self.may_buy_again(retry_failed):
                return NextStep.SUBMIT
        return NextStep.TELL

    @property
    def failures(self) -> int:
        """How many earlier predictions of this job have failed."""
        return sum(each.kind is OutcomeKind.FAILED for each in self.earlier)

    @property
    def doubts(self) -> int:
        """How many submissions of this job are of unknown fate."""
        return sum(each.kind is OutcomeKind.UNKNOWN for each in self.earlier) + (self.kind is OutcomeKind.UNKNOWN)

    def may_buy_again(self, retry_failed: int) -> bool:
        """Whether a prediction that failed for a passing reason is to be bought once more."""
        is_passing = self.prediction is not None and PredictionFailedError(self.prediction).is_transient
        return self.kind is OutcomeKind.FAILED and is_passing and self.failures < retry_failed

    # ── how it goes on ───────────────────────────────────────────────────────────────────────────────────────────────

    def _with(self, **changes: Any) -> Self:
        """Copy it with *changes*, as `attrs.evolve` does, which takes four times as long: every step makes a copy."""
        changed = object.__new__(type(self))
        changed.__dict__.update({**self.__dict__, **changes})
        return changed

    def sending(self, now: float, body: str, input_size: int) -> Self:
        """Begin a submission. *now* is the wall clock, *body* the digest of what is sent."""
        again = self.again()
        return again._with(
            state=State.INTENT,
            attempt=again.attempt + 1,
            began=now,
            body=body,
            input_size=input_size,
            is_dropped=False,
        )

    def suspected(self, error: CometfluxError) -> Self:
        """Note what is known so far of a submission that was not answered as it should be."""
        return self._with(evidence=evidence_of(error))

    def withdrawn(self, error: CometfluxError | None = None) -> Self:
        """Close the submission that was begun: it was refused, or provably never left.

        Where it was to buy the job once more, the purchase before stands again; whoever comes next decides anew.
        """
        is_refused = error is not None and error.money is Money.REJECTED
        closed = self._with(
            state=State.PLANNED,
            evidence=None,
            refused=self.refused + is_refused,
            unsent=self.unsent + (error is not None and not is_refused),
        )
        return closed.fallen_back() if self.earlier else closed

    def accepted(self, prediction: Prediction, now: float) -> Self:
        """Note the id."""
        return self._with(state=State.ACCEPTED, kind=None, answered=now, prediction_id=prediction.id, evidence=None)

    def ended(self, kind: OutcomeKind, prediction: Prediction | None, error: CometfluxError | None) -> Self:
        """Note how it ended. A detached prediction goes on at the service, so it is not over."""
        if kind is OutcomeKind.DETACHED:
            known = self.prediction_id or (prediction.id if prediction else None)
            return self._with(state=State.ACCEPTED, kind=kind, prediction_id=known, evidence=evidence_of(error))
        return self._with(
            state=State.ENDED, kind=kind, prediction=prediction or self.prediction, evidence=evidence_of(error)
        )

    def saved(self, files: tuple[SavedFile, ...], error: CometfluxError | None) -> Self:
        """Note what is on the disk; whole unless there was an *error*."""
        return self._with(files=files, is_whole=error is None, evidence=evidence_of(error))

    def fallen_back(self) -> Self:
        """Return to the purchase before, which failed or is of unknown fate."""
        last = self.earlier[-1]
        return self._with(
            state=State.ENDED,
            kind=last.kind,
            began=last.began,
            answered=last.answered,
            prediction_id=last.prediction_id,
            prediction=last.prediction,
            evidence=last.evidence,
            earlier=self.earlier[:-1],
        )

    def adopted(self, prediction_id: str) -> Self:
        """Note by hand that an unknown submission was accepted, and under which id."""
        return self._with(
            state=State.ACCEPTED, kind=None, prediction_id=prediction_id, evidence=None, is_abandoned=False
        )

    def abandoned(self) -> Self:
        """Note by hand that an unknown submission is neither looked for nor repeated."""
        return self._with(
            state=State.ENDED, kind=OutcomeKind.UNKNOWN, evidence=evidence_of(self.doubt), is_abandoned=True
        )

    def dropped(self) -> Self:
        """Note that the prompt file holds it no longer; for a job for which nothing was sent."""
        return self._with(state=State.PLANNED, kind=None, evidence=None, is_dropped=True)

    def renewed(self) -> Self:
        """Begin from nothing, as if it had never been sent."""
        return type(self)(
            identity=self.identity,
            index=self.index,
            key=self.key,
            model=self.model,
            input=self.input,
            fingerprint=self.fingerprint,
        )

    def again(self) -> Self:
        """Put a purchase behind us, so that the job can be bought once more."""
        if self.state is State.PLANNED and self.kind is None and not self.is_dropped:
            return self
        if not self.bought - len(self.earlier):
            return self._with(state=State.PLANNED, kind=None, evidence=None)
        spent = Attempt(
            number=self.attempt,
            began=self.began,
            answered=self.answered,
            kind=self.kind or OutcomeKind.UNKNOWN,
            prediction_id=self.prediction_id,
            prediction=self.prediction,
            evidence=self.evidence,
        )
        return self._with(
            state=State.PLANNED,
            kind=None,
            began=None,
            answered=None,
            body=None,
            prediction_id=None,
            prediction=None,
            evidence=None,
            files=(),
            is_whole=False,
            is_abandoned=False,
            earlier=(*self.earlier, spent),
        )

    # ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def last_word(self) -> Prediction:
        """What the service last said; without that, that there is a prediction of this id."""
        assert self.prediction_id is not None
        return self.prediction or Prediction(id=self.prediction_id, status=Status.UNRECOGNIZED, model=self.model)

    @property
    def doubt(self) -> UnknownSubmissionError:
        """What is known of a submission of unknown fate, as an error."""
        known = self.evidence
        if known is None:
            message = "the process ended while the answer to the submission was awaited"
            return UnknownSubmissionError(message, "no answer was recorded", key=self.key)
        return UnknownSubmissionError(
            known.message,
            known.evidence,
            status=known.status,
            fault=known.fault,
            request_id=known.request_id,
            key=self.key,
            prediction_id=known.prediction_id,
        )


def identify(key: str | None, fingerprint: str, occurrence: int) -> str:
    """Name a job so that a later run knows it again: by the caller's key, else by what it asks for.

    *occurrence* tells jobs apart that ask for the same in one batch: it is 1 for the first of them that is drawn.
    """
    return f"job:{fingerprint}:{occurrence}" if key is None else f"key:{key}"


def evidence_of(error: CometfluxError | None) -> Evidence | None:
    """Keep of an error what may be written down."""
    # What the service said of a prediction stands in the prediction.
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
