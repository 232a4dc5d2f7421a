"""One job on its way through a session. Its state is its record; the rest is what the running process needs."""

from collections.abc import Callable
from typing import Any

import attrs

from cometflux.errors import CometfluxError, InputError
from cometflux.events import Attempt
from cometflux.images.formats import Image
from cometflux.images.reference_files import with_fixed_paths
from cometflux.images.summaries import is_flat
from cometflux.jobs import Job
from cometflux.journal.live_record import LiveRecord
from cometflux.journal.record import JobRecord
from cometflux.journal.states import State
from cometflux.models.output_of import find_outputs
from cometflux.outcomes import Outcome, OutcomeKind
from cometflux.predictions import Prediction


@attrs.frozen(kw_only=True)
class SavedEnd:
    """How a job ended whose images are saved, and which is submitted again all the same."""

    record: JobRecord
    job: Job
    prediction: Prediction
    files: tuple[Image, ...]


class TrackedJob:
    """A job from the moment it is handed over until its outcome is delivered."""

    # Thousands may be pending.
    __slots__ = (
        *(
            "admitted",
            "attempts",
            "created_id",
            "deliver",
            "holds_slot",
            "index",
            "is_claimed",
            "is_flat",
            "is_followed",
            "is_given_up",
            "is_new",
            "number",
            "on_ready",
        ),
        *("is_over", "is_written", "job", "keeps_id", "key", "last_error", "over", "patience", "place", "prediction"),
        *("record", "redo", "resumed", "saved", "sources", "task", "unreadable"),
    )

    def __init__(
        self,
        job: Job,
        deliver: Callable[[Outcome], None],
        *,
        index: int,
        key: str,
        number: int,
        place: Any,
        patience: float | None,
    ) -> None:
        self.index = index
        self.number = number
        """Its place among all jobs of the session. It waits only for jobs before it, so that none wait in a circle."""
        self.key = key
        self.take(job)
        self.deliver = deliver
        self.place = place
        """The destination of its images, which is only handed on here; None to save none."""
        self.on_ready: Callable[[], None] | None = None
        """Called when it does not wait for other jobs any more; None if it does not wait, or nobody counts that."""
        self.patience = patience
        """Seconds to poll its prediction altogether; None for the policy's."""
        self.redo: frozenset[str] = frozenset()
        """The states and the keys of the jobs of its batch to make again although they are over."""
        self.record = LiveRecord(
            identity="", index=index, key=key, model=job.model, input=job.input, fingerprint="", tags=job.tags
        )
        """The one book of the job: every transition changes it."""
        self.prediction: Prediction | None = None
        """The service's last response about its prediction; None before there is an id."""
        self.created_id: str | None = None
        """The id in the whole response to this run's submission. Nothing can be saved for it by an earlier run."""

        self.task: Any = None
        """The task that submits it; None before that, and after it was accepted."""
        self.holds_slot = False
        self.admitted: Any = None
        """Set when it has its slot or needs none; None if nobody waits for that."""
        self.is_claimed = False
        """Whether it is known what the journal has of it. A job that is not claimed may be paid for already."""
        self.is_followed = False
        """Whether only its id was handed over: it is polled without a slot, and nothing is submitted for it."""
        self.is_written = False
        """Whether the journal has a record of it."""
        self.is_new = False
        """Whether its identity was made in this run, so that the journal cannot know it."""
        self.unreadable: InputError | None = None
        """Why a file of its input cannot be read; None if all can."""
        self.is_given_up = False
        """Whether its caller has left; then it is not submitted any more."""
        self.keeps_id = False
        """Whether its caller gets the id, so that no other prediction takes the place of one that failed."""
        self.is_over = False
        """Whether its outcome was delivered."""
        self.over: Any = None
        """Set when it is over, for an identical job that waits."""
        self.resumed = False
        """Whether an earlier run submitted it."""
        self.saved: SavedEnd | None = None
        """The end that counts if nothing comes of its next submission; None unless images are saved for it already."""
        self.last_error: CometfluxError | None = None
        """Why the last poll or the last try to submit failed; None if it did not."""
        self.attempts: list[Attempt] | None = None
        """The submissions and downloads that no event has reported yet; None if no observer listens."""

    def take(self, job: Job) -> None:
        """Take *job* in. Its input is looked at here, and not again at each step."""
        self.is_flat = is_flat(job.input)
        """Whether its input has only texts and numbers: no file, no image and no other job."""
        self.job = job if self.is_flat else with_fixed_paths(job)
        self.sources = () if self.is_flat else find_outputs(job.input)
        """The images of other jobs that it takes, each with the name of its parameter."""

    def keep_saved(self, files: tuple[Image, ...]) -> None:
        """Keep its end, with the saved *files*, in case nothing comes of its next submission."""
        assert self.prediction is not None
        self.saved = SavedEnd(record=self.record.snapshot(), job=self.job, prediction=self.prediction, files=files)

    def back_to_saved(self) -> tuple[Image, ...] | None:
        """Go back to the end that was kept, and return its images; None unless nothing was paid for since then."""
        saved = self.saved
        if saved is None or saved.record.bought != self.record.bought:
            return None
        self.saved, self.job, self.prediction = None, saved.job, saved.prediction
        self.record = LiveRecord.of(saved.record)
        # The journal may have the plan with the new seed.
        self.is_written = False
        return saved.files

    @property
    def paid_attempt(self) -> JobRecord | LiveRecord | None:
        """The record after its last attempt that is, or may be, paid for; None if there is none, or it is saved."""
        record = self.record
        # The images of one that succeeded are saved, and stay with it.
        has_failed = bool(record.earlier) and record.earlier[-1].kind is not OutcomeKind.SUCCEEDED
        if record.state is State.PLANNED and has_failed and (record.is_retry or record.reseeds):
            return record.snapshot().back_to_previous_attempt()
        is_paid = record.state is State.ENDED and record.kind in (OutcomeKind.FAILED, OutcomeKind.UNKNOWN)
        return record if is_paid else None

    @property
    def prediction_id(self) -> str | None:
        """The prediction's id; None before it is accepted."""
        return self.prediction.id if self.prediction else None

    @property
    def seen_job(self) -> Job:
        """The job; of a prediction that is known by its id only, as much as the service's last response shows."""
        if not self.is_stranger or self.prediction is None:
            return self.job
        return Job.of_prediction(self.prediction)

    @property
    def is_stranger(self) -> bool:
        """Whether nothing is known of it but what the service says of its prediction."""
        return self.is_followed and not self.record.identity

    @property
    def is_in_flight(self) -> bool:
        """Whether a submission may have left whose response is not here."""
        return self.record.state is State.INTENT

    @property
    def is_being_accepted(self) -> bool:
        """Whether the response to its submission is here; for a job that still waits, it is being written."""
        return self.prediction is not None and not self.resumed

    @property
    def is_unknown(self) -> bool:
        """Whether a submission may have been accepted, and somebody decides what to do about it."""
        return self.record.state is State.ENDED and self.record.kind is OutcomeKind.UNKNOWN

    def note_ready(self) -> None:
        """Note that it does not wait for other jobs any more."""
        on_ready, self.on_ready = self.on_ready, None
        if on_ready is not None:
            on_ready()

    def take_attempts(self) -> tuple[Attempt, ...]:
        """Return the attempts that no event has reported yet, and forget them."""
        attempts = tuple(self.attempts or ())
        if attempts:
            self.attempts = []
        return attempts
