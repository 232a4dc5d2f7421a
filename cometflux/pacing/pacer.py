"""How fast to send: one brake for every task of a session. Time is a parameter."""

import math

from cometflux.pacing.adaptive_rate import AdaptiveRate
from cometflux.pacing.limiter import Ending
from cometflux.protocol.rate_headers import LONGEST_PAUSE

FIRST_PAUSE = 0.03
"""Seconds to pause for a first rejection that names no time above a second; it doubles with each rejected probe."""
LONGEST_OWN_PAUSE = 30.0
"""The longest pause that we choose ourselves, in seconds."""
FIRST_WINDOW = 10
"""So many requests may be under way at first, and after each pause."""
_SECOND = 1.0
"""Services that name a second mean some part of it; what they name above that is kept."""
_GROWTH = 5.0
"""A success widens the window by so much for each second that its response took, and by one at most."""
_IN_A_ROW = 3
"""So many rejections in a row stop all."""
_LONE = 32
"""A rejection among so many accepted requests was not for their speed."""
_PATIENCE = 1.0
"""Seconds after which twice as many may be in flight if none got a response and none was rejected."""
_LEARNED = 0.05
"""A success adds so much to the number of requests that are let through at once; a stop halves it."""
_LATE = 0.02
"""A request that leaves so many seconds later than it might does not delay the next ones."""
_SLOWEST, _FASTEST = 1e-6, 1e9


