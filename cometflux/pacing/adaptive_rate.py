"""The number of requests per second that the service accepts, learned from its rejections. Time is a parameter.

A limiter is a token bucket: a burst at once, then a fixed rate. It is empty at each rejection, so the requests accepted
between two rejections measure its rate, apart from the tokens that it gathered meanwhile. The rate lies between two
figures: *low*, the accepted requests over the whole time, the pause included, and *high*, those accepted while requests
left at a rate above *low*.

A first rejection starts a `Doubling` from the accepted rate, until the second one. Then the rate follows CUBIC (RFC
9438, as in the AWS SDKs): it rises from *low*, ever slower, to a plateau between the two figures, for the length of a
dozen pauses, and then ever faster, in case the limit has risen.
"""

import math
from collections import deque
from typing import NamedTuple

SLOWEST = 1 / 60
"""Lowest rate, in requests per second: a lower one would teach nothing."""
_DOUBLES_IN = 0.5
"""Seconds in which `Doubling` doubles the rate, or two round trips if those take longer."""
_FEW = 5
"""Fewer accepted requests do not measure a rate."""
_PAUSES = 12.0
"""Length of a hold, in pauses, so that pauses take less than a tenth of the time; a quarter longer once confirmed."""
_CONFIRMED = 1.25
_SHORTEST_HOLD, _LONGEST_HOLD = 4.0, 60.0
_RISE = 4.0
"""Seconds after a plateau in which the cubic doubles the rate."""
_LEAP = 2.5
"""Seconds after a plateau from which the rate doubles each second: with no rejection so far, the limit has risen."""
_LONE = 8
"""A single rejection among so many accepted requests was not due to the rate."""
_TELLING = 1.0
"""Requests accepted in fewer seconds do not bound the limiter's rate from above."""
_REMEMBERED = 1024


class Doubling(NamedTuple):
    """A rate that doubles again and again."""

    low: float
    """Requests a second to begin with."""
    doubling: float
    """Seconds in which the rate doubles."""

    def at(self, age: float) -> float:
        """Return the rate at that age."""
        return self.low * math.pow(2, min(age / self.doubling, 64))

    def gap(self, age: float) -> float:
        """Return how long one request takes, while the rate goes on rising."""
        return self.doubling * math.log2(1 + math.log(2) / (self.doubling * self.at(age)))


class CubicHold(NamedTuple):
    """A rate that rises to a plateau, and past it if no request was rejected there."""

    low: float
    high: float
    seconds: float
    """Seconds until the end of the plateau."""

    def at(self, age: float) -> float:
        """Return the rate at that age."""
        if age < self.seconds:
            return self.high - (self.high - self.low) * math.pow(1 - age / self.seconds, 3)
        past = age - self.seconds
        cubic = 1 + math.pow(min(past, _LEAP) / _RISE, 3)
        return self.high * cubic * math.pow(2, min(max(past - _LEAP, 0), 64))

    def gap(self, age: float) -> float:
        """Return how long one request takes at that age."""
        return 1 / self.at(age)


