"""How fast to send: one brake for every task of a session, what retrying may add, and the circuit breaker.

Time is a parameter.
"""

import math

from cometflux.pacing.adaptive_rate import AdaptiveRate
from cometflux.pacing.limiter import Ending
from cometflux.protocol.rate_headers import LONGEST_PAUSE

FIRST_PAUSE = 0.25
"""Seconds to pause after a first 429 that names no time; it doubles with each pause that earns another."""
LONGEST_OWN_PAUSE = 30.0
"""The longest pause that we choose ourselves, in seconds."""
FIRST_WINDOW = 10
"""So many requests may be under way at first, and after each pause."""
_PATIENCE = 1.0
"""Seconds after which twice as many may be in flight if none got a response and none was rejected."""
_SLOWEST, _FASTEST = 1e-6, 1e9
_LATE = 0.05
"""A request that leaves so many seconds later than it might does not delay the next ones."""


class Pacer:
    """When the next request may leave: a window, a pause for all, and a rate that is learned or known.

    Until the service rejects a request, only the window holds requests back: 10 in flight at first, one more with each
    success. So the first burst that meets an unknown limit is small. One rejection then pauses all requests. After the
    pause they leave one by one, at the rate that `AdaptiveRate` has learned.

    A known limit holds from the start, over any sliding 60-second window. A sixtieth of it may leave at once, to make
    up for late requests; the rest is spaced evenly.

    Args:
        most: how many requests may be in flight.
        per_minute: how many may leave within a minute; None if that is not known.
    """

    def __init__(self, most: int, per_minute: float | None = None) -> None:
        self.mate: Pacer | None = None
        """The pacer of the session's other requests, which pauses when this one must; None if there is none."""
        self._most = most
        self._window = min(FIRST_WINDOW, most)
        self._grows = 0.0
        self._under_way = 0
        self._rate = AdaptiveRate()
        self._next = -math.inf
        self._known_gap = 0.0
        self._known_late = 0.0
        self._known_next = -math.inf
        if per_minute is not None:
            per_minute = float(min(max(per_minute, _SLOWEST), _FASTEST))
            at_once = per_minute // 60
            self._known_gap = 60 / (per_minute - at_once)
            self._known_late = at_once * self._known_gap
        self._is_free = per_minute is None
        self._now = -math.inf
        self._paused_at = -math.inf
        self._resume = -math.inf
        self._pauses = 0
        self._remaining = math.inf
        self._resets = -math.inf

    def opens(self, now: float) -> float:
        """Return when the next request may leave: *now*, later, or never as things stand."""
        if self._under_way >= self._window and not self._widens(now):
            return self._grows if self._window < self._most else math.inf
        if self._is_free:
            return now
        now = self._keep_up(now)
        if self._under_way >= self._remaining and now < self._resets:
            return self._resets
        return max(now, self._resume, self._next, self._known_next - self._known_late)

    def enter(self, now: float) -> float:
        """Let a request leave; return the moment by which it is known from now on."""
        now = self._keep_up(now)
        self._under_way += 1
        if self._under_way >= self._window:
            self._grows = now + _PATIENCE
        if self._is_free:
            return self._rate.leave(now)
        self._next = max(self._next, now - _LATE, self._resume) + self._rate.gap(now)
        if self._known_gap:
            self._known_next = max(self._known_next, now) + self._known_gap
        return self._rate.leave(now)

    def leave(self) -> None:
        """Note that a request is no longer under way."""
        self._under_way -= 1

    def report(self, sent: float, now: float, ending: Ending, retry_after: float | None = None) -> float | None:
        """Note how the request that left at *sent* ended. If it was rejected for its rate, the mate pauses, too.

        Returns:
            The length of a new pause in seconds; None if there is no new one.
        """
        pause = None
        if ending == "accepted":
            self.accepted(sent)
        elif ending == "refused":
            pause = self.refused(sent, now, retry_after)
            if self.mate is not None:
                self.mate.hold(self._resume, now)
        self.leave()
        return pause

    def rate(self, now: float) -> float:
        """Return how many requests a second may leave."""
        if self._is_free:
            return math.inf
        return min(self._rate.at(self._keep_up(now)), 1 / self._known_gap if self._known_gap else math.inf)

    @property
    def resume(self) -> float:
        """When the pause ends, or ended."""
        return self._resume

    def accepted(self, sent: float) -> None:
        """Note that a request that left at *sent* was accepted. If it left before a pause, it teaches nothing."""
        if sent <= self._paused_at:
            return
        self._pauses = 0
        if self._window < self._most:
            self._window += 1

    def refused(self, sent: float, now: float, retry_after: float | None) -> float | None:
        """Pause because a request that left at *sent* was rejected.

        Returns:
            The length of the pause in seconds; None if it is not a new one: rejections of requests that left before a
            pause began belong to it.
        """
        now = self._keep_up(now)
        # In this order, for *sent* may be no number.
        sent = min(now, sent)
        named = None if retry_after is None else _bounded(retry_after)
        if sent <= self._paused_at:
            self._rate.refused_too()
            self._wait_until(now + (named or 0.0))
            return None
        self._pauses += 1
        pause = min(FIRST_PAUSE * 2.0 ** min(self._pauses - 1, 16), LONGEST_OWN_PAUSE)
        if named is not None:
            # A limiter that names the moment of its next token is empty again behind it.
            pause = max(named, FIRST_PAUSE) if named or self._rate.is_sure else 0.0
        self._wait_until(now + pause)
        self._rate.refused(sent, now, pause, self._resume, self._under_way)
        self._mark(now)
        self._next, self._is_free = self._resume, False
        self._window = min(max(self._window // 2, FIRST_WINDOW), self._window)
        self._grows = now + pause + _PATIENCE
        return self._resume - now

    def hold(self, until: float, now: float) -> None:
        """Pause because other requests of the session were rejected."""
        now = self._keep_up(now)
        until = min(until, now + LONGEST_PAUSE)
        if until > max(now, self._resume):
            self._wait_until(until)
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
        self._paused_at = self._rate.last = max(self._rate.last, now)

    def _wait_until(self, moment: float) -> None:
        self._resume = max(self._resume, moment)
        self._next = max(self._next, self._resume)

    def _keep_up(self, now: float) -> float:
        """Follow the clock. If it was set back, keep the remaining waiting times."""
        if not math.isfinite(now):
            self._now = max(self._now, -1e9)
            return self._now
        if now < self._now:
            back = now - self._now
            self._paused_at += back
            self._resume += back
            self._next += back
            self._grows += back
            self._resets += back
            self._known_next += back
            self._rate.shift(back)
        self._now = now
        return now


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_PAUSE) if seconds == seconds else 0.0
