"""Collect a run's figures: times at the service, delays until we noticed the end, and amounts."""

import json
import math
import re
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cometflux.account.prices import MICROS
from cometflux.events import Accepted, Event, Polled, Retried, Saved, Throttled
from cometflux.journal.costs import CostSum
from cometflux.outcomes import Outcome, OutcomeKind
from cometflux.predictions import Status
from cometflux.storage import atomic

REPORT_NAME = "report.json"


class RunStatistics:
    """Collects a run's figures from its events and outcomes."""

    def __init__(self) -> None:
        self.began = datetime.now(UTC)
        self.kinds: Counter[OutcomeKind] = Counter()
        self.created = self.delivered = self.resumed = self.unsaved = 0
        self.pictures = self.bytes = 0
        self.polls = self.failed_polls = self.retries = self.throttles = 0
        self.costs = CostSum()
        """What the jobs of the outcomes cost by estimate, earlier runs and unknown submissions included."""
        self.times = array("d")
        """How many seconds each prediction took at the service, by the service's clock."""
        self._accepted: dict[str, float] = {}
        """When we learned that a pending prediction was accepted, by our clock."""
        self._noticed: dict[str, float] = {}
        """When we learned that a prediction was over, by our clock."""
        self._lags = array("d")
        self._offsets = array("d")

    def watch(self, event: Event) -> None:
        """Count an event."""
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
        """Count an outcome."""
        self.kinds[outcome.kind] += 1
        self.resumed += outcome.resumed
        self.delivered += outcome.ok
        self.unsaved += outcome.kind is OutcomeKind.SUCCEEDED and not outcome.ok
        if outcome.estimated_cost:
            self.costs.add_estimates(outcome.cost_basis, int(outcome.estimated_cost * MICROS), 1)
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

    def add_finished(self, count: int) -> None:
        """Count jobs that earlier runs finished."""
        self.kinds[OutcomeKind.SUCCEEDED] += count
        self.resumed += count
        self.delivered += count

    def delays(self) -> list[float]:
        """Return how many seconds after each prediction's end we learned of it.

        The service's clock may differ from ours. The difference is estimated from the fastest response to a submission,
        so each delay comes out too short by the time which that response took.
        """
        offset = min(self._offsets, default=0.0)
        return [max(lag - offset, 0.0) for lag in self._lags]

    def summary(self) -> dict[str, Any]:
        """Return all figures, as in `report.json`. The keys are stable: none will be renamed or removed."""
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
    """Return the number of values, their median and their 95th percentile, both None without values."""
    ranked = sorted(values)

    def rank(share: float) -> float | None:
        return round(ranked[math.ceil(share * len(ranked)) - 1], 3) if ranked else None

    return {"count": len(ranked), "p50": rank(0.5), "p95": rank(0.95)}


def in_words(size: int) -> str:
    """Return a number of bytes with a fitting unit."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


_MARK = re.compile(rb'\{\s*"began_at": "')
"""How each report of this package begins."""


def write_report(folder: Path, values: dict[str, Any]) -> Path:
    """Write `report.json` into *folder*, in one step, and return its path.

    If a file of that name is there which this package did not write, the name is ``report.cometflux.json``.

    Raises:
        OSError: it cannot be written; a previous report is unchanged.
    """
    text = f"{json.dumps(values, ensure_ascii=False, indent=2, allow_nan=False)}\n"
    # A text of the service may have half a character, which JSON can escape and UTF-8 cannot write.
    path = atomic.free_name(folder / REPORT_NAME, _MARK)
    atomic.replace(path, text.encode("utf-8", "backslashreplace"))
    return path
