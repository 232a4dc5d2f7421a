"""Write the progress lines: counts, speed and remaining time. The screen shows them."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal

from rich.text import Text

from cometflux.basics.plain_text import count_of, plain
from cometflux.errors import ConnectError
from cometflux.events import Accepted, Ended, Event, Polled, Retried, Saved, Throttled
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Status

_WIDE = 60
"""The width in columns from which the longer texts fit."""
_RECENT = 64
"""The speed is measured over this many ended jobs."""
_ENOUGH = 5
"""The speed is shown only after this many jobs have ended."""


class ProgressBar:
    """Counts a session's events, and describes the progress in two lines.

    Args:
        total: how many jobs there are.
        clock: returns the time in seconds.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._clock = clock
        self._began = clock()
        self._paused_until = self._began
        self._is_cut_off = False
        """Whether the last request found no connection."""
        self._pending: set[str] = set()
        self._saving: set[str] = set()
        self._accepted = 0
        self._polls = 0
        self._throttles = 0
        self._succeeded = 0
        self._failed = 0
        self._unknown = 0
        self._cost = Decimal(0)
        """What the accepted predictions cost by estimate, in dollars."""
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def __call__(self, event: Event) -> None:
        """Count an event."""
        match event:
            case Polled(prediction_id=prediction_id, status=status, error=error):
                self._polls += 1
                self._is_cut_off = isinstance(error, ConnectError)
                if status is Status.SUCCEEDED and prediction_id in self._pending:
                    self._pending.remove(prediction_id)
                    self._saving.add(prediction_id)
            case Accepted(prediction_id=prediction_id, resumed=resumed, estimated_cost=cost):
                self._accepted += 1
                self._is_cut_off = False
                self._pending.add(prediction_id)
                self._cost += 0 if resumed or cost is None else cost
            case Ended():
                self._end(event)
            case Retried(error=error):
                # The failed prediction is over; its retry is a new prediction.
                self._pending.discard(error.prediction_id or "")
                self._is_cut_off = isinstance(error, ConnectError)
            case Throttled(seconds=seconds):
                self._throttles += 1
                self._paused_until = self._clock() + seconds
            case Saved():
                pass

    def add_finished(self, count: int) -> None:
        """Count jobs that earlier runs finished."""
        self._succeeded += count

    def _end(self, event: Ended) -> None:
        for under_way in (self._pending, self._saving):
            under_way.discard(event.prediction_id or "")
        is_well = event.kind is OutcomeKind.SUCCEEDED and event.error is None
        self._succeeded += is_well
        self._unknown += event.kind is OutcomeKind.UNKNOWN
        self._failed += not is_well and event.kind is not OutcomeKind.UNKNOWN
        # Jobs from an earlier run say nothing about the current speed.
        if not event.resumed:
            self._recent.append(self._clock())

    @property
    def ended(self) -> int:
        """How many jobs have ended."""
        return self._succeeded + self._failed + self._unknown

    def rate(self) -> float | None:
        """Return the recent number of jobs per second; None if too few have ended."""
        if len(self._recent) < _ENOUGH:
            return None
        seconds = self._clock() - self._recent[0]
        return (len(self._recent) - 1) / seconds if seconds >= 1 else None

    def lines(self, width: int) -> list[Text]:
        """Return the progress in lines of at most *width* columns."""
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
        if self._is_cut_off:
            return ["no connection to the service" if is_wide else "no connection"]
        rate = self.rate()
        if rate is None:
            return []
        left = (self._total - self.ended) / rate
        if not left:
            return [f"{rate * 60:.0f}/min"]
        return [f"{rate * 60:.0f}/min", f"about {_left(left)} left" if is_wide else f"{_left(left)} left"]

    def _count_line(self, width: int) -> Text:
        # Sorted by importance: if the line is too long, the last ones are left out first.
        by_weight = [
            (0, self._unknown, Text(f"{self._unknown} unknown", "bold red")),
            (1, self._failed, Text(f"{self._failed} failed", "red")),
            (2, True, Text(f"{len(self._pending)} pending")),
            (4, True, Text(f"{self._succeeded} succeeded", "green")),
            (7, self._cost, Text(f"${self._cost:f} by estimate")),
            (3, self._saving, Text(f"{len(self._saving)} saving")),
            (6, self._throttles, Text(f"{self._throttles} x 429", "yellow")),
            (5, self._polls, Text(f"{self._polls / max(self._accepted, 1):.1f} polls each")),
        ]
        parts = [(place, text) for place, count, text in by_weight if count]
        while len(parts) > 1 and sum(text.cell_len + 2 for _, text in parts) - 2 > width - 1:
            parts.pop()
        return _fitted([text for _, text in sorted(parts, key=lambda each: _ORDER.index(each[0]))], ", ", width)


class WaitBar:
    """Says that the command waits for *name*, in one line; in none during the first second.

    *clock* returns the time in seconds.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._began = clock()

    def lines(self, width: int) -> list[Text]:
        """Return the line, of at most *width* columns."""
        return [] if self._clock() - self._began < 1 else [_fitted(self._words(), "  ", width)]

    def _words(self) -> list[Text]:
        return [Text(f"waiting for {self._name}")]


class CheckBar(WaitBar):
    """Says how far the prompt file *name* is checked."""

    _rows = 0
    _share: float | None = None

    def show(self, rows: int, share: float | None) -> None:
        """Note how many rows, and which share of the file, are checked; None if the share is not known."""
        self._rows, self._share = rows, share

    def _words(self) -> list[Text]:
        words = [Text(f"checking {plain(self._name)}"), Text(count_of(self._rows, "row"))]
        return words if self._share is None else [_drawn(min(self._share, 1.0), 24), *words]


_ORDER = (2, 3, 4, 1, 0, 7, 5, 6)
"""The order of the counts on the line: as a job passes through the states."""


def _fitted(parts: Sequence[Text], between: str, width: int) -> Text:
    line = Text(between).join(parts)
    line.no_wrap = True
    # Leave the last column empty, because some terminals wrap the line there.
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
    """Return the remaining time, rounded up to 5 seconds or a minute."""
    if seconds < 60:
        return f"{math.ceil(seconds / 5) * 5} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
