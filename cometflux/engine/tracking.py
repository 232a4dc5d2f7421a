"""What is pending, how each job ended, and the accounting that always adds up."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cometflux.errors import (
    CometfluxError,
    InputError,
    UnknownSubmissionError,
)
from cometflux.events import Attempt
from cometflux.jobs import Job, position_key
from cometflux.journal.record import JobRecord
from cometflux.locations import StoredFile
from cometflux.outcomes import Outcome, OutcomeKind
from cometflux.predictions import Prediction


class TrackedJob:
    """One job on its way from submission to its outcome."""

    # Thousands may be pending.
    __slots__ = (
        *("admitted", "attempts", "deliver", "doubt", "failed", "failures", "fingerprint", "holds_slot"),
        *("identity", "index", "input_size", "is_given_up", "is_looked_up", "is_over", "is_written", "job"),
        *(
            "key",
            "over",
            "patience",
            "place",
            "prediction",
            "record",
            "resumed",
            "sending",
            "task",
            "trouble",
            "unreadable",
        ),
    )

    def __init__(
        self,
        job: Job,
        deliver: Callable[[Outcome], None],
        *,
        index: int,
        key: str,
        place: Any = None,
        patience: float | None = None,
        identity: str | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self.index = index
        self.key = key
        self.job = job
        self.deliver = deliver
        self.place = place
        """Where its images are to be saved; the registry never looks inside. None where they are not."""
        self.patience = patience
        """Seconds to ask after it altogether; None for the policy's."""
        self.task: Any = None
        """What carries the submission; the registry never looks inside. None before it, and once it is accepted."""
        self.holds_slot = False
        self.is_given_up = False
        """Whether the caller waits for it no longer; nothing more is bought for it."""
        self.input_size = 0
        """About how many bytes the input has, which each answer repeats."""
        self.sending = False
        """Whether a submission may have left that has not been answered."""
        self.doubt: UnknownSubmissionError | None = None
        """What is known of a submission of unknown fate, while somebody decides about it."""
        self.prediction: Prediction | None = None
        self.failed: Prediction | None = None
        """The prediction that failed before, where the job is bought again; None where it is not."""
        self.failures = 0
        """How many of its predictions have failed."""
        self.trouble: CometfluxError | None = None
        """Why the last question failed; None when it did not."""
        self.resumed = False
        """Whether it was bought by an earlier run."""
        self.is_over = False
        self.attempts: list[Attempt] | None = None
        """The submissions and downloads that no event has reported yet; None if no observer listens."""

        # What the journal knows; all of it stays empty where there is none.
        self.identity = identity
        self.fingerprint = fingerprint
        self.record: JobRecord | None = None
        self.is_written = False
        """Whether the journal has a row for it."""
        self.unreadable: InputError | None = None
        """Why a file of its input cannot be read; None where all can."""
        self.is_looked_up = False
        """Whether it is known what the journal has of it; a job that is not may be bought already."""
        self.admitted: Any = None
        """Set when it has its slot, or needs none; None where nobody waits for that."""
        self.over: Any = None
        """Set when the job has ended, for an identical one that waits."""

    @property
    def prediction_id(self) -> str | None:
        """The prediction's id; None before it is accepted."""
        return self.prediction.id if self.prediction else None

    def take_attempts(self) -> tuple[Attempt, ...]:
        """Return the attempts that no event has reported yet, and forget them."""
        attempts = tuple(self.attempts or ())
        if attempts:
            self.attempts = []
        return attempts


class JobTracker:
    """The jobs of a session: those on their way one by one, those that ended by number only."""

    def __init__(self) -> None:
        self._waiting: dict[TrackedJob, None] = {}
        self._pending: dict[TrackedJob, None] = {}
        self._saving: dict[TrackedJob, None] = {}
        self._ended: Counter[OutcomeKind] = Counter()
        self._count = 0

    def enter(
        self,
        job: Job,
        deliver: Callable[[Outcome], None],
        *,
        index: int | None = None,
        place: Any = None,
        patience: float | None = None,
        identity: str | None = None,
        fingerprint: str | None = None,
    ) -> TrackedJob:
        """Take a job in. Without an *index* of its batch it gets its place among all jobs of the session."""
        index = self._count if index is None else index
        key = position_key(index) if job.key is None else job.key
        entry = TrackedJob(
            job,
            deliver,
            index=index,
            key=key,
            place=place,
            patience=patience,
            identity=identity,
            fingerprint=fingerprint,
        )
        self._count += 1
        self._waiting[entry] = None
        return entry

    def accept(self, entry: TrackedJob, prediction: Prediction) -> None:
        """Note that the service took the job: from here on its id is known."""
        del self._waiting[entry]
        # What carried the submission is all but over, and need not be kept as long as the prediction runs.
        entry.task = None
        entry.prediction = prediction
        self._pending[entry] = None

    def again(self, entry: TrackedJob) -> None:
        """Note that the job is to be bought once more: its prediction failed for a passing reason."""
        del self._pending[entry]
        entry.failed, entry.prediction = entry.prediction, None
        entry.failures += 1
        self._waiting[entry] = None

    def conclude(self, entry: TrackedJob, prediction: Prediction) -> None:
        """Note that the prediction is over, and that its images are to be saved."""
        del self._pending[entry]
        entry.prediction = prediction
        self._saving[entry] = None

    def end(
        self,
        entry: TrackedJob,
        kind: OutcomeKind,
        error: CometfluxError | None = None,
        files: tuple[Path | StoredFile, ...] = (),
    ) -> Outcome:
        """Note how the job ended; the error learns the job's key and id."""
        assert not entry.is_over, "a job ends once"
        entry.is_over = True
        self._waiting.pop(entry, None)
        self._pending.pop(entry, None)
        self._saving.pop(entry, None)
        self._ended[kind] += 1
        if error is not None:
            error.key = error.key or entry.key
            error.prediction_id = error.prediction_id or entry.prediction_id
        return Outcome(
            index=entry.index,
            key=entry.key,
            job=entry.job,
            kind=kind,
            prediction=entry.prediction,
            error=error,
            files=files,
            resumed=entry.resumed,
        )

    @property
    def count_waiting(self) -> int:
        """How many jobs the service has not taken yet."""
        return len(self._waiting)

    @property
    def waiting(self) -> tuple[TrackedJob, ...]:
        """The jobs that the service has not taken yet."""
        return tuple(self._waiting)

    @property
    def pending(self) -> tuple[TrackedJob, ...]:
        """The jobs that the service took and that have not ended here."""
        return tuple(self._pending)

    @property
    def saving(self) -> tuple[TrackedJob, ...]:
        """The jobs whose predictions succeeded and whose images are not on disk yet."""
        return tuple(self._saving)

    @property
    def accounting(self) -> dict[str, int]:
        """How many jobs there are in all, waiting, pending, saving, and of each kind of end.

        The parts make up ``all``.
        """
        kinds = {kind.value: self._ended[kind] for kind in OutcomeKind}
        return {
            "all": self._count,
            "waiting": len(self._waiting),
            "pending": len(self._pending),
            "saving": len(self._saving),
            **kinds,
        }
