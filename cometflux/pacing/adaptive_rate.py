"""The number of requests per second that the service accepts, learned from its rejections. Time is a parameter.

A limiter is empty when it rejects, so the requests accepted between two rejections measure its rate, whatever it lets
through at once and however it counts. The rate starts a little above that and rises with the successes: by a cubic,
which stays flat at first and then looks for a limit that has risen (CUBIC, RFC 9438, as in the AWS SDKs). Before the
first measurement the rate is searched for: it rises steadily until a rejection.
"""

import math

SLOWEST = 1 / 60
"""Lowest rate, in requests per second: a lower one would teach nothing."""
_FEW, _BRIEF = 4, 0.25
"""Fewer accepted requests, or fewer seconds, do not measure a rate."""
_OVER = 1.015
"""The rate starts so far above the measured one that hardly more than one in a hundred is rejected."""
_LEAST = 0.93
"""One rejection lowers the rate by no more: a limiter without a burst also rejects what comes a little early."""
_RISEN = 1.3
"""A rate measured so many times higher than the last one shows a limit that has risen, and is a guess again."""
_RISE = 0.7
"""A search adds so many requests a second with each success."""
_LONG = 0.24
"""A first pause of at least so many seconds measures the rate at its end; once a rate is known, a shorter one does."""
_EVIDENCE, _SECONDS = 3, 18
"""The rate doubles after so many times the requests that it was measured with, and later after so many seconds."""
_SOONEST, _LATEST = 20, 80
"""The number of successes in which a rate doubles after a search. It is twice as high after each measurement."""


class AdaptiveRate:
    """The rate at which requests may leave. It is unlimited until one was rejected, unless *limit* is known.

    Args:
        limit: how many requests a second may leave at most.
    """

    def __init__(self, limit: float = math.inf) -> None:
        self._limit = limit
        self._measured = limit
        self._is_search = False
        self._doubling = _SECONDS * limit
        self._risen = 0
        """Successes since the rate began to rise."""
        self._since = -math.inf
        self._count = 0
        """What was accepted *since*."""
        self._is_from_rejection = False
        self._since_pause = 0

    @property
    def is_free(self) -> bool:
        """Whether no limit was met yet."""
        return self._measured == math.inf

    @property
    def is_search(self) -> bool:
        """Whether the rate rises without having been measured."""
        return self._is_search

    @property
    def now(self) -> float:
        """How many requests a second may leave."""
        if self._is_search:
            return min(self._measured + _RISE * self._risen, self._limit)
        return min(self._measured * (_OVER + math.pow(self._risen / self._doubling, 3)), self._limit)

    def accepted(self, sent: float) -> None:
        """Note that a request that left at *sent* was accepted."""
        if self._since == -math.inf:
            self._since = sent
        self._count += 1
        self._risen += 1
        self._since_pause += 1

    def refused(self, now: float) -> bool:
        """Learn from a rejection; return whether the rate is a new one."""
        return (self._is_from_rejection or self._is_search) and self._measure(now, is_rejection=True)

    def went_on(self, now: float) -> None:
        """Note that others are accepted after a rejection: the limiter was empty only for a moment."""
        if not self._is_from_rejection:
            self._restart(now, is_rejection=True)

    def paused(self) -> None:
        """Note that a pause begins. If hardly anything came through since the last one, the limit is far lower."""
        if self._since_pause < _FEW and not self.is_free:
            self._measured = max(self._measured / 2, SLOWEST)
            self._is_search = True
        self._risen = 0

    def resumed(self, now: float, wait: float) -> None:
        """Note that a pause is over, and how long its last part was."""
        self._since_pause = self._risen = 0
        is_free = self.is_free
        # A short pause ends as soon as the limiter lets something through. A longer one may last too long.
        if is_free == (wait >= _LONG) and self._measure(now, is_rejection=False):
            return
        if is_free:
            self._measured = 1 / wait
            self._is_search = True
            self._restart(now, is_rejection=False)

    def shift(self, seconds: float) -> None:
        """Follow a clock that was set."""
        self._since += seconds

    def _measure(self, now: float, *, is_rejection: bool) -> bool:
        seconds = now - self._since
        if self._count < _FEW or not _BRIEF <= seconds < math.inf:
            return False
        measured = max(self._count / seconds, SLOWEST)
        if self._is_search or self.is_free or measured > _RISEN * self._measured:
            self._doubling = min(max(_EVIDENCE * self._count, _SOONEST), _LATEST)
        else:
            measured = max(measured, _LEAST * self._measured)
            self._doubling = max(min(2 * self._doubling, _SECONDS * measured), _SOONEST)
        self._measured = measured
        self._is_search = False
        self._restart(now, is_rejection=is_rejection)
        return True

    def _restart(self, now: float, *, is_rejection: bool) -> None:
        self._since, self._count, self._risen, self._is_from_rejection = now, 0, 0, is_rejection
