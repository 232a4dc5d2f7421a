"""Reports events to the caller's observer, and keeps its exceptions away from the work."""

import os
from collections.abc import Callable
from decimal import Decimal

from cometflux.basics.plain_text import log as _log
from cometflux.engine.tracked_job import TrackedJob
from cometflux.errors import CometfluxError
from cometflux.events import Accepted, Ended, Event, Observer, Polled, Retried, Saved, Submitted, Throttled
from cometflux.images.formats import Image
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Status


class Notifier:
    """An observer of the caller's, guarded. Without one, no event is made.

    Args:
        observer: the observer; None if nobody listens.
        on_exit: called if the observer raises SystemExit or KeyboardInterrupt.
    """

    def __init__(self, observer: Observer | None, on_exit: Callable[[BaseException], None] | None = None) -> None:
        self._observer = observer
        self._on_exit = on_exit
        self._has_raised = False
        self.is_on = observer is not None
        """Whether anybody listens."""

    def _report(self, event: Event) -> None:
        assert self._observer is not None
        process = os.getpid()
        try:
            self._observer(event)
        except BaseException as error:  # noqa: BLE001 - an observer may raise anything
            if os.getpid() == process:
                self._note(error)
        if os.getpid() != process:
            # The loop and its sockets are the parent's: to go on here, or to close them here, would disturb it.
            os.write(2, b"cometflux: a process that on_event forked ends here; the session is its parent's\n")
            os._exit(0)

    def _note(self, error: BaseException) -> None:
        if isinstance(error, SystemExit | KeyboardInterrupt) and self._on_exit is not None:
            self._on_exit(error)
        elif not self._has_raised:
            self._has_raised = True
            _log.error("on_event raised an exception; its further exceptions are not logged", exc_info=error)

    def submitted(self, tracked: TrackedJob) -> None:
        """Report that a job was handed over."""
        if self.is_on:
            tracked.attempts = []
            model = tracked.job.model
            self._report(Submitted(key=tracked.key, index=tracked.index, model=model, job_id=id(tracked)))

    def accepted(self, tracked: TrackedJob, prediction_id: str, cost: Decimal | None = None) -> None:
        """Report that the service has a job."""
        if self.is_on:
            self._report(
                Accepted(
                    key=tracked.key,
                    index=tracked.index,
                    prediction_id=prediction_id,
                    resumed=tracked.resumed,
                    attempts=tracked.take_attempts(),
                    estimated_cost=cost,
                    job_id=id(tracked),
                )
            )

    def retried(self, tracked: TrackedJob, error: CometfluxError) -> None:
        """Report that a job is submitted once more, because of *error*."""
        if self.is_on:
            self._report(Retried(key=tracked.key, index=tracked.index, error=error, job_id=id(tracked)))

    def polled(self, tracked: TrackedJob, status: Status | None, seconds: float) -> None:
        """Report a poll and how long it took; the *status* is None if it failed."""
        if self.is_on:
            assert tracked.prediction is not None
            self._report(
                Polled(
                    key=tracked.key,
                    prediction_id=tracked.prediction.id,
                    status=status,
                    error=tracked.last_error,
                    seconds=seconds,
                    job_id=id(tracked),
                )
            )

    def throttled(self, seconds: float | None) -> None:
        """Report a pause of all requests; None if it is not a new one."""
        if self.is_on and seconds is not None:
            self._report(Throttled(seconds=seconds))

    def saved(self, tracked: TrackedJob, files: tuple[Image, ...]) -> None:
        """Report the images that were saved, if there are any."""
        if self.is_on and files:
            assert tracked.prediction is not None
            self._report(
                Saved(
                    key=tracked.key,
                    prediction_id=tracked.prediction.id,
                    files=tuple(image.path for image in files),
                    size=sum(image.size for image in files),
                    job_id=id(tracked),
                )
            )

    def ended(
        self, tracked: TrackedJob, kind: OutcomeKind, error: CometfluxError | None, cost: Decimal | None = None
    ) -> None:
        """Report how a job ended."""
        if self.is_on:
            prediction = tracked.prediction
            self._report(
                Ended(
                    key=tracked.key,
                    index=tracked.index,
                    kind=kind,
                    prediction_id=tracked.prediction_id,
                    error=error,
                    resumed=tracked.resumed,
                    status=prediction.status if prediction else None,
                    images=len(prediction.output) if prediction else 0,
                    attempts=tracked.take_attempts(),
                    estimated_cost=cost,
                    job_id=id(tracked),
                )
            )