class Pacer:
    """When the next request may leave: a window, a pause for all, and a rate that is learned or known.

    Until the service rejects a request, only the window holds requests back: 10 in flight at first, and more with each
    success. So the first burst that meets an unknown limit is small.

    The first rejection stops all, and later three in a row do. When every request in flight is answered, one probe
    leaves, and another one after a pause if it is rejected. Once a probe is accepted, requests leave one by one, at the
    rate that `AdaptiveRate` has learned. A longer pause is made up for with several at once, as far as the limiter was
    seen to let them through.

    A known limit holds from the start, over any sliding 60-second window. In time, a 120th of it may leave at once, to
    make up for late requests; the rest is spaced evenly.

    Args:
        most: how many requests may be in flight.
        per_minute: how many may leave within a minute; None if that is not known.
    """

    def __init__(self, most: int, per_minute: float | None = None) -> None:
        self.mate: Pacer | None = None
        """The pacer of the session's other requests, which pauses when this one must; None if there is none."""
        self._most = most
        self._window = float(min(FIRST_WINDOW, most))
        self._grows = 0.0
        self._under_way = 0
        limit = self._most_late = math.inf
        if per_minute is not None:
            per_minute = float(min(max(per_minute, _SLOWEST), _FASTEST))
            at_once = per_minute // 120
            limit = (per_minute - at_once) / 60
            self._most_late = at_once / limit
        self._rate = AdaptiveRate(limit)
        self._is_free = per_minute is None
        self._burst = 1.0
        """How many requests the limiter lets through at once, as far as is known."""
        self._most_burst = 1.0 if self._is_free else max(limit, 1.0)
        self._next = -math.inf
        self._now = -math.inf
        self._last = -math.inf
        self._learned_at = -math.inf
        """Requests that left until then were sent at an older rate."""
        self._paused_at = -math.inf
        self._is_stopped = False
        self._probes = -math.inf
        """When a probe may leave while others are in flight: they may never be answered."""
        self._resume = -math.inf
        self._pause = 0.0
        self._in_a_row = 0
        self._accepted = 0
        """What was accepted before the first rejections."""
        self._remaining = math.inf
        self._resets = -math.inf

    def opens(self, now: float) -> float:
        """Return when the next request may leave: *now*, later, or never as things stand."""
        if self._under_way + 1 > self._window and not self._widens(now):
            return self._grows if self._window < self._most else math.inf
        if self._is_free:
            return now
        now = self._keep_up(now)
        if self._under_way >= self._remaining and now < self._resets:
            return self._resets
        if self._is_stopped and not self._ends_alone() and self._under_way:
            now = max(now, self._probes)
        return max(now, self._resume, self._next)

    def enter(self, now: float) -> float:
        """Let a request leave; return the moment by which it is known from now on."""
        now = self._keep_up(now)
        self._under_way += 1
        if self._under_way + 1 > self._window:
            self._grows = now + _PATIENCE
        if not self._is_free:
            if self._is_stopped:
                self._probes = now + _PATIENCE
            if (rate := self._rate.now) < math.inf:
                late = _LATE if self._rate.is_search else max((self._burst - 1) / rate, _LATE)
                self._next = max(self._next, now - min(late, self._most_late)) + 1 / rate
        self._last = now if now > self._last else math.nextafter(self._last, math.inf)
        return self._last

    def leave(self) -> None:
        """Note that a request is no longer under way."""
        self._under_way -= 1

    def report(self, sent: float, now: float, ending: Ending, retry_after: float | None = None) -> float | None:
        """Note how the request that left at *sent* ended. If it was rejected for its speed, the mate pauses, too.

        Returns:
            The length of a new pause in seconds; None if there is no new one.
        """
        pause = None
        if ending == "accepted":
            self.accepted(sent, now)
        elif ending == "refused":
            pause = self.refused(sent, now, retry_after)
            if self.mate is not None:
                self.mate.hold(self._resume, now)
        self.leave()
        return pause

    @property
    def rate(self) -> float:
        """How many requests a second may leave."""
        return self._rate.now

    @property
    def resume(self) -> float:
        """When the pause ends, or ended; a probe leaves then."""
        return self._resume

    def accepted(self, sent: float, now: float) -> None:
        """Note that a request that left at *sent* was accepted. It ends no pause that began later."""
        self._rate.accepted(sent)
        self._accepted += 1
        if self._is_free:
            self._burst += 1
        else:
            now = self._keep_up(now)
            self._burst = min(self._burst + _LEARNED, self._most_burst)
            if sent <= self._paused_at:
                return
            if self._is_stopped:
                self._go_on(now)
            elif self._in_a_row:
                self._rate.went_on(now)
            self._in_a_row = 0
        if self._window < self._most and now > sent:
            self._window = min(self._window + min(_GROWTH * (now - sent), 1.0), self._most)

    def refused(self, sent: float, now: float, retry_after: float | None) -> float | None:
        """Learn from the rejection of a request that left at *sent*, and pause if need be.

        Returns:
            The length of a new pause in seconds; None if there is none. Rejections of requests that left before a pause
            began belong to it, and once a rate is known fewer than three in a row only correct it.
        """
        now = self._keep_up(now)
        named = 0.0 if retry_after is None else _bounded(retry_after)
        named = named if named > _SECOND else 0.0
        if self._is_free:
            self._most_burst, self._is_free = self._burst, False
        if sent <= self._paused_at:
            self._in_a_row += 1
            self._resume = max(self._resume, now + named)
            return None
        if self._is_stopped:
            self._in_a_row += 1
            return self._wait(named, now, LONGEST_OWN_PAUSE if retry_after is None else _SECOND)
        if sent <= self._learned_at and not named:
            return None
        self._in_a_row += 1
        if self._rate.refused(now):
            self._learned_at = self._last
        if not (named or self._rate.is_free or self._in_a_row >= _IN_A_ROW):
            return None
        return self._stop(named, now)

    def _stop(self, named: float, now: float) -> float:
        self._rate.paused()
        self._is_stopped = True
        self._probes = now + _PATIENCE
        self._next = max(self._next, now)
        self._pause = 0.0
        return self._wait(named, now, _SECOND)

    def _wait(self, named: float, now: float, most: float) -> float:
        """Pause as long as is named, else twice as long as the last time."""
        self._pause = named or min(max(2 * self._pause, FIRST_PAUSE), most)
        self._resume = max(self._resume, now + self._pause)
        self._mark(now)
        return self._resume - now

    def _go_on(self, now: float) -> None:
        """End the stop, as a probe was accepted."""
        self._is_stopped = False
        self._rate.resumed(now, self._pause)
        self._burst = max(self._burst / 2, 1.0)
        self._window = min(max(self._window / 2, FIRST_WINDOW), self._window)

    def _ends_alone(self) -> bool:
        """Go on as before if all are answered and hardly any of them was rejected before a rate was learned."""
        if self._under_way or not self._rate.is_free or self._accepted < _LONE * self._in_a_row:
            return False
        self._is_stopped, self._accepted, self._in_a_row = False, 0, 0
        return True

    def hold(self, until: float, now: float) -> None:
        """Pause because others of the session were rejected, not these."""
        now = self._keep_up(now)
        until = min(until, now + LONGEST_PAUSE)
        if until > max(now, self._resume):
            self._resume = until
            self._mark(now)
            self._is_free = False
            self._window = min(self._window, FIRST_WINDOW)

    def hold_both(self, until: float, now: float) -> None:
        """Pause, and let the mate pause."""
        self.hold(until, now)
        if self.mate is not None:
            self.mate.hold(until, now)

    def apply_quota(self, remaining: float, reset: float, now: float) -> None:
        """Slow down by a response that says how many requests remain, and in how many seconds there are more."""
        now = self._keep_up(now)
        resets = now + _bounded(reset)
        # Responses overtake one another, so the lowest figure of one window counts.
        self._remaining = remaining if resets > self._resets + 1 else min(self._remaining, remaining)
        self._resets = max(self._resets, resets)
        if self._remaining <= self._under_way:
            self._mark(now)
            self._window = min(self._window, FIRST_WINDOW)
            self._is_free = False

    def _widens(self, now: float) -> bool:
        """Let more be in flight if no response came for a while: then speed is not the problem."""
        if now < self._grows or self._window >= self._most:
            return False
        self._window, self._grows = min(2 * self._window, self._most), now + _PATIENCE
        return self._under_way < self._window

    def _mark(self, now: float) -> None:
        """Remember which requests have left so far."""
        self._paused_at = self._last = max(self._last, now)

    def _keep_up(self, now: float) -> float:
        """Follow the clock. If it was set back, keep the remaining waiting times."""
        if not math.isfinite(now):
            self._now = max(self._now, -1e9)
            return self._now
        if now < self._now:
            back = now - self._now
            self._paused_at += back
            self._learned_at += back
            self._last += back
            self._probes += back
            self._resume += back
            self._next += back
            self._grows += back
            self._resets += back
            self._rate.shift(back)
        self._now = now
        return now


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_PAUSE) if seconds == seconds else 0.0
