"""How late is the end of a prediction noticed, compared with the best schedule with the same number of polls?

Simulates predictions of random lengths in virtual time, 16 at once. The schedule learned from the first ones is then
tested on others. No clock and no network is involved, so the figures are the same on every machine.
"""

import heapq
import math
import random
import statistics
from collections.abc import Callable

import attrs

from benchmarks.optimum import Optimum, lognormal, mixture
from cometflux.polling.hazard import CompletionTimes
from cometflux.polling.policy import PollPolicy
from cometflux.polling.timetable import ModelTimetable, Timetable

SLOTS = 16
TRIED = 2000
SEEDS = 9


@attrs.frozen
class Shape:
    """A distribution of prediction times."""

    title: str
    draw: Callable[[random.Random], float]
    optimum: Optimum
    target: float
    """The maximum ratio to the optimum after *ends* ends."""
    ends: int = 50


def _long(chance: random.Random, median: float, sigma: float) -> float:
    return median * math.exp(sigma * chance.gauss(0, 1))


def shapes() -> list[Shape]:
    """Return the five distributions. A cold start is a model that has to be loaded first."""
    return [
        Shape("lognormal(2 s, 0.3)", lambda c: _long(c, 2, 0.3), Optimum(lognormal(2, 0.3), 10), 1.15),
        Shape("lognormal(2 s, 0.6)", lambda c: _long(c, 2, 0.6), Optimum(lognormal(2, 0.6), 30), 1.15),
        Shape(
            "10 % cold starts, 2 s and 10 s",
            lambda c: _long(c, 10 if c.random() < 0.1 else 2, 0.3),
            Optimum(mixture(0.1, lognormal(2, 0.3), lognormal(10, 0.3)), 40),
            1.25,
        ),
        Shape(
            "30 % cold starts, 2 s and 20 s",
            lambda c: _long(c, 20 if c.random() < 0.3 else 2, 0.3),
            Optimum(mixture(0.3, lognormal(2, 0.3), lognormal(20, 0.3)), 80),
            1.4,
        ),
        # As when a model is asked for pictures of three sizes.
        Shape(
            "three humps, 2 s, 8 s and 32 s",
            lambda c: _long(c, c.choice((2, 8, 32)), 0.2),
            Optimum(mixture(1 / 3, mixture(0.5, lognormal(2, 0.2), lognormal(8, 0.2)), lognormal(32, 0.2)), 128),
            1.35,
            200,
        ),
    ]


def learn(draw: Callable[[random.Random], float], chance: random.Random, ends: int) -> CompletionTimes:
    """Poll predictions by the schedule until *ends* of them have ended; return the observed completion times."""
    rhythm = ModelTimetable(PollPolicy())
    due: list[tuple[float, int, float, float, float]] = []
    count = 0

    def begin(now: float) -> None:
        nonlocal count
        count += 1
        heapq.heappush(due, (now + rhythm.first(), count, now, draw(chance), 0.0))

    for _ in range(SLOTS):
        begin(0.0)
    while rhythm.observed.ends < ends:
        now, number, began, length, ran = heapq.heappop(due)
        age = now - began
        if age >= length:
            rhythm.ended(ran, age)
            begin(now)
        else:
            rhythm.ran(ran, age)
            heapq.heappush(due, (began + rhythm.next(age), number, began, length, age))
    return rhythm.observed


def try_out(
    following: Callable[[float], float], draw: Callable[[random.Random], float], chance: random.Random
) -> tuple[float, float]:
    """Return the mean number of polls and the mean delay, in seconds. *following* returns the age of the next poll."""
    polls, delay = 0, 0.0
    for _ in range(TRIED):
        length, age = draw(chance), following(0.0)
        polls += 1
        while age < length:
            age = following(age)
            polls += 1
        delay += age - length
    return polls / TRIED, delay / TRIED


def compare(shape: Shape, ends: int, seed: int) -> tuple[float, float]:
    """Return the ratio of the delay to the optimum after *ends* ends, and the mean number of polls."""
    chance = random.Random(seed)
    policy = PollPolicy()
    timetable = Timetable.of(learn(shape.draw, chance, ends).estimate(), policy, policy.polls)
    polls, delay = try_out(timetable.next, shape.draw, chance)
    return delay / shape.optimum.delay(polls), polls


def main() -> None:
    print(
        "How late an end is noticed, compared with the best schedule with as many polls, "
        f"median of {SEEDS} (and the worst): python -m benchmarks.schedules"
    )
    for shape in shapes():
        polls, delay = try_out(ModelTimetable(PollPolicy.every(0.5)).next, shape.draw, random.Random(1))
        print(f"  {shape.title}: a fixed 0.5 s {delay / shape.optimum.delay(polls):.2f} with {polls:.1f} polls")
        for ends in (32, 50, 200, 1000):
            ratios, counts = zip(*(compare(shape, ends, seed) for seed in range(SEEDS)), strict=True)
            verdict = "met" if statistics.median(ratios) <= shape.target else "missed"
            wanted = f", wanted {shape.target} at most: {verdict}" if ends == shape.ends else ""
            print(
                f"    after {ends} ends {statistics.median(ratios):.2f} ({max(ratios):.2f}) "
                f"with {statistics.median(counts):.1f} polls{wanted}"
            )


if __name__ == "__main__":
    main()
