"""The events that a session reports to its observer.

An observer is a plain callable. It is called on the event loop and should return at once.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Literal

import attrs

from cometflux.errors import CometfluxError
from cometflux.locations import StoredFile
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Status


@attrs.frozen(kw_only=True)
class Attempt:
    """One submission or one download of a job, and how long it took."""

    verb: Literal["submit", "download"]
    started: float
    """When it began, in seconds since 1970."""
    seconds: float
    """How many seconds it took."""
    error: CometfluxError | None = None
    """Why it failed; None if it did not."""


@attrs.frozen(kw_only=True)
class Submitted:
    """The session took a job; nothing is sent yet."""

    key: str
    index: int
    model: str = ""
    """``owner/name``."""
    job_id: int = 0
    """Identifies the job until it ends, because two batches may use the same key."""


@attrs.frozen(kw_only=True)
class Accepted:
    """The service accepted a job, so it is billed."""

    key: str
    index: int
    prediction_id: str
    resumed: bool = False
    """Whether an earlier run submitted it, and this run only resumes it."""
    attempts: tuple[Attempt, ...] = ()
    """Every submission of the job since the previous `Accepted`, in order."""
    estimated_cost: Decimal | None = None
    """The estimated cost of this prediction in dollars; None if the session has no price for its model."""
    job_id: int = 0
    """As in `Submitted`."""


@attrs.frozen(kw_only=True)
class Polled:
    """A prediction was polled."""

    key: str
    prediction_id: str
    status: Status | None
    """The status in the response; None if the poll failed."""
    error: CometfluxError | None = None
    """Why the poll failed. A failed poll does not change the prediction."""
    seconds: float = 0.0
    """How many seconds the poll took, including its retry."""
    job_id: int = 0
    """As in `Submitted`."""


@attrs.frozen(kw_only=True)
class Throttled:
    """The service limited the rate (429), so every task of the session waits."""

    seconds: float
    """The length of the pause, in seconds."""


@attrs.frozen(kw_only=True)
class Retried:
    """A job is submitted again, because its last attempt was not accepted or the caller allowed another charge."""

    key: str
    index: int
    error: CometfluxError
    """The error of the previous attempt."""
    job_id: int = 0
    """As in `Submitted`."""


@attrs.frozen(kw_only=True)
class Saved:
    """The images of a prediction are saved and complete, except those that `Ended` reports as missing."""

    key: str
    prediction_id: str
    files: tuple[Path | StoredFile, ...]
    size: int = 0
    """Their total size in bytes."""
    job_id: int = 0
    """As in `Submitted`."""


@attrs.frozen(kw_only=True)
class Ended:
    """A job ended."""

    key: str
    index: int
    kind: OutcomeKind
    prediction_id: str | None
    error: CometfluxError | None
    resumed: bool = False
    """Whether an earlier run submitted it."""
    status: Status | None = None
    """The last known status of the prediction; None if no id is known."""
    images: int = 0
    """How many images the prediction has, saved or not."""
    attempts: tuple[Attempt, ...] = ()
    """Every download of the job, and every submission that no `Accepted` event reported."""
    estimated_cost: Decimal | None = None
    """The estimated cost of the job in dollars, as in `Outcome`."""
    job_id: int = 0
    """As in `Submitted`."""


Event = Submitted | Accepted | Polled | Throttled | Retried | Saved | Ended
Observer = Callable[[Event], object]
