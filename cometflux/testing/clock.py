"""The service's clock. It follows the event loop's clock until it is frozen or advanced, from any thread."""

import threading
from collections.abc import Callable

from cometflux.number_checks import is_number


class Clock:
    """A clock, in seconds, that can be frozen and advanced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: Callable[[], float] = float
        self._ahead = 0.0
        self._frozen_at: float | None = None
        """The source's time when the clock was frozen; None while it runs."""

    def start(self, source: Callable[[], float]) -> None:
        """Follow *source* from now on. A frozen clock stays frozen."""
        with self._lock:
            self._source = source
            if self._frozen_at is not None:
                self._frozen_at = source()

    def now(self) -> float:
        """Return the time, in seconds."""
        with self._lock:
            return (self._source() if self._frozen_at is None else self._frozen_at) + self._ahead

    @property
    def is_frozen(self) -> bool:
        """Whether the clock is frozen."""
        return self._frozen_at is not None

    def freeze(self) -> None:
        """Stop the clock."""
        with self._lock:
            if self._frozen_at is None:
                self._frozen_at = self._source()

    def thaw(self) -> None:
        """Let the clock continue from its frozen time."""
        with self._lock:
            if self._frozen_at is not None:
                self._ahead -= self._source() - self._frozen_at
                self._frozen_at = None

    def advance(self, seconds: float) -> None:
        """Advance the clock.

        Raises:
            ValueError: *seconds* is not a finite number from 0.
        """
        if not is_number(seconds, 0):
            raise ValueError(f"advance({seconds!r}): must be a number of seconds from 0")
        with self._lock:
            self._ahead += seconds