class AdaptiveRate:
    """The rate at which requests may leave. It is unlimited until the first rejection."""

    def __init__(self) -> None:
        self.curve: Doubling | CubicHold | None = None
        """The course of the rate; None while no limit is known."""
        self.began = 0.0
        """Start of the curve: the end of the last pause."""
        self.last = -math.inf
        """When the last request left."""
        self._left: deque[float] = deque(maxlen=_REMEMBERED)
        self._count = 0
        self._burst = 1.0
        """How many requests the limiter lets through at once, as far as is known."""
        self._is_first = False
        self._under_way = 0
        self._refused = 0
        self._confirmed = 1.0

    def leave(self, now: float) -> float:
        """Note that a request leaves; return its moment, which no other has."""
        self.last = now if now > self.last else math.nextafter(self.last, math.inf)
        self._left.append(self.last)
        self._count += 1
        return self.last

    def at(self, now: float) -> float:
        """Return how many requests a second may leave."""
        return math.inf if self.curve is None else self.curve.at(max(now - self.began, 0.0))

    def gap(self, now: float) -> float:
        """Return how long one request takes."""
        return 0.0 if self.curve is None else self.curve.gap(max(now - self.began, 0.0))

    def shift(self, seconds: float) -> None:
        """Follow a clock that was set."""
        self.began += seconds
        self.last += seconds
        self._left = deque((each + seconds for each in self._left), self._left.maxlen)

    @property
    def is_sure(self) -> bool:
        """Whether there is a limit; one rejection among many accepted requests proves none."""
        is_lone = self._is_first and self._under_way >= _LONE * (1 + self._refused)
        return self.curve is not None and not is_lone

    def refused_too(self) -> None:
        """Note another rejection of a request that was in flight at the last rejection."""
        self._refused += 1
        if self._is_first:
            self._burst = max(self._burst - 1, 1.0)
            assert isinstance(self.curve, Doubling)
            self.curve = Doubling(self._burst, self.curve.doubling)

    def refused(self, sent: float, now: float, pause: float, resume: float, under_way: int) -> None:
        """Learn from the rejection of a request that left at *sent*.

        Args:
            sent: when it left.
            now: the time.
            pause: how long nothing is to leave.
            resume: when that is over.
            under_way: how many others are under way.
        """
        ran = max(sent - self.began, 1e-3)
        doubling = max(_DOUBLES_IN, 2 * (now - sent))
        if self.curve is None or (not self.is_sure and ran >= _PAUSES * pause):
            self._begin(sent, doubling)
        else:
            self._is_first = False
            self._learn(sent, ran, pause, doubling)
        self._under_way, self._refused = under_way, 0
        self.began = resume
        self._left.clear()
        self._count = 0

    def _begin(self, sent: float, doubling: float) -> None:
        """Begin with the requests that left within the last second; those that are rejected are subtracted later."""
        self._is_first = True
        self._burst = max(sum(each >= sent - 1 for each in self._left) - 1.0, 1.0)
        self.curve = Doubling(self._burst, doubling)

    def _learn(self, sent: float, ran: float, pause: float, doubling: float) -> None:
        curve = self.curve
        assert curve is not None
        left = [each for each in self._left if each < sent]
        count = max(self._count - (len(self._left) - len(left)), 0.5)
        held, plateau = (curve.seconds, curve.high) if isinstance(curve, CubicHold) else (0.0, math.inf)
        self._judge_burst(ran, held, count)
        if count < _FEW:
            # Hardly anything came through, so the limit is far lower; slower each time, until there is more to go by.
            slower = 2 * curve.doubling if isinstance(curve, Doubling) else 0.0
            self.curve = Doubling(max(curve.at(ran) / 4, SLOWEST), max(slower, doubling))
            return
        low, since = self._lowest(left, sent, count, ran, pause)
        if 1.5 * plateau < low:
            # The limit has risen, and with it what comes through at once.
            held, self._burst = 0.0, max(self._burst, low / 4)
            low, since = self._lowest(left, sent, count, ran, pause)
        high = curve.at(ran)
        if since >= _TELLING:
            high = min(sum(each >= sent - since for each in left) / since, high)
        high = max(high, low)
        self._hold(low, high, ran, held, pause)

    def _judge_burst(self, ran: float, held: float, count: float) -> None:
        # Rejected too soon: more was let through at once than was thought, and less a second.
        if ran < held / 2:
            self._burst *= 1.25
        elif ran > held > 0:
            self._burst *= 0.8
        self._burst = max(min(self._burst, count), 1.0)

    def _lowest(self, left: list[float], sent: float, count: float, ran: float, pause: float) -> tuple[float, float]:
        """Return what the limiter's rate is at least, and how long it was measured."""
        low, since = count / (ran + pause), ran
        for behind, each in zip(range(len(left), 0, -1), left, strict=True):
            if behind <= self._burst + 2:
                break
            if (rate := (behind - self._burst) / (sent - each)) > low:
                low, since = rate, sent - each
        return low, since

    def _hold(self, low: float, high: float, ran: float, held: float, pause: float) -> None:
        # A search shoots past its mark, so what came through at its end says less.
        high = min(low + (0.5 if held else 0.35) * (high - low), 2 * low)
        if ran < held:
            low = min(low, 0.95 * high)
        self._confirmed = _CONFIRMED if ran > held > 0 else 1.0
        # The wider the guess, the sooner it is worth another pause to know better.
        pauses = min(high / max(high - low, 1e-9), _PAUSES * self._confirmed)
        seconds = min(max(pause * max(pauses, 3.0), _SHORTEST_HOLD), _LONGEST_HOLD)
        self.curve = CubicHold(max(low, SLOWEST), max(high, SLOWEST), seconds)
