"""One prediction as the service knows it. Where it stands follows from the clock: nothing runs in the background."""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

from cometflux.testing.artwork.frame import Frame, count_outputs

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_STATUSES = {
    "failed": "failed",
    "failed-transient": "failed",
    "canceled": "canceled",
    "aborted": "aborted",
}
TERMINAL = frozenset({"succeeded", "failed", "canceled", "aborted"})
_DIGITS = (2, 3, 5, 6, 8, 9)


def make_id() -> str:
    """Return an id that looks like the service's. It is never the same twice, whatever the seed."""
    return "".join(secrets.choice(_LETTERS) for _ in range(26))


def derive_seed(service_seed: int, number: int) -> int:
    """Return the seed of the *number*-th prediction that came without one; the same in every run of the service."""
    return int.from_bytes(hashlib.sha256(f"{service_seed}:{number}".encode()).digest()[:4])


@attrs.define(kw_only=True, eq=False)
class FakePrediction:
    """One accepted prediction."""

    id: str
    number: int
    """How many were accepted up to this one."""
    model: str
    input: Mapping[str, Any]
    seed: int
    frame: Frame
    fault: str | None
    """How it misbehaves: the name of a fault on ``prediction``, or None."""
    accepted_at: float
    """By the clock of the service's event loop, as all times here."""
    created: datetime
    latency: float
    lifetime: float
    """How long after its end its data are kept, in seconds."""
    polls: int = 0
    """How often its status was asked for."""
    canceled_at: float | None = None
    over: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when it is canceled, for whoever waits for its end."""

    @property
    def started_at(self) -> float:
        """When it begins to run: the first third is spent starting."""
        return self.accepted_at + self.latency / 3

    @property
    def ends_at(self) -> float:
        """When it is over."""
        if self.canceled_at is not None:
            return self.canceled_at
        return self.started_at if self.fault == "aborted" else self.accepted_at + self.latency

    @property
    def wanted(self) -> int:
        """How many pictures were asked for."""
        return count_outputs(self.model, self.input)

    def status(self, now: float) -> str:
        """Say where it stands, in the service's words."""
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
        """Return the numbers of the pictures it has made."""
        if self.status(now) != "succeeded" or self.is_removed(now):
            return []
        held_back = 1 if self.fault == "missing-image" else None
        return [each for each in range(self.wanted) if each != held_back]

    def done(self, now: float) -> float:
        """Return how much of the work is done, from 0 to 1."""
        length = self.accepted_at + self.latency - self.started_at
        return max(0.0, min(1.0, (min(now, self.ends_at) - self.started_at) / length)) if length else 1.0

    def stamp(self, moment: float) -> str:
        """Write a moment as the service does, with as many digits as it pleases."""
        time = self.created + timedelta(seconds=moment - self.accepted_at)
        digits = _DIGITS[(self.number + int(moment * 1000)) % len(_DIGITS)]
        fraction = f"{time.microsecond:06d}{self.number % 1000:03d}"[:digits]
        return f"{time:%Y-%m-%dT%H:%M:%S}.{fraction}Z"

    def cancel(self, now: float) -> None:
        """Stop it, unless it is over."""
        if now < self.ends_at:
            self.canceled_at = now
            self.over.set()
