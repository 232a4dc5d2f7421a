"""The queue of submissions that wait for the pacer: first come, first served."""

import asyncio
import math
from collections import deque
from collections.abc import Callable

from cometflux.pacing.limiter import Clock, Ending, Ticket
from cometflux.pacing.pacer import Pacer


class AdmissionQueue:
    """Lets requests through as the pacer says, in the order in which they came. It is a `Limiter`.

    Args:
        pacer: when the next request may leave.
        clock: the loop's clock.
        on_pause: called with the seconds of each new pause, and with None for a rejection that is part of an older one.
    """

    def __init__(self, pacer: Pacer, clock: Clock, on_pause: Callable[[float | None], None]) -> None:
        self._pacer = pacer
        self._clock = clock
        self._on_pause = on_pause
        self._line: deque[asyncio.Future[float]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self) -> Ticket:
        """Wait until a request may leave; it counts as in flight until `report` is called."""
        now = self._clock.now()
        if not self._line and self._pacer.opens(now) <= now:
            return Ticket(self._pacer.enter(now))
        place: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        self._let_through()
        try:
            return Ticket(await place)
        except asyncio.CancelledError:
            # Let through and cancelled at the same time: others wait for its place.
            if place.done() and not place.cancelled():
                self.report(Ticket(place.result()), "unused")
            raise

    def report(self, ticket: Ticket, ending: Ending, retry_after: float | None = None) -> None:
        """Give a ticket back, and let the next request leave if it may."""
        pause = self._pacer.report(ticket.sent, self._clock.now(), ending, retry_after)
        if ending == "refused":
            self._on_pause(pause)
        if self._line:
            self._let_through()

    def hold(self, seconds: float) -> None:
        """Let nothing leave for some seconds, polls included."""
        now = self._clock.now()
        self._pacer.hold_both(now + seconds, now)

    def _let_through(self) -> None:
        line = self._line
        while line:
            if line[0].cancelled():
                line.popleft()
                continue
            now = self._clock.now()
            opens = self._pacer.opens(now)
            if opens > now:
                self._look_again(opens)
                return
            sent = self._pacer.enter(now)
            line.popleft().set_result(sent)

    def _look_again(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if at == math.inf else self._clock.call_at(at, self._let_through)
