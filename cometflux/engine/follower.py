"""Waits for the ends of predictions that are known by their ids, whoever submitted them."""

import asyncio

from cometflux.basics.plain_text import log as _log
from cometflux.engine.latch import Latch
from cometflux.engine.poller import LAST_POLL, NOT_OVER, Poller
from cometflux.engine.prediction_ends import End
from cometflux.engine.runner import JobRunner
from cometflux.engine.runtime import Runtime
from cometflux.engine.tracked_job import TrackedJob
from cometflux.engine.tracking import JobTracker
from cometflux.errors import PatienceError, UnknownSubmissionError
from cometflux.outcomes import Outcome
from cometflux.predictions import Prediction


class Follower:
    """Takes in each id once, however many wait for it.

    Args:
        tracker: knows the ids, and the ends.
        runner: polls what is not polled yet.
        poller: says how long patience is.
        latch: says whether the session is closed.
        runtime: the clock.
    """

    def __init__(self, tracker: JobTracker, runner: JobRunner, poller: Poller, latch: Latch, runtime: Runtime) -> None:
        self._tracker = tracker
        self._runner = runner
        self._poller = poller
        self._latch = latch
        self._runtime = runtime

    async def follow(self, prediction_id: str, patience: float | None) -> Prediction:
        """Wait for the end of a prediction for *patience* seconds; None for the poll policy's.

        If this is cancelled, the session still follows the prediction.

        Raises:
            CometfluxError: see `Session.follow`.
        """
        ends = self._runtime.time_run() + (self._poller.patience if patience is None else patience)
        while True:
            tracked, is_new = await self._find(prediction_id, ends)
            end = self._tracker.end_of(tracked)
            try:
                # Who begins has the poll loop's own patience, which ends with a last poll.
                await (asyncio.wait([end]) if is_new else self._wait(end, ends + LAST_POLL, prediction_id))
            except asyncio.CancelledError as cancellation:
                cancellation.add_note(f"the session still follows prediction {prediction_id}")
                raise
            match end.result():
                case UnknownSubmissionError():
                    # The id turned out to be another job's, which is followed now.
                    continue
                case PatienceError() if not is_new and self._runtime.time_run() < ends:
                    # Another's patience is over, and this one's is not.
                    continue
                case Prediction() as prediction:
                    return prediction
                case error:
                    raise error

    async def _find(self, prediction_id: str, ends: float) -> tuple[TrackedJob, bool]:
        """Return the job with this prediction, and whether it was taken in here."""
        tracked = self._tracker.owner(prediction_id)
        if tracked is not None:
            return tracked, False
        known = await self._tracker.find(prediction_id)
        # Another caller may have begun meanwhile, or the session may be closed.
        if (tracked := self._tracker.owner(prediction_id)) is not None:
            return tracked, False
        if self._latch.is_closed:
            error = self._latch.detached
            error.prediction_id = prediction_id
            raise error
        patience = max(ends - self._runtime.time_run(), 0.0)
        tracked = self._tracker.follow(prediction_id, known, _report_end, patience)
        self._runner.follow(tracked)
        return tracked, True

    async def _wait(self, end: "asyncio.Future[End]", ends: float, prediction_id: str) -> None:
        """Wait until *end* is there.

        Raises:
            PatienceError: it was not there at the time *ends*, not counting the time in which the process stood still.
        """
        while not end.done():
            left = ends - self._runtime.time_run()
            if left <= 0:
                raise PatienceError(NOT_OVER, prediction_id=prediction_id)
            due = self._runtime.now() + left
            await asyncio.wait([end], timeout=left)
            self._runtime.standstill.note(due, self._runtime.now())


def _report_end(outcome: Outcome) -> None:
    # Those who wait get the end of the prediction; they may all have left.
    if outcome.prediction is not None:
        _log.info("prediction %s, which was followed, is over: %s", outcome.prediction.id, outcome.kind)
