"""What observers are told while a session works.

An observer is a plain callable, called on the event loop; it should return at once.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import attrs

from cometflux.errors import CometfluxError
from cometflux.locations import StoredFile
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Status


@attrs.frozen(kw_only=True)
class Attempt:
    """One submission or one download that was made for a job, and how long it took."""

    verb: Literal["submit", "download"]
    started: float
    """When it began, in seconds since 1970."""
    seconds: float
    """How long it took."""
    error: CometfluxError | None = None
    """Why it failed; None if it did not."""


@attrs.frozen(kw_only=True)
class Submitted:
    """A job was handed over; nothing is sent yet."""

    key: str
    index: int
    model: str = ""
    """``owner/name``."""
    job_id: int = 0
    """Identifies the job while it is under way; two batches may use the same key."""


@attrs.frozen(kw_only=True)
class Accepted:
    """The service took a job: it is billed from here on."""

    key: str
    index: int
    prediction_id: str
    resumed: bool = False
    """Whether an earlier run bought it, and it is only taken up again."""
    attempts: tuple[Attempt, ...] = ()
    """Every submission of the job up to this one, in order, since the previous `Accepted`."""
    job_id: int = 0
    """As in `Submitted`."""


@attrs.frozen(kw_only=True)
class Polled:
    """The service was asked after a prediction."""

    key: str
    prediction_id: str
    status: Status | None
    """What it said; None where the question failed."""
    error: CometfluxError | None = None
    """Why the question failed; a failed question changes nothing for the prediction."""
    seconds: float = 0.0
    """How long the poll took, including its retry."""
    job_id: int = 0
    """As in `Submitted`."""


@attrs.frozen(kw_only=True)
class Throttled:
    """The service asked to slow down, and every task of the session waits."""

    seconds: float
    """How long the pause is."""


@attrs.frozen(kw_only=True)
class Retried:
    """A submission is made once more: of what provably never left, or of what the caller allowed to be bought again."""

    key: str
    index: int
    error: CometfluxError
    """What became of the one before."""
    job_id: int = 0
    """As in `Submitted`."""


@attrs.frozen(kw_only=True)
class Saved:
    """The images of a prediction are saved, whole."""

    key: str
    prediction_id: str
    files: tuple[Path | StoredFile, ...]
    size: int = 0
    """How many bytes they have together."""
    job_id: int = 0
    """As in `Submitted`."""


@attrs.frozen(kw_only=True)
class Ended:
    """A job ended, in one of the named ways."""

    key: str
    index: int
    kind: OutcomeKind
    prediction_id: str | None
    error: CometfluxError | None
    resumed: bool = False
    """Whether an earlier run bought it."""
    status: Status | None = None
    """The last known status of the prediction; None if there is no prediction."""
    images: int = 0
    """How many images the prediction has, saved or not."""
    attempts: tuple[Attempt, ...] = ()
    """Every download of the job, and every submission that no `Accepted` has reported."""
    job_id: int = 0
    """As in `Submitted`."""


Event = Submitted | Accepted | Polled | Throttled | Retried | Saved | Ended
Observer = Callable[[Event], object]
