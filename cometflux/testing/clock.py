"""The service's time: that of its event loop, unless it is frozen or moved on. Any thread may tell it so."""

import threading
from collections.abc import Callable

from cometflux.number_checks import is_number


class Clock:
    """A clock that runs, stands still, or is put forward; in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: Callable[[], float] = float
        self._ahead = 0.0
        self._frozen_at: float | None = None
        """What the source said when the clock was stopped; None while it runs."""

    def start(self, source: Callable[[], float]) -> None:
        """Run by *source* from now on; one that is frozen stays so."""
        with self._lock:
            self._source = source
            if self._frozen_at is not None:
                self._frozen_at = source()

    def now(self) -> float:
        """Return the time."""
        with self._lock:
            return (self._source() if self._frozen_at is None else self._frozen_at) + self._ahead

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still."""
        return self._frozen_at is not None

    def freeze(self) -> None:
        """Stand still."""
        with self._lock:
            if self._frozen_at is None:
                self._frozen_at = self._source()

    def thaw(self) -> None:
        """Go on from where it stands."""
        with self._lock:
            if self._frozen_at is not None:
                self._ahead -= self._source() - self._frozen_at
                self._frozen_at = None

    def advance(self, seconds: float) -> None:
        """Put it forward.

        Raises:
            ValueError: *seconds* is not a number from 0.
        """
        if not is_number(seconds, 0):
            raise ValueError(f"advance({seconds!r}): allowed is a number of seconds from 0")
        with self._lock:
            self._ahead += seconds
