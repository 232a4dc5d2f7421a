"""The ends of predictions, for those who follow them by their ids."""

import asyncio

from cometflux.engine.tracked_job import TrackedJob
from cometflux.errors import CometfluxError
from cometflux.predictions import Prediction

End = Prediction | CometfluxError
"""How a prediction ended: as the service last reported it, or the reason why it has no image."""


class PredictionEnds:
    """One future for each prediction that somebody follows; without a follower nothing is kept."""

    def __init__(self) -> None:
        self._awaited: dict[TrackedJob, asyncio.Future[End]] = {}

    def of(self, tracked: TrackedJob) -> asyncio.Future[End]:
        """Return the end of a job's prediction. Many may wait for it, and none may cancel it."""
        end = self._awaited.get(tracked)
        if end is None:
            end = self._awaited[tracked] = asyncio.get_running_loop().create_future()
        return end

    def tell(self, tracked: TrackedJob, end: End | None) -> None:
        """Tell those who follow a job's prediction that it is over; *end* is None for a job without a prediction."""
        if self._awaited and end is not None and (awaited := self._awaited.pop(tracked, None)) is not None:
            awaited.set_result(end)
