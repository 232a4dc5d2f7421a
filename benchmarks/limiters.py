"""How much of a rate limit does the pacer use, compared with a sender that knows the limiter?

Simulates limiters of every usual kind in virtual time, from a standing start. No clock and no network is involved, so
the figures are the same on every machine.
"""

import heapq
import itertools
import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import attrs

from cometflux.pacing.pacer import Pacer

JOBS = 600
SEEDS = 9
MOST = 100
"""Requests in flight at most, as in a session."""
SHAKE = 0.3
"""The way to the service takes up to this share longer by chance."""
PENDING, PREDICTION = 64, 2.0
"""Predictions pending at the unlimited service, and the seconds that each takes."""
GOODPUT, KNOWN, SLOWDOWN, TEN_SECONDS = 0.93, 0.98, 1.02, 1.05


class Limiter(Protocol):
    """A rate limiter in a time of its own."""

    def decide(self, now: float) -> tuple[float, float]:
        """Return how long the response to a request takes, and how long to wait; 0.0 if the request is accepted."""

    def fits(self, jitter: float, *, is_even: bool) -> Iterator[float]:
        """Yield when to send so that nothing is refused though each request may arrive *jitter* seconds late.

        Even means without the requests that the limiter lets through at once.
        """


@attrs.define
class Bucket:
    """Lets *burst* requests through at once, and *rate* a second."""

    rate: float
    burst: float
    tokens: float = math.inf
    at: float = 0.0

    def decide(self, now: float) -> tuple[float, float]:
        """Take a token."""
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return 0.0, (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0, 0.0

    def fits(self, jitter: float, *, is_even: bool) -> Iterator[float]:
        """Yield when to send."""
        slack = jitter * self.rate
        at_once = 1 if is_even else max(int(self.burst - slack), 1)
        gap = (1 + max(slack - self.burst + 1, 0)) / self.rate
        return itertools.chain([0.0] * (at_once - 1), (number * gap for number in itertools.count()))


@attrs.define
class Window:
    """Lets *most* requests through in each window of so many seconds; or, if it slides, in any such time."""

    most: int
    seconds: float
    slides: bool
    accepted: deque[float] = attrs.field(factory=deque)

    def decide(self, now: float) -> tuple[float, float]:
        """Count a request."""
        start = now - self.seconds if self.slides else now // self.seconds * self.seconds
        while self.accepted and self.accepted[0] < start:
            self.accepted.popleft()
        if len(self.accepted) >= self.most:
            return 0.0, (self.accepted[0] if self.slides else start) + self.seconds - now
        self.accepted.append(now)
        return 0.0, 0.0

    def fits(self, jitter: float, *, is_even: bool) -> Iterator[float]:
        """Yield when to send."""
        period = self.seconds + jitter * self.slides
        for number in itertools.count():
            yield number * period / self.most if is_even else number // self.most * period


@attrs.define
class Queue:
    """Passes *rate* requests a second on, and lets *length* wait for that."""

    rate: float
    length: int
    free: float = 0.0

    def decide(self, now: float) -> tuple[float, float]:
        """Enter the queue."""
        wait = max(self.free - now, 0.0)
        if wait * self.rate > self.length:
            return 0.0, wait - self.length / self.rate
        self.free = now + wait + 1 / self.rate
        return wait, 0.0

    def fits(self, jitter: float, *, is_even: bool) -> Iterator[float]:
        """Yield when to send."""
        at_once = 1 if is_even else self.length - math.ceil(jitter * self.rate)
        return itertools.chain([0.0] * (at_once - 1), (number / self.rate for number in itertools.count()))


class Unlimited:
    """Accepts everything."""

    def decide(self, now: float) -> tuple[float, float]:
        """Accept a request."""
        return 0.0, 0.0

    def fits(self, jitter: float, *, is_even: bool) -> Iterator[float]:
        """Yield when to send."""
        return itertools.repeat(0.0)


FORMS: dict[str, Callable[[float, float], float | None]] = {
    "in whole seconds": lambda now, wait: math.ceil(wait),
    "as a date": lambda now, wait: math.ceil(now + wait) - now,
    "missing": lambda now, wait: None,
}


@attrs.frozen
class Row:
    """One limiter and the way to it."""

    title: str
    limiter: Callable[[], Limiter]
    per_second: float
    trip: float = 0.03
    form: str = "in whole seconds"
    refusals: float = 0.05
    """The maximum number of refusals for each success."""
    late: float = 0.0
    """Timers fire up to so many seconds late, as in a busy process."""


def _bucket(rate: float, burst: float, trip: float = 0.03, form: str = "in whole seconds", late: float = 0.0) -> Row:
    named = "" if form == "in whole seconds" else f", Retry-After {form}"
    far = "" if trip == 0.03 else f", {trip * 1000:.0f} ms"
    busy = f", timers up to {late * 1000:.0f} ms late" if late else ""
    title = f"bucket {rate:g}/s of {burst:g}{far}{named}{busy}"
    return Row(title, lambda: Bucket(rate, burst), rate, trip, form, late=late)


def _window(most: int, seconds: float, *, slides: bool) -> Row:
    kind = "sliding log" if slides else "fixed window"
    title = f"{kind} {most} in {seconds:g} s"
    return Row(title, lambda: Window(most, seconds, slides), most / seconds, refusals=0.1)


def _queue(rate: float, length: int) -> Row:
    return Row(f"queue {rate:g}/s of {length}", lambda: Queue(rate, length), rate)


ROWS = [
    *(_bucket(50, burst) for burst in (50, 10, 5, 1)),
    *(_bucket(10, burst) for burst in (10, 2, 1, 600)),
    *(_window(most, seconds, slides=slides) for slides in (False, True) for most, seconds in ((50, 1), (100, 10))),
    *(_queue(50, 20), _queue(10, 5)),
    *(_bucket(50, 10, trip) for trip in (0.1, 0.3)),
    *(_bucket(50, burst, 0.03, form) for burst, form in ((10, "as a date"), (10, "missing"), (50, "missing"))),
]
BUSY = [_bucket(50, burst, late=late) for late in (0.02, 0.1) for burst in (50, 10)]
FAR = [
    *(_bucket(50, burst, trip) for burst in (50, 5, 1) for trip in (0.1, 0.3)),
    *(_bucket(10, burst, trip) for burst in (10, 2, 1) for trip in (0.1, 0.3)),
]
KNOWN_ROWS = [*(_bucket(50, burst) for burst in (50, 10, 5, 1)), *(_bucket(10, burst) for burst in (10, 2, 1)), *BUSY]


class Sending:
    """Requests on their way to a limiter, and the times at which they are accepted."""

    def __init__(self, row: Row, chance: random.Random) -> None:
        self.row = row
        self.accepted: list[float] = []
        """When each was accepted, in seconds, as the sender knows it."""
        self.left: list[float] = []
        """When each left that was accepted."""
        self.refused = 0
        self._chance = chance
        self._limiter = row.limiter()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.now = 0.0

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Do something at that moment."""
        heapq.heappush(self._events, (moment, next(self._numbers), action))

    def send(self, answered: Callable[[float | None, bool], None]) -> None:
        """Send a request; call *answered* with the named wait, and whether it was refused, when its response comes."""
        left, half = self.now, self.row.trip / 2

        def arrive() -> None:
            delay, wait = self._limiter.decide(self.now)
            named = FORMS[self.row.form](self.now, wait) if wait else None
            self.at(self.now + half + delay, lambda: respond(wait > 0, named))

        def respond(is_refused: bool, named: float | None) -> None:
            if is_refused:
                self.refused += 1
            else:
                self.accepted.append(self.now)
                self.left.append(left)
            answered(named, is_refused)

        self.at(left + half * (1 + SHAKE * self._chance.random()), arrive)

    def run(self, is_over: Callable[[], bool]) -> None:
        """Let the time pass until it is over, or nothing more happens."""
        while self._events and not is_over():
            self.now, _, action = heapq.heappop(self._events)
            action()


def paced(row: Row, seed: int, per_minute: float | None = None, jobs: int = JOBS) -> Sending:
    """Submit through a pacer until so many jobs were accepted."""
    chance = random.Random(seed)
    sending, pacer, looks = Sending(row, chance), Pacer(MOST, per_minute), [math.inf]

    def look() -> None:
        looks[0] = math.inf
        pump()

    def pump() -> None:
        while (opens := pacer.opens(sending.now)) <= sending.now:
            send(pacer.enter(sending.now))
        if opens < looks[0]:
            looks[0] = opens
            sending.at(opens + row.late * chance.random(), look)

    def send(sent: float) -> None:
        def answered(named: float | None, is_refused: bool) -> None:
            pacer.report(sent, sending.now, "refused" if is_refused else "accepted", named)
            pump()

        sending.send(answered)

    pump()
    sending.run(lambda: len(sending.accepted) >= jobs)
    return sending


def knowing(row: Row, seed: int, until: float, *, is_even: bool = False) -> int:
    """Return how many requests of a sender that knows the limiter are accepted in that time."""
    sending = Sending(row, random.Random(seed))
    times = row.limiter().fits(row.trip / 2 * SHAKE, is_even=is_even)
    for moment in itertools.takewhile(lambda each: each < until, times):
        sending.at(moment, lambda: sending.send(lambda *_: None))
    sending.run(lambda: False)
    return sum(each <= until for each in sending.accepted)


def busiest(times: list[float], seconds: float) -> int:
    """Return how many of *times* the busiest stretch of so many seconds holds."""
    most, first = 0, 0
    for last, moment in enumerate(times):
        while times[first] <= moment - seconds:
            first += 1
        most = max(most, last + 1 - first)
    return most


def unknown(row: Row, seed: int) -> tuple[float, float]:
    """Return the share of the knowing sender's goodput, and the refusals for each success."""
    sending = paced(row, seed)
    return JOBS / knowing(row, seed, sending.accepted[-1]), sending.refused / JOBS


def known(row: Row, seed: int) -> tuple[float, float, float]:
    """Return the share of what the limit allows, the refusals, and the busiest ten seconds as a share of the limit."""
    sending = paced(row, seed, 60 * row.per_second)
    share = JOBS / knowing(row, seed, sending.accepted[-1], is_even=True)
    return share, sending.refused / JOBS, busiest(sorted(sending.left), 10) / (10 * row.per_second)


def batch(seed: int, trip: float, *, is_paced: bool) -> float:
    """Return how many seconds the jobs take at an unlimited service, with a bound on the pending predictions."""
    sending = Sending(Row("", Unlimited, math.inf, trip), random.Random(seed))
    pacer, free, undrawn, over = Pacer(MOST), PENDING, JOBS, 0

    def pump() -> None:
        nonlocal free, undrawn
        while free and undrawn and (not is_paced or pacer.opens(sending.now) <= sending.now):
            sent = pacer.enter(sending.now)
            free -= 1
            undrawn -= 1
            sending.send(lambda *_, sent=sent: answered(sent))  # type: ignore[misc]

    def answered(sent: float) -> None:
        pacer.report(sent, sending.now, "accepted")
        sending.at(sending.now + PREDICTION, end)
        pump()

    def end() -> None:
        nonlocal free, over
        free += 1
        over += 1
        pump()

    pump()
    sending.run(lambda: over == JOBS)
    return sending.now


def _each(figures: list[tuple[float, ...]]) -> Iterator[tuple[float, float, float]]:
    """Yield the median, the lowest and the highest of each figure."""
    return ((statistics.median(each), min(each), max(each)) for each in zip(*figures, strict=True))


def _unknown() -> Iterator[bool]:
    """Print the figures of each limiter that is not known; yield which are met."""
    for row in [*ROWS, *BUSY, *FAR]:
        (share, least, _), (refused, _, most) = _each([unknown(row, seed) for seed in range(SEEDS)])
        yield (met := share >= GOODPUT and refused <= row.refusals)
        print(
            f"  {row.title}: {share:.3f} ({least:.3f}), {refused:.1%} ({most:.1%}) refused, "
            f"wanted {row.refusals:.0%}: {_verdict(met)}"
        )


def _known() -> Iterator[bool]:
    """Print the figures of each limit that is known; yield which are met."""
    for row in KNOWN_ROWS:
        (share, least, _), (refused, _, most), (ten, _, top) = _each([known(row, seed) for seed in range(SEEDS)])
        yield (met := share >= KNOWN and top <= TEN_SECONDS)
        print(
            f"  {row.title}: {share:.3f} ({least:.3f}), {refused:.1%} ({most:.1%}) refused, "
            f"{ten:.0%} in ten seconds: {_verdict(met)}"
        )


def _unlimited() -> Iterator[bool]:
    """Print how much the pacer slows down a service without a limit; yield which are met."""
    for trip in (0.03, 0.1, 0.3):
        ratio = statistics.median(
            batch(seed, trip, is_paced=True) / batch(seed, trip, is_paced=False) for seed in range(SEEDS)
        )
        yield (met := ratio <= SLOWDOWN)
        print(
            f"  {PENDING} pending of {PREDICTION:.0f} s, {trip * 1000:.0f} ms a round trip: "
            f"{ratio:.3f} of the time without a pacer: {_verdict(met)}"
        )


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def main() -> None:
    print(
        f"Limiters in virtual time, {JOBS} jobs from a standing start, median of {SEEDS} (and the worst); "
        f"wanted {GOODPUT} of the goodput of a sender that knows the limiter: python -m benchmarks.limiters"
    )
    met = [*_unknown()]
    print(f"A known limit, wanted {KNOWN} of an even sender, and at most {TEN_SECONDS:.0%} in any ten seconds")
    met += _known()
    print(f"A service without a limit, wanted at most {SLOWDOWN} of the time without a pacer")
    met += _unlimited()
    print(f"{sum(met)} of {len(met)} are met")


if __name__ == "__main__":
    main()
