"""The interface of the rate limit that submissions keep. A session has its own; another engine may share one."""

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

Ending = Literal["accepted", "refused", "other", "unused"]
"""How a request ended: accepted, rejected for its rate, neither is known, or it never left."""


class Ticket(NamedTuple):
    """The permission for one request."""

    sent: float
    """The moment by which the limiter knows the request."""


class Clock(Protocol):
    """The clock of a loop, and its timers."""

    @property
    def now(self) -> Callable[[], float]:
        """Returns the time, in seconds."""

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call *callback* at a time of this clock."""


class Limiter(Protocol):
    """Says when the next request may leave. Every ticket is given back, once, with `report`."""

    async def acquire(self) -> Ticket:
        """Wait until a request may leave. It counts as in flight from now on."""

    def report(self, ticket: Ticket, ending: Ending, retry_after: float | None = None) -> None:
        """Give a ticket back. *retry_after* is the pause that a rejection names, in seconds; None if it names none."""

    def hold(self, seconds: float) -> None:
        """Let nothing leave for some seconds, because another request of the session was rejected for its rate."""
