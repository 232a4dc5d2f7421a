"""What the service says about a run: the prediction and its status."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs


class Status(StrEnum):
    """Where a prediction stands.

    The words are Replicate's; the gateway's own (``SUCCESS``, ``IN_PROGRESS`` and so on) are read as these.
    """

    STARTING = "starting"
    """Accepted; the model is being brought up."""
    PROCESSING = "processing"
    """Running. Output may be complete already; it is over only when the status says so."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    """Stopped after it had started, by the user or by a deadline."""
    ABORTED = "aborted"
    """Stopped before it had started; Replicate does not bill it."""
    UNRECOGNIZED = "unrecognized"
    """A word this version does not know: taken as not over."""

    @property
    def is_terminal(self) -> bool:
        """Whether the service will never change this status again."""
        return self in _TERMINAL


_TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.ABORTED})


@attrs.frozen(kw_only=True)
class Prediction:
    """One run of a model, as the service last described it.

    Only the id and the status are sure to be there: bodies differ by route, model and age.
    """

    id: str
    status: Status
    model: str | None = None
    """``owner/name``; None where the answer left it out."""
    version: str | None = None
    """The model version's hash, or ``hidden`` for official models; None where left out."""
    input: Mapping[str, Any] = attrs.field(factory=dict)
    """The input as the service echoes it, including keys that the model ignored; images in it stand as digests."""
    output: tuple[str, ...] = ()
    """URLs or data URIs of the images; may be fewer than asked for, and none until the run is over."""
    error: str | None = None
    """What went wrong; None unless the run failed."""
    logs: str | None = None
    """What the model printed; None where the answer left it out."""
    metrics: Mapping[str, Any] = attrs.field(factory=dict)
    """The service's measurements, such as ``predict_time`` in seconds."""
    data_removed: bool | None = None
    """Whether the service has deleted input, output and logs, which it does after about an hour."""
    created_at: datetime | None = None
    """When it was accepted, by the service's clock; None where left out."""
    started_at: datetime | None = None
    """When it began to run; None before that, or where left out."""
    completed_at: datetime | None = None
    """When it ended; None before that, or where left out."""
    extra: Mapping[str, Any] = attrs.field(factory=dict)
    """Every other field of the answer, unread. Its URLs name another host: never follow them with the key."""

    @property
    def is_expired(self) -> bool:
        """Whether it succeeded but its output is gone."""
        return self.status is Status.SUCCEEDED and not self.output
