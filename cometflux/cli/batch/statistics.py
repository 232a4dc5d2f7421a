"""The figures of a run: how long things took at the service, how soon that was noticed, how much came back."""

import json
import math
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cometflux.events import Accepted, Event, Polled, Retried, Saved, Throttled
from cometflux.outcomes import Outcome, OutcomeKind
from cometflux.predictions import Status
from cometflux.storage import atomic

REPORT_NAME = "report.json"


class RunStatistics:
    """Gathers what events and outcomes tell of the course of a run."""

    def __init__(self) -> None:
        self.began = datetime.now(UTC)
        self.kinds: Counter[OutcomeKind] = Counter()
        self.created = self.delivered = self.resumed = self.unsaved = 0
        self.pictures = self.bytes = 0
        self.polls = self.failed_polls = self.retries = self.throttles = 0
        self.times = array("d")
        """How long each prediction took at the service, by its own clock, in seconds."""
        self._accepted: dict[str, float] = {}
        """When each prediction that is not over was known to be accepted, by our clock."""
        self._noticed: dict[str, float] = {}
        """When each was known to be over."""
        self._lags = array("d")
        self._offsets = array("d")

    def watch(self, event: Event) -> None:
        """Take an event into account."""
        match event:
            case Polled(status=None):
                self.polls += 1
                self.failed_polls += 1
            case Polled(prediction_id=prediction_id, status=Status() as status):
                self.polls += 1
                if status.is_terminal:
                    self._noticed[prediction_id] = time.time()
            case Accepted(resumed=True):
                pass
            case Accepted(prediction_id=prediction_id):
                self.created += 1
                self._accepted[prediction_id] = time.time()
            case Saved(files=files, size=size):
                self.pictures += len(files)
                self.bytes += size
            case Retried(error=error):
                self.retries += 1
                self._accepted.pop(error.prediction_id or "", None)
                self._noticed.pop(error.prediction_id or "", None)
            case Throttled():
                self.throttles += 1

    def add(self, outcome: Outcome) -> None:
        """Take an outcome into account."""
        self.kinds[outcome.kind] += 1
        self.resumed += outcome.resumed
        self.delivered += outcome.ok
        self.unsaved += outcome.kind is OutcomeKind.SUCCEEDED and not outcome.ok
        prediction = outcome.prediction
        if prediction is None:
            return
        accepted, noticed = self._accepted.pop(prediction.id, None), self._noticed.pop(prediction.id, None)
        if accepted is None or not prediction.created_at or not prediction.completed_at:
            return
        created, completed = prediction.created_at.timestamp(), prediction.completed_at.timestamp()
        self.times.append(completed - created)
        if noticed is not None:
            self._offsets.append(accepted - created)
            self._lags.append(noticed - completed)

    def delays(self) -> list[float]:
        """Return how long after its end each prediction was known to be over, in seconds.

        The service's clock is not ours. How far they are apart shows in the quickest answer to a submission: what it
        took to come is all that is taken for a difference and is none.
        """
        offset = min(self._offsets, default=0.0)
        return [max(lag - offset, 0.0) for lag in self._lags]

    def summary(self) -> dict[str, Any]:
        """Return all figures, as in `report.json`. The keys stay; none will be renamed or left out."""
        ended = datetime.now(UTC)
        return {
            "began_at": self.began.isoformat(timespec="milliseconds"),
            "ended_at": ended.isoformat(timespec="milliseconds"),
            "elapsed": round((ended - self.began).total_seconds(), 3),
            "created": self.created,
            "delivered": self.delivered,
            "resumed": self.resumed,
            "unsaved": self.unsaved,
            "outcomes": {kind.value: self.kinds[kind] for kind in OutcomeKind},
            "pictures": self.pictures,
            "bytes": self.bytes,
            "retries": self.retries,
            "throttles": self.throttles,
            "polls": self.polls,
            "failed_polls": self.failed_polls,
            "time_at_service": spread(self.times),
            "detection_delay": spread(self.delays()),
        }


def spread(values: Sequence[float]) -> dict[str, float | int | None]:
    """Return how many values there are, and the ones that half and 95 % of them do not exceed; None without any."""
    ranked = sorted(values)

    def rank(share: float) -> float | None:
        return round(ranked[math.ceil(share * len(ranked)) - 1], 3) if ranked else None

    return {"count": len(ranked), "p50": rank(0.5), "p95": rank(0.95)}


def in_words(size: int) -> str:
    """Say how many bytes there are."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def write_report(folder: Path, values: dict[str, Any]) -> None:
    """Write `report.json` into *folder*: whole, or not at all.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    text = f"{json.dumps(values, ensure_ascii=False, indent=2)}\n"
    atomic.replace(folder / REPORT_NAME, text.encode("utf-8", "surrogateescape"))
