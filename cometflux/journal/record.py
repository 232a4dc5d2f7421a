"""The record of one job in the journal, and its transitions. Values in, values out.

The states of a record, and where a process can die::

    planned ── sending ──▶ intent ── accepted ──▶ accepted ── ended ──▶ ended
       ▲                     │                       │
       └──── withdrawn ──────┘ rejected, or not sent  └─ detached: polled again when the batch is run again

If a later process finds a record in ``intent``, it is unknown whether the service accepted that submission.
``redone`` leads from ``ended`` to ``planned``, because somebody asks for the job again; see ``docs/money.md``.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import attrs

from cometflux.errors import CometfluxError, Money, UnknownSubmissionError
from cometflux.jobs import NO_TAGS
from cometflux.journal.attempts import (
    NO_ANSWER,
    Attempt,
    Charge,
    Estimate,
    Evidence,
    SavedFile,
    TakenImage,
    evidence_of,
)
from cometflux.journal.states import DROPPED, SENDING, NextStep, State
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status


@attrs.frozen(kw_only=True)
class JobRecord:
    """The input of one job, and its state. A transition returns a new record."""

    identity: str
    """The name by which a later run finds this job; see `identify`."""
    index: int
    """Its place in the order of the batch that last drew it, from 0."""
    key: str
    model: str
    input: Mapping[str, Any]
    """The job's input, with files and bytes as ``notation.dump_plan`` writes them."""
    fingerprint: str
    """Digest of the job's model and input."""
    source: str = ""
    """The name of the prompt file that planned the job last; empty if there was none, or if an older version did."""
    name: str | None = None
    """The name of its files, relative and without an ending; None to name them by index and prompt."""
    tags: Mapping[str, str] = NO_TAGS
    """The tags of the job."""

    state: State = State.PLANNED
    kind: OutcomeKind | None = None
    """How it ended; with ``accepted`` it may be ``detached``; None while it has not."""
    attempt: int = 0
    """How many submissions have been begun."""
    began: float | None = None
    """When the last submission was about to be sent, in seconds since 1970."""
    answered: float | None = None
    """When its response arrived, in seconds since 1970."""
    body: str | None = None
    """SHA-256 of the body that was sent."""
    taken: tuple[TakenImage, ...] = ()
    """The saved images of other jobs that were sent with it last."""
    sent: str = ""
    """Digest of the model and the input with those images; empty if there are none."""
    input_size: int = 0
    """About how many bytes the input has, which each response repeats."""
    estimate: Estimate | None = None
    """What the last submission costs; None if no price was known."""
    prediction_id: str | None = None
    prediction: Prediction | None = None
    """The service's last response, without input and logs; None before the end."""
    evidence: Evidence | None = None
    files: tuple[SavedFile, ...] = ()
    """The images on the disk, in the order of the output."""
    is_whole: bool = False
    """Whether all its images are on the disk."""
    refused: int = 0
    """How many submissions were rejected for their rate."""
    unsent: int = 0
    """How many submissions provably never left."""
    earlier: tuple[Attempt, ...] = ()
    """The attempts before the last one."""
    redone: int = 0
    """How many of those were over when the job was last redone: the job never returns to them."""
    reseeds: int = 0
    """How often the job got another seed since it was last redone, because the service withheld its images."""
    is_abandoned: bool = False
    """Whether its unknown submission was given up by hand."""
    is_dropped: bool = False
    """Whether another plan replaced the one that had it."""
    charges: tuple[Charge, ...] = ()
    """The charges that the account's lists showed when they were read, one for each prediction of the job."""

    # ── the state ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def state_name(self) -> str:
        """The name of its state: one of `STATE_NAMES`, or ``sending``, or ``dropped``."""
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
        before = sum(each.is_paid for each in self.earlier) if self.earlier else 0
        return before + (not self._is_free)

    @property
    def _is_free(self) -> bool:
        """Whether nothing was paid for with the last attempt."""
        return self.state is State.PLANNED or self.kind in (OutcomeKind.NOT_SENT, OutcomeKind.REJECTED)

    @property
    def is_retry(self) -> bool:
        """Whether the last attempt is a retry: if it is not accepted, the attempt before it counts."""
        return len(self.earlier) > self.redone

    @property
    def estimates(self) -> tuple[Estimate | None, ...]:
        """What each of the predictions costs that `bought` counts; None for those without a price."""
        before = (each.estimate for each in self.earlier if each.is_paid)
        return (*before,) if self._is_free else (*before, self.estimate)

    def next_step(self, retry_failed: int = 0, reseed: int = 0) -> NextStep:
        """Return the next step of a later process.

        A failed job is submitted again up to *retry_failed* times, or with another seed up to *reseed* times.
        """
        match self.state:
            case State.PLANNED:
                return NextStep.SUBMIT
            case State.INTENT:
                return NextStep.DECIDE
            case State.ACCEPTED:
                return NextStep.POLL if self.prediction_id else NextStep.DECIDE
        match self.kind:
            case OutcomeKind.NOT_SENT | OutcomeKind.REJECTED:
                return NextStep.SUBMIT
            case OutcomeKind.UNKNOWN:
                return NextStep.REPORT if self.is_abandoned else NextStep.DECIDE
            case OutcomeKind.SUCCEEDED:
                return NextStep.SAVE
            case OutcomeKind.FAILED if self.may_retry_failed(retry_failed) or self.may_reseed(reseed):
                return NextStep.SUBMIT
        return NextStep.REPORT

    @property
    def failures(self) -> int:
        """How many earlier predictions of this job have failed since somebody last asked for it."""
        return sum(each.kind is OutcomeKind.FAILED for each in self.earlier[self.redone :])

    @property
    def unknown_count(self) -> int:
        """How many submissions of this job may have been accepted, or may not."""
        return sum(each.kind is OutcomeKind.UNKNOWN for each in self.earlier) + (self.kind is OutcomeKind.UNKNOWN)

    def may_retry_failed(self, retry_failed: int) -> bool:
        """Whether to submit the job again after its prediction failed for a transient reason."""
        is_transient = self.prediction is not None and self.prediction.failed_transiently
        return self.kind is OutcomeKind.FAILED and is_transient and self.failures < retry_failed

    def may_reseed(self, reseed: int) -> bool:
        """Whether to submit the job with another seed after the service withheld its images."""
        is_withheld = self.prediction is not None and self.prediction.was_withheld
        return self.kind is OutcomeKind.FAILED and is_withheld and self.reseeds < reseed

    @property
    def began_at(self) -> datetime | None:
        """The time of `began`; None if it is unknown, or no date can be written for it."""
        return moment(self.began)

    @property
    def answered_at(self) -> datetime | None:
        """The time of `answered`; None if it is unknown, or no date can be written for it."""
        return moment(self.answered)

    @property
    def last_prediction(self) -> Prediction:
        """The service's last response; if there is none, a prediction of which only the id is known."""
        assert self.prediction_id is not None
        return self.prediction or Prediction(id=self.prediction_id, status=Status.UNRECOGNIZED, model=self.model)

    @property
    def unknown_error(self) -> UnknownSubmissionError:
        """The error of a submission that may have been accepted."""
        return (self.evidence or NO_ANSWER).to_unknown_error(self.key)

    # ── the transitions ──────────────────────────────────────────────────────────────────────────────────────────────

    def _with(self, **changes: Any) -> Self:
        return attrs.evolve(self, **changes)

    def snapshot(self) -> "JobRecord":
        """Return the record as it is now, whatever follows."""
        return self

    def named(self, identity: str, fingerprint: str, input: Mapping[str, Any]) -> Self:  # noqa: A002 - the field
        """Note what makes the job the same in a later run, and its input as the journal keeps it."""
        return self._with(identity=identity, fingerprint=fingerprint, input=input)

    def with_files(self, name: str) -> Self:
        """Note the name of its files."""
        return self._with(name=name)

    def echoing(self, input_size: int) -> Self:
        """Note about how many bytes the input may have, for a job that is known by its prediction's id only."""
        return self._with(input_size=input_size)

    def sending(self, now: float, body: str, input_size: int, estimate: Estimate | None = None) -> Self:
        """Begin a submission. *now* is the wall clock, *body* the digest of what is sent."""
        ready = self.ready_for_retry()
        return ready._with(
            state=State.INTENT,
            attempt=ready.attempt + 1,
            began=now,
            body=body,
            input_size=input_size,
            estimate=estimate,
            is_dropped=False,
        )

    def taking(self, images: tuple[TakenImage, ...], sent: str) -> Self:
        """Note the saved images of other jobs that are sent with it now; written with the intent."""
        return self._with(taken=images, sent=sent)

    def suspected(self, error: CometfluxError) -> Self:
        """Note what is known so far of a submission that was not answered as it should be."""
        return self._with(evidence=evidence_of(error))

    def withdrawn(self, error: CometfluxError | None = None) -> Self:
        """Close the submission that was begun: it was rejected, or provably never left.

        If it was a retry, go back to the attempt before; the next process decides again.
        """
        is_refused = error is not None and error.money is Money.REJECTED
        closed = self._with(
            state=State.PLANNED,
            evidence=None,
            refused=self.refused + is_refused,
            unsent=self.unsent + (error is not None and not is_refused),
        )
        return closed.back_to_previous_attempt() if self.is_retry else closed

    def accepted(self, prediction: Prediction, now: float) -> Self:
        """Note the id."""
        return self._with(state=State.ACCEPTED, kind=None, answered=now, prediction_id=prediction.id, evidence=None)

    def ended(self, kind: OutcomeKind, prediction: Prediction | None, error: CometfluxError | None) -> Self:
        """Note how it ended. A detached prediction continues at the service, so it is not over."""
        if kind is OutcomeKind.DETACHED:
            known = self.prediction_id or (prediction.id if prediction else None)
            return self._with(
                state=State.ACCEPTED, kind=kind, prediction_id=known, evidence=error and evidence_of(error)
            )
        is_unknown = kind is OutcomeKind.UNKNOWN
        return self._with(
            state=State.ENDED,
            kind=kind,
            # If an id was there, it turned out to be another job's.
            prediction_id=None if is_unknown else self.prediction_id,
            prediction=None if is_unknown else prediction or self.prediction,
            evidence=error and evidence_of(error),
        )

    def saved(self, files: tuple[SavedFile, ...], error: CometfluxError | None) -> Self:
        """Note what is on the disk; whole unless there was an *error*."""
        return self._with(files=files, is_whole=error is None, evidence=error and evidence_of(error))

    def saved_by_caller(self, prediction: Prediction, files: tuple[SavedFile, ...]) -> Self:
        """Note that the caller saved the images of *prediction*; unchanged unless those are all images of the job."""
        match self.state:
            case State.ENDED if self.kind is OutcomeKind.SUCCEEDED:
                over = self
            case State.ACCEPTED if prediction.status is Status.SUCCEEDED:
                over = self.ended(OutcomeKind.SUCCEEDED, prediction, None)
            case _:
                return self
        is_whole = prediction.id == self.prediction_id and len(files) >= len(over.last_prediction.output)
        return over.saved(files, None) if is_whole else self

    def back_to_previous_attempt(self) -> Self:
        """Go back to the attempt before, which failed or may have been accepted."""
        last = self.earlier[-1]
        return self._with(
            state=State.ENDED,
            kind=last.kind,
            began=last.began,
            answered=last.answered,
            prediction_id=last.prediction_id,
            prediction=last.prediction,
            evidence=last.evidence,
            estimate=last.estimate,
            earlier=self.earlier[:-1],
        )

    def adopted(self, prediction_id: str) -> Self:
        """Note by hand that an unknown submission was accepted, and under which id."""
        return self._with(
            state=State.ACCEPTED, kind=None, prediction_id=prediction_id, evidence=None, is_abandoned=False
        )

    def settled(self, prediction_ids: Sequence[str]) -> Self:
        """Note the ids of unknown submissions, which the account has shown. The last id is that of the last submission.

        Any of them has the job's input, so it does not matter which of the submissions made it.
        """
        ids = list(prediction_ids)
        last = None if self.prediction_id else ids.pop()
        earlier = tuple(
            attrs.evolve(each, prediction_id=ids.pop()) if ids and each.is_unknown and not each.plan else each
            for each in self.earlier
        )
        known = self._with(earlier=earlier)
        return known if last is None else known.adopted(last)

    def charged(self, charges: Iterable[Charge]) -> Self:
        """Note what the account says was charged, in place of what it said before about the same predictions.

        What its log said stays if now only its list of tasks can be read, which has no refunds.
        """
        ordered = sorted((*self.charges, *charges), key=lambda each: each.source == "log")
        known = {each.prediction_id: each for each in ordered}
        return self._with(charges=tuple(known.values()))

    @property
    def prediction_ids(self) -> tuple[str, ...]:
        """The ids of all predictions of the job that are known, in the order of their submissions."""
        ids = (*(each.prediction_id for each in self.earlier), self.prediction_id)
        return tuple(each for each in ids if each is not None)

    def abandoned(self) -> Self:
        """Note by hand that an unknown submission is neither looked for nor repeated."""
        return self._with(
            state=State.ENDED, kind=OutcomeKind.UNKNOWN, evidence=evidence_of(self.unknown_error), is_abandoned=True
        )

    def dropped(self) -> Self:
        """Note that another plan replaced the one that had it; for a job for which nothing was sent."""
        return self._with(state=State.PLANNED, kind=None, evidence=None, is_dropped=True)

    def reset(self) -> Self:
        """Plan the job as if nothing had ever been sent for it."""
        return type(self)(
            identity=self.identity,
            index=self.index,
            key=self.key,
            model=self.model,
            input=self.input,
            fingerprint=self.fingerprint,
            name=self.name,
            tags=self.tags,
        )

    def ready_for_retry(self) -> Self:
        """Plan the job again; keep a purchase, if there is one, among the earlier attempts."""
        if self.state is State.PLANNED and self.kind is None and not self.is_dropped:
            return self
        if self._is_free:
            return self._with(state=State.PLANNED, kind=None, evidence=None)
        return self._after(self._as_attempt(self.kind or OutcomeKind.UNKNOWN))

    def redo(self, plan: str = "") -> Self:
        """Plan the job again because somebody asks for it. Every attempt stays, even one that nothing was paid for.

        *plan* is the job's plan if another replaces it now, as ``codec.dump_plan`` writes it. A job that is planned and
        keeps its plan is unchanged.
        """
        if self.state is State.PLANNED:
            if not plan:
                return self
            kind = OutcomeKind.NOT_SENT
        else:
            kind = self.kind or OutcomeKind.UNKNOWN
        return self._after(self._as_attempt(kind, plan), redone=len(self.earlier) + 1, reseeds=0, taken=(), sent="")

    def reseeded(self, plan: str, input: Mapping[str, Any], fingerprint: str) -> Self:  # noqa: A002 - the field
        """Plan a failed job again with *input*, which has another seed; *plan* is the plan before, as for `redo`."""
        reseeds = self.reseeds + 1
        return self.redo(plan)._with(input=input, fingerprint=fingerprint, reseeds=reseeds)

    def _as_attempt(self, kind: OutcomeKind, plan: str = "") -> Attempt:
        return Attempt(
            number=self.attempt,
            began=self.began,
            answered=self.answered,
            kind=kind,
            prediction_id=self.prediction_id,
            prediction=self.prediction,
            evidence=self.evidence,
            files=self.files,
            plan=plan,
            estimate=self.estimate,
        )

    def _after(self, spent: Attempt, **changes: Any) -> Self:
        """Plan the job again after the attempt *spent*."""
        return self._with(
            state=State.PLANNED,
            kind=None,
            began=None,
            answered=None,
            body=None,
            estimate=None,
            prediction_id=None,
            prediction=None,
            evidence=None,
            files=(),
            is_whole=False,
            is_abandoned=False,
            earlier=(*self.earlier, spent),
            **changes,
        )


def identify(key: str | None, fingerprint: str, occurrence: int) -> str:
    """Name a job so that a later run knows it again: by the caller's key, else by its fingerprint.

    *occurrence* distinguishes jobs of one batch with the same fingerprint: it is 1 for the first one drawn.
    """
    return f"job:{fingerprint}:{occurrence}" if key is None else f"key:{key}"


_LAST = 253_370_764_800
"""The beginning of the year 9999 in seconds since 1970. Later times leave the calendar in some time zones."""


def moment(seconds: float | None) -> datetime | None:
    """Return a time in seconds since 1970 as a date; None if it is unknown, or no date can be written for it."""
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None and 0 <= seconds < _LAST else None
