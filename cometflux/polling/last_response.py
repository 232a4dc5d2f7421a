"""Decide from a response whether its prediction is over. Values in, values out; times are in seconds.

CometAPI documents when to stop polling: when ``output`` is populated or an error appears, whatever the status says
(https://apidoc.cometapi.com/api/image/replicate/replicate-query). Two kinds of response are polled again before they
count: one with fewer outputs than requested while the status says that the prediction runs, and a success without any
output.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import attrs

from cometflux.predictions import Prediction, Status

LONGEST_WAIT = 60.0
"""Longest wait for the rest of the outputs, in seconds."""
MORE_POLLS = 2
"""How often a success without output is polled again."""
_GAP = 1.0
"""Gap between the first two polls of an unsettled prediction, in seconds. The next ones double its age."""
_SHORTEST = 0.01
"""A shorter wait, in seconds, is not worth a poll."""
_RUNNING = (Status.STARTING, Status.PROCESSING)


class Unsettled(NamedTuple):
    """A prediction whose response may be the last: some outputs are there, or it succeeded without any."""

    since: float
    """When the first such response came."""
    empty: int = 0
    """How many responses in a row reported a success without output."""
    gap: float = _GAP
    """Seconds until the next poll."""


def runs(prediction: Prediction) -> bool:
    """Whether a response shows no end: neither a terminal status nor an output nor an error."""
    return not (prediction.status.is_terminal or prediction.output or prediction.error)


def is_settled(prediction: Prediction) -> bool:
    """Whether the status alone ends the prediction. A success also needs its output, or the word that it is removed."""
    if prediction.status is Status.SUCCEEDED:
        return bool(prediction.output or prediction.data_removed)
    return prediction.status.is_terminal


def read_end(
    prediction: Prediction, now: float, *, wanted: int = 1, usual: float = LONGEST_WAIT, before: Unsettled | None = None
) -> Prediction | Unsettled | None:
    """Return the end of a prediction, with a terminal status; None if it runs.

    Args:
        prediction: the response to a poll.
        now: the time.
        wanted: how many outputs were requested.
        usual: how long predictions of the model usually take.
        before: how unsettled it was after the previous response; None if it ran.
    """
    if is_settled(prediction):
        return prediction
    if runs(prediction):
        return None
    end = end_of(prediction)
    since = now if before is None else before.since
    if end.status is Status.SUCCEEDED and not is_settled(end):
        empty = 1 if before is None else before.empty + 1
        return Unsettled(since, empty) if empty <= MORE_POLLS else end
    is_partial = prediction.status in _RUNNING and len(prediction.output) < wanted and not prediction.error
    left = since + min(usual, LONGEST_WAIT) - now
    if is_partial and left >= _SHORTEST:
        return Unsettled(since, gap=min(max(now - since, _GAP), left))
    return end


def end_of(prediction: Prediction) -> Prediction:
    """Return a prediction that does not run with its terminal status: it is taken with the outputs that are there."""
    if is_settled(prediction) or not (prediction.output or prediction.error):
        return prediction
    return attrs.evolve(prediction, status=Status.SUCCEEDED if prediction.output else Status.FAILED)


def count_wanted(given: Mapping[str, Any]) -> int:
    """Return how many outputs an input requests."""
    number = given.get("num_outputs")
    return number if type(number) is int else 1
