"""A prediction and its status, as the service reports them."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs


class Status(StrEnum):
    """The status of a prediction, in Replicate's words.

    The gateway's words (``SUCCESS``, ``IN_PROGRESS`` and so on) are translated to these.
    """

    STARTING = "starting"
    """Accepted; the model is starting up."""
    PROCESSING = "processing"
    """Running. If the output is complete nevertheless, the prediction is over."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    """Stopped after it started, by the user or by a deadline."""
    ABORTED = "aborted"
    """Stopped before it started; Replicate does not bill it."""
    UNRECOGNIZED = "unrecognized"
    """A word that this version does not know, or none. It counts as not over, unless there is an output or an error."""

    @property
    def is_terminal(self) -> bool:
        """Whether the service will never change this status again."""
        return self in _TERMINAL


_TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.ABORTED})


@attrs.frozen(kw_only=True)
class Prediction:
    """One run of a model, as the service last reported it.

    Only the id and the status are always set, because responses differ by route, model and age.
    """

    id: str
    status: Status
    model: str | None = None
    """``owner/name``; None if the response left it out."""
    version: str | None = None
    """The model version's hash, or ``hidden`` for official models; None if the response left it out."""
    input: Mapping[str, Any] = attrs.field(factory=dict)
    """The input as the service echoes it, including keys that the model ignored. Images are replaced by digests."""
    output: tuple[str, ...] = ()
    """URLs or data URIs of the images. May be fewer than requested, and empty until the run is over."""
    error: str | None = None
    """The service's error message; None unless the run failed."""
    logs: str | None = None
    """The model's log; None if the response left it out."""
    metrics: Mapping[str, Any] = attrs.field(factory=dict)
    """The service's measurements, such as ``predict_time`` in seconds."""
    data_removed: bool | None = None
    """Whether the service has deleted the input, output and logs. It does so after about an hour."""
    created_at: datetime | None = None
    """When it was accepted, by the service's clock; None if the response left it out."""
    started_at: datetime | None = None
    """When it began to run; None before that, or if the response left it out."""
    completed_at: datetime | None = None
    """When it ended; None before that, or if the response left it out."""
    extra: Mapping[str, Any] = attrs.field(factory=dict)
    """Every other field of the response, as it came. Its URLs name another host: never send the key there."""

    @property
    def is_expired(self) -> bool:
        """Whether it succeeded, and the service has removed its output."""
        return self.status is Status.SUCCEEDED and not self.output and self.data_removed is True

    @property
    def failed_transiently(self) -> bool:
        """Whether the service's words say that another run may succeed; False for moderation and unknown reasons."""
        words = (self.error or "").lower()
        return any(phrase in words for phrase in _TRANSIENT)

    @property
    def was_withheld(self) -> bool:
        """Whether the service's words say that a check of its content withheld the images; another seed may pass it."""
        words = (self.error or "").lower()
        return any(phrase in words for phrase in _WITHHELD)


_WITHHELD = ("flagged as sensitive", "nsfw content")
# Texts seen in public reports of Replicate's runs; the codes after them vary.
_TRANSIENT = (
    "prediction interrupted; please retry",
    "director: unexpected error",
    "service is temporarily unavailable",
    "please try again later",
)
