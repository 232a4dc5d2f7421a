"""The line of requests that wait for the pacer: first come, first served."""

import asyncio
import math
from collections import deque
from collections.abc import Callable

from cometflux.pacing.pacer import Pacer


class AdmissionQueue:
    """Lets requests through as the pacer says, in the order in which they came.

    Args:
        pacer: when the next one may leave.
        clock: the loop's clock, in seconds.
        call_at: calls a function at a time of that clock.
    """

    def __init__(
        self,
        pacer: Pacer,
        clock: Callable[[], float],
        call_at: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
    ) -> None:
        self._pacer = pacer
        self._clock = clock
        self._call_at = call_at
        self._line: deque[asyncio.Future[float]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self) -> float:
        """Wait until a request may leave; it counts as under way until `leave` is called.

        Returns:
            The moment by which the pacer knows it.
        """
        now = self._clock()
        if not self._line and self._pacer.opens(now) <= now:
            return self._pacer.enter(now)
        place: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        self._let_through()
        try:
            return await place
        except asyncio.CancelledError:
            # Let through and cancelled at the same time: others wait for its place.
            if place.done() and not place.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Note that a request is no longer under way."""
        self._pacer.leave()
        if self._line:
            self._let_through()

    def _let_through(self) -> None:
        line = self._line
        while line:
            if line[0].cancelled():
                line.popleft()
                continue
            now = self._clock()
            opens = self._pacer.opens(now)
            if opens > now:
                self._look_again(opens)
                return
            line.popleft().set_result(self._pacer.enter(now))

    def _look_again(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if at == math.inf else self._call_at(at, self._let_through)
