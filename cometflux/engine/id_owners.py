"""Which job each prediction's id belongs to. An id belongs to one job; a cache or a confused gateway repeats it."""

from collections.abc import Container, Iterable, Mapping
from typing import Any

from cometflux.engine.tracked_job import TrackedJob
from cometflux.errors import UnknownSubmissionError
from cometflux.predictions import Prediction


class IdOwners:
    """The ids of a session, and of the earlier runs in its journal."""

    def __init__(self) -> None:
        self._owners: dict[str, TrackedJob] = {}
        self._spent: set[int] = set()
        """Hashes of the ids of jobs that are over: a number takes half the memory of an id."""

    def spend(self, ids: Iterable[str]) -> None:
        """Note ids of earlier runs."""
        self._spent.update(map(hash, ids))

    def claim(self, prediction: Prediction, tracked: TrackedJob, pending: Container[TrackedJob]) -> TrackedJob | None:
        """Take the id of a response as that of *tracked*; return the job that loses it, None if none does.

        If another job has the id, the first one keeps it, unless that is *pending* and the echoed input proves that the
        id is that of *tracked*.

        Raises:
            UnknownSubmissionError: the id is another job's; this one may have been accepted under an id of its own.
        """
        other = self._owners.get(prediction.id)
        if other is tracked:
            return None
        is_free = other is None and hash(prediction.id) not in self._spent
        if not is_free and (other is None or other not in pending or not _proves(prediction, tracked, other)):
            raise shared_id(prediction)
        self._owners[prediction.id] = tracked
        return other

    def take(self, prediction_id: str, tracked: TrackedJob) -> None:
        """Note that a prediction is that of *tracked*."""
        self._owners[prediction_id] = tracked

    def release(self, tracked: TrackedJob) -> None:
        """Note that *tracked* is over, or is submitted again. Its id stays its own, unless it was only followed."""
        found = tracked.prediction_id
        if found is not None and self._owners.get(found) is tracked:
            del self._owners[found]
            if not tracked.is_stranger:
                self._spent.add(hash(found))

    def owner(self, prediction_id: str) -> TrackedJob | None:
        """Return the job of the session that has this prediction and is not over; None if there is none."""
        return self._owners.get(prediction_id)

    def is_spent(self, prediction_id: str) -> bool:
        """Whether the prediction belongs to a job that is over, or to one of an earlier run."""
        return hash(prediction_id) in self._spent


def shared_id(prediction: Prediction) -> UnknownSubmissionError:
    """Return the error of a job whose id is another job's."""
    message = "the service answered with the id of another job's prediction"
    return UnknownSubmissionError(message, "the id of another job", prediction_id=prediction.id)


def _proves(prediction: Prediction, tracked: TrackedJob, other: TrackedJob) -> bool:
    """Whether the input that the service echoed is that of *tracked*, and is not that of the *other* job."""
    echo = prediction.input
    return _fits(echo, tracked.job.input) and not _fits(echo, other.job.input)


def _fits(echo: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    # Reference images are echoed in other forms.
    plain = {name: value for name, value in asked.items() if isinstance(value, str | int | float)}
    return bool(plain) and all(echo.get(name) == value for name, value in plain.items())
