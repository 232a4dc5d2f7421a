"""The live lines: what is under way, how fast it goes, and how long it may take. Words only; the screen shows them."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from rich.text import Text

from cometflux.events import Accepted, Ended, Event, Polled, Retried, Saved, Throttled
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Status

_WIDE = 60
"""Columns from which on there is room for words."""
_RECENT = 64
"""How many ends tell how fast it goes now."""
_ENOUGH = 5
"""How many ends there must be before anything is said of the speed."""


class ProgressBar:
    """Counts a session's events, and says in two lines where it stands.

    Args:
        total: how many jobs there are.
        clock: tells the time in seconds.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._clock = clock
        self._began = clock()
        self._paused_until = self._began
        self._pending: set[str] = set()
        self._saving: set[str] = set()
        self._accepted = 0
        self._polls = 0
        self._throttles = 0
        self._succeeded = 0
        self._failed = 0
        self._unknown = 0
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def __call__(self, event: Event) -> None:
        """Take an event into account."""
        match event:
            case Polled(prediction_id=prediction_id, status=status):
                self._polls += 1
                if status is Status.SUCCEEDED and prediction_id in self._pending:
                    self._pending.remove(prediction_id)
                    self._saving.add(prediction_id)
            case Accepted(prediction_id=prediction_id):
                self._accepted += 1
                self._pending.add(prediction_id)
            case Ended():
                self._end(event)
            case Retried(error=error):
                # One that failed and is bought again is not what is waited for.
                self._pending.discard(error.prediction_id or "")
            case Throttled(seconds=seconds):
                self._throttles += 1
                self._paused_until = self._clock() + seconds
            case Saved():
                pass

    def _end(self, event: Ended) -> None:
        for under_way in (self._pending, self._saving):
            under_way.discard(event.prediction_id or "")
        is_well = event.kind is OutcomeKind.SUCCEEDED and event.error is None
        self._succeeded += is_well
        self._unknown += event.kind is OutcomeKind.UNKNOWN
        self._failed += not is_well and event.kind is not OutcomeKind.UNKNOWN
        # What an earlier run bought tells nothing of the speed.
        if not event.resumed:
            self._recent.append(self._clock())

    @property
    def ended(self) -> int:
        """How many jobs have come to their end."""
        return self._succeeded + self._failed + self._unknown

    def rate(self) -> float | None:
        """Return how many jobs end within a second, of late; None where too few have ended to know."""
        if len(self._recent) < _ENOUGH:
            return None
        seconds = self._clock() - self._recent[0]
        return (len(self._recent) - 1) / seconds if seconds >= 1 else None

    def lines(self, width: int) -> list[Text]:
        """Say where it stands, in lines of at most *width* columns."""
        return [self._bar_line(width), self._count_line(width)]

    def _bar_line(self, width: int) -> Text:
        count = f"{self.ended}/{self._total}"
        words = [count, _elapsed(self._clock() - self._began), *self._pace(is_wide=width >= _WIDE)]
        length = min(24, width - 1 - sum(len(word) + 2 for word in words))
        drawn = _drawn(self.ended / max(self._total, 1), length) if length >= 4 else Text()
        return _fitted([drawn, *(Text(word) for word in words)] if drawn else [*map(Text, words)], "  ", width)

    def _pace(self, *, is_wide: bool) -> list[str]:
        if self._clock() < self._paused_until:
            return ["slowed down by the service" if is_wide else "slowed down"]
        rate = self.rate()
        if rate is None:
            return []
        left = (self._total - self.ended) / rate
        if not left:
            return [f"{rate * 60:.0f}/min"]
        return [f"{rate * 60:.0f}/min", f"about {_left(left)} left" if is_wide else f"{_left(left)} left"]

    def _count_line(self, width: int) -> Text:
        # In the order in which they are given up where there is no room, the last one first.
        by_weight = [
            (0, self._unknown, Text(f"{self._unknown} unknown", "bold red")),
            (1, self._failed, Text(f"{self._failed} failed", "red")),
            (2, True, Text(f"{len(self._pending)} pending")),
            (4, True, Text(f"{self._succeeded} succeeded", "green")),
            (3, self._saving, Text(f"{len(self._saving)} saving")),
            (6, self._throttles, Text(f"{self._throttles} x 429", "yellow")),
            (5, self._polls, Text(f"{self._polls / max(self._accepted, 1):.1f} polls each")),
        ]
        told = [(place, text) for place, count, text in by_weight if count]
        while len(told) > 1 and sum(text.cell_len + 2 for _, text in told) - 2 > width - 1:
            told.pop()
        return _fitted([text for _, text in sorted(told, key=lambda each: _ORDER.index(each[0]))], ", ", width)


_ORDER = (2, 3, 4, 1, 0, 5, 6)
"""How the counts stand beside each other: as a job passes through them."""


def _fitted(parts: Sequence[Text], between: str, width: int) -> Text:
    line = Text(between).join(parts)
    line.no_wrap = True
    # The last column is left alone: some terminals break the line there.
    line.truncate(max(width - 1, 1), overflow="crop")
    return line


def _drawn(share: float, length: int) -> Text:
    full = min(length, int(share * length))
    return Text.assemble(("━" * full, "green"), ("─" * (length - full), "dim"))


def _elapsed(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _left(seconds: float) -> str:
    """Say how long it may take, no finer than it can be known."""
    if seconds < 60:
        return f"{math.ceil(seconds / 5) * 5} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
