"""A prediction of the local service. Its status is computed from the clock: no task runs in the background."""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

from cometflux.testing.artwork.frame import Frame

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_STATUSES = {
    "failed": "failed",
    "failed-transient": "failed",
    "error-only": "failed",
    "canceled": "canceled",
    "aborted": "aborted",
}
TERMINAL = frozenset({"succeeded", "failed", "canceled", "aborted"})
_DIGITS = (2, 3, 5, 6, 8, 9)


def make_id() -> str:
    """Return a random id in the service's format. It does not depend on the seed, so no two runs share an id."""
    return "".join(secrets.choice(_LETTERS) for _ in range(26))


def derive_seed(service_seed: int, number: int) -> int:
    """Return the seed of prediction *number* if its input has none. It is the same in every run of the service."""
    return int.from_bytes(hashlib.sha256(f"{service_seed}:{number}".encode()).digest()[:4])


@attrs.define(kw_only=True, eq=False)
class FakePrediction:
    """One accepted prediction."""

    id: str
    number: int
    """Its number in order of acceptance, from 1."""
    model: str
    input: Mapping[str, Any]
    seed: int
    frame: Frame
    wanted: int
    """The number of requested pictures."""
    has_list_output: bool
    """Whether its output is a list."""
    fault: str | None
    """The name of its fault on ``prediction``; None if it has none."""
    accepted_at: float
    """In seconds of the service's clock, as all times here."""
    created: datetime
    latency: float
    lifetime: float
    """How long its data are kept after its end, in seconds."""
    polls: int = 0
    """The number of polls so far."""
    canceled_at: float | None = None
    over: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when it is canceled, to wake a create request that waits for its end."""

    @property
    def started_at(self) -> float:
        """The time at which it starts to run, after a third of its latency."""
        return self.accepted_at + self.latency / 3

    @property
    def ends_at(self) -> float:
        """The time at which it ends."""
        if self.canceled_at is not None:
            return self.canceled_at
        return self.started_at if self.fault == "aborted" else self.accepted_at + self.latency

    def status(self, now: float) -> str:
        """Return its status, in the service's words."""
        if now < self.ends_at:
            return "starting" if now < self.started_at else "processing"
        if self.canceled_at is not None:
            return "canceled"
        if self.fault == "missing-image" and self.wanted == 1:
            return "failed"
        return _STATUSES.get(self.fault or "", "succeeded")

    def is_removed(self, now: float) -> bool:
        """Whether its data are deleted."""
        is_expired = self.fault == "expired" and self.status(now) == "succeeded"
        return is_expired or now >= self.ends_at + self.lifetime

    def images(self, now: float) -> list[int]:
        """Return the numbers of its finished pictures, from 0."""
        if self.status(now) != "succeeded" or self.is_removed(now):
            return []
        held_back = 1 if self.fault == "missing-image" else None
        return [each for each in range(self.wanted) if each != held_back]

    def done(self, now: float) -> float:
        """Return its progress, from 0 to 1."""
        length = self.accepted_at + self.latency - self.started_at
        return max(0.0, min(1.0, (min(now, self.ends_at) - self.started_at) / length)) if length else 1.0

    def stamp(self, moment: float) -> str:
        """Format a time as the service does, with a varying number of digits."""
        time = self.created + timedelta(seconds=moment - self.accepted_at)
        digits = _DIGITS[(self.number + int(moment * 1000)) % len(_DIGITS)]
        fraction = f"{time.microsecond:06d}{self.number % 1000:03d}"[:digits]
        return f"{time:%Y-%m-%dT%H:%M:%S}.{fraction}Z"

    def cancel(self, now: float) -> None:
        """Cancel it, unless it has ended."""
        if now < self.ends_at:
            self.canceled_at = now
            self.over.set()
