"""One job of a caller's: wait for its prediction, or only for the id. The job is the session's, not the caller's."""

import asyncio

from cometflux.basics.plain_text import log as _log
from cometflux.engine.runner import JobRunner
from cometflux.engine.tracked_job import TrackedJob
from cometflux.engine.tracking import JobTracker
from cometflux.jobs import Job
from cometflux.outcomes import Outcome
from cometflux.storage.destination import Destination


async def run(
    tracker: JobTracker, runner: JobRunner, job: Job, patience: float | None, place: Destination | None
) -> Outcome:
    """Submit *job* and wait for its end, and for its images if they go to a *place*; see `Session.run`."""
    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def deliver(outcome: Outcome) -> None:
        if not ended.done():
            ended.set_result(outcome)
        elif outcome.prediction is not None:
            # The caller has left, and nobody else gets this outcome.
            _log.warning("prediction %s, whose caller has left, is over: %s", outcome.prediction.id, outcome.kind)

    tracked = tracker.enter(job, deliver, patience=patience, place=place)
    runner.launch(tracked)
    try:
        return await ended
    except asyncio.CancelledError as cancellation:
        _leave(runner, tracked, cancellation)
        raise


async def submit(tracker: JobTracker, runner: JobRunner, job: Job) -> str:
    """Submit *job* and return the id of its prediction; see `Session.submit`."""
    outcomes: list[Outcome] = []

    def deliver(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if outcome.prediction is not None:
            # Whoever follows it gets its end, but maybe nobody does.
            _log.info("prediction %s, which was submitted, is over: %s", outcome.prediction.id, outcome.kind)

    tracked = tracker.enter(job, deliver)
    tracked.keeps_id = True
    runner.launch(tracked)
    try:
        # The task ends when the response is durable.
        while (task := tracked.task) is not None and not task.done():
            await asyncio.wait([task])
    except asyncio.CancelledError as cancellation:
        _leave(runner, tracked, cancellation)
        raise
    if tracked.prediction_id is None:
        (outcome,) = outcomes
        assert outcome.error is not None
        raise outcome.error
    return tracked.prediction_id


def _leave(runner: JobRunner, tracked: TrackedJob, cancellation: asyncio.CancelledError) -> None:
    runner.give_up(tracked)
    if tracked.prediction_id is not None:
        cancellation.add_note(f"prediction {tracked.prediction_id} is paid for, and the session follows it")
    elif tracked.is_in_flight:
        cancellation.add_note("the submission is in flight; its prediction will be in session.pending")
