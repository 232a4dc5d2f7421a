"""The lowest delay of any poll schedule when the distribution of prediction times is known.

Dynamic programming over a grid of ages finds the schedule with the lowest sum of delay and price per poll, for many
prices (R. E. Barlow, L. C. Hunter, F. Proschan, "Optimum Checking Procedures", Journal of the Society for Industrial
and Applied Mathematics 11, 1963). A mix of two such schedules gives the numbers of polls in between.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

Distribution = Callable[[float], float]
"""A function from an age, in seconds, to the share of predictions that have ended by then."""
_POINTS = 500
_REST = 1e-5


def lognormal(median: float, sigma: float) -> Distribution:
    """Return a lognormal distribution of prediction times."""
    return lambda age: 0.5 * (1 + math.erf(math.log(age / median) / sigma / math.sqrt(2))) if age > 0 else 0.0


def mixture(share: float, fast: Distribution, slow: Distribution) -> Distribution:
    """Return a mix of two distributions, with a *share* of slow predictions."""
    return lambda age: (1 - share) * fast(age) + share * slow(age)


class Optimum:
    """The lowest mean delay for each mean number of polls."""

    def __init__(self, over: Distribution, longest: float) -> None:
        self._ages = _grid(over, longest)
        self._over = [over(age) for age in self._ages]
        self._over[-1] = 1.0
        # The integral of the age over the share that ends at it.
        pieces = (
            (a + b) / 2 * (q - p) for (a, b), (p, q) in zip(pairwise(self._ages), pairwise(self._over), strict=True)
        )
        self._moments = [*accumulate(pieces, initial=0.0)]
        prices = [0.01 * 1.4**step for step in range(16)]
        self._points = sorted(self._solve(price) for price in prices)

    def delay(self, polls: float) -> float:
        """Return the lowest mean delay with *polls* polls per prediction, in seconds."""
        place = min(max(bisect_left(self._points, (polls, 0.0)), 1), len(self._points) - 1)
        (few, late), (many, soon) = self._points[place - 1 : place + 1]
        return late + (polls - few) / (many - few) * (soon - late)

    def _solve(self, price: float) -> tuple[float, float]:
        """Return the mean number of polls and the mean delay of the best schedule at a *price* per poll."""
        last = len(self._ages) - 1
        cost, following = [0.0] * (last + 1), [last] * (last + 1)
        for here in range(last - 1, -1, -1):
            cost[here], following[here] = min(
                (price * (1 - self._over[here]) + self._wait(here, there) + cost[there], there)
                for there in range(here + 1, last + 1)
            )
        here, polls, delay = 0, 0.0, 0.0
        while here < last:
            there = following[here]
            polls += 1 - self._over[here]
            delay += self._wait(here, there)
            here = there
        return polls, delay

    def _wait(self, here: int, there: int) -> float:
        """Return the delay of the predictions that end between two polls, times their share."""
        return self._ages[there] * (self._over[there] - self._over[here]) - (self._moments[there] - self._moments[here])


def _grid(over: Distribution, longest: float) -> Sequence[float]:
    """Return ages with about equally many ends between neighbours and no large gaps."""
    fine = [longest * (step / 20_000) for step in range(20_001)]
    shares = [over(age) for age in fine]
    ages, last = [0.0], 0.0
    for age, share in zip(fine, shares, strict=True):
        place = share + age / longest * 0.5
        if place - last >= 1.5 / _POINTS and share < 1 - _REST:
            ages.append(age)
            last = place
    return [*ages, longest]
