"""What observers are told while a session works.

An observer is a plain callable, called on the event loop; it should return at once.
"""

from collections.abc import Callable
from pathlib import Path

import attrs

from cometflux.errors import CometfluxError
from cometflux.jobs import Kind
from cometflux.locations import StoredFile
from cometflux.predictions import Status
from cometflux.values import Value


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Submitted(Value):
    """A job was handed over; nothing is sent yet."""

    key: str
    index: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Accepted(Value):
    """The service took a job: it is billed from here on."""

    key: str
    index: int
    prediction_id: str
    resumed: bool = False
    """Whether an earlier run bought it, and it is only taken up again."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Polled(Value):
    """The service was asked after a prediction."""

    key: str
    prediction_id: str
    status: Status | None
    """What it said; None where the question failed."""
    error: CometfluxError | None = None
    """Why the question failed; a failed question changes nothing for the prediction."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Throttled(Value):
    """The service asked to slow down, and every task of the session waits."""

    seconds: float
    """How long the pause is."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Retried(Value):
    """A submission is made once more: of what provably never left, or of what the caller allowed to be bought again."""

    key: str
    index: int
    error: CometfluxError
    """What became of the one before."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Saved(Value):
    """The images of a prediction are saved, whole."""

    key: str
    prediction_id: str
    files: tuple[Path | StoredFile, ...]
    size: int = 0
    """How many bytes they have together."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Ended(Value):
    """A job ended, in one of the named ways."""

    key: str
    index: int
    kind: Kind
    prediction_id: str | None
    error: CometfluxError | None
    resumed: bool = False
    """Whether an earlier run bought it."""


Event = Submitted | Accepted | Polled | Throttled | Retried | Saved | Ended
Observer = Callable[[Event], object]
