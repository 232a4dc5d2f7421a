"""Estimate when predictions end, from the polls so far. Pure arithmetic; ages are in seconds.

A poll shows only whether a prediction was over at some age. So its end is known to lie between two polls (interval
censored), and for a prediction that still runs only its age is known (right censored). Both are counted on a grid of
ages, each a tenth longer than the one before. The hazard of ending is estimated from these counts by the EM algorithm
with smoothing between the rounds:

    B. W. Silverman, M. C. Jones, J. D. Wilson, D. W. Nychka, "A smoothed EM approach to indirect estimation problems",
    Journal of the Royal Statistical Society B 52 (1990).

Old observations count less than new ones, so the estimate follows a service that changes. Memory is bounded by the
grid, and the time to count an observation does not depend on the number of earlier ones.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

_FIRST, _LAST, _RATIO = 0.02, 3600.0, 1.1
_EDGES = [0.0, *(_FIRST * _RATIO**step for step in range(math.ceil(math.log(_LAST / _FIRST, _RATIO)) + 1))]
_COUNT = len(_EDGES) - 1
# Ages are looked up by their square roots, because on that scale the density of polls is even within a bin.
_ROOTS = [math.sqrt(edge) for edge in _EDGES]
_STEP = math.log(_RATIO)
_OLD_AFTER = 500
"""After this many ends, an observation counts 1/e as much."""
_LARGEST_WEIGHT = 1e6
_LEAST = 1e-3
"""A smaller number of ends counts as zero."""
_PRIOR, _PRIOR_RATE = 0.005, 5.0
"""The prior counts as this many predictions, which end at this rate at any age."""
_ROUNDS = 3
_NARROWEST, _WIDEST = 0.06, 0.5


class Hazard:
    """The rate at which predictions end, by age."""

    def __init__(self, rates: Sequence[float]) -> None:
        self.rates = rates
        """The hazard in each bin, per unit of the logarithm of age."""
        self._risks = [*accumulate((rate * _STEP for rate in rates), initial=0.0)]
        """The hazard from age 0 to each edge."""
        # The hazard is rate/age within a bin, so the integral of its root is proportional to the root of the age.
        widths = (later - earlier for earlier, later in pairwise(_ROOTS))
        areas = (2 * math.sqrt(rate) * width for rate, width in zip(rates, widths, strict=True))
        self._roots = [*accumulate(areas, initial=0.0)]
        """The integral of the root of the hazard from age 0 to each edge."""

    def surviving(self, age: float) -> float:
        """Return the share of predictions that are not over at *age*."""
        return math.exp(-_read(_ROOTS, self._risks, math.sqrt(age)))

    @property
    def surviving_at_edges(self) -> list[float]:
        """The same at each edge of the grid."""
        return [math.exp(-risk) for risk in self._risks]

    @property
    def median(self) -> float:
        """The age at which half of all predictions are over; the end of the grid if fewer ever are."""
        return _read(self._risks, _ROOTS, math.log(2)) ** 2

    def after(self, age: float, gap: float) -> float:
        """Return the age at which the root of the hazard, integrated since *age*, reaches *gap*; inf if it never does.

        Polls at such ages have a density proportional to the root of the hazard. For a given number of polls, that
        finds the ends soonest (J. B. Keller, "Optimum checking schedules for systems subject to random failure",
        Management Science 21, 1974).
        """
        goal = _read(_ROOTS, self._roots, math.sqrt(age)) + gap
        return math.inf if goal > self._roots[-1] else _read(self._roots, _ROOTS, goal) ** 2


def _read(places: list[float], values: list[float], place: float) -> float:
    """Interpolate a curve that is straight between its points and constant after its last point."""
    right = bisect_right(places, place)
    if right >= len(places):
        return values[-1]
    left = right - 1
    share = (place - places[left]) / (places[right] - places[left])
    return values[left] + share * (values[right] - values[left])


def _locate(age: float) -> float:
    """Return an age's position on the grid: the number of its bin, plus the fraction of the bin before it."""
    root = math.sqrt(age)
    bin_ = bisect_right(_ROOTS, root) - 1
    if bin_ >= _COUNT:
        return float(_COUNT)
    return bin_ + (root - _ROOTS[bin_]) / (_ROOTS[bin_ + 1] - _ROOTS[bin_])


class CompletionTimes:
    """Counts when the predictions of one model end, as far as polls show."""

    def __init__(self) -> None:
        self.ends = 0
        """How many predictions were seen to end."""
        self._weight = 1.0
        """The weight of a new observation. It grows, so that earlier observations count less."""
        self._intervals: dict[tuple[int, int], float] = {}
        """How often an end was seen to lie between two bins."""
        self._running = [0.0] * (_COUNT + 1)
        """How many ran through a whole bin, as differences: the sum up to a bin is the bin's count."""
        self._partly = [0.0] * (_COUNT + 1)
        """How many ran through part of a bin, times the part."""
        self._rates: Sequence[float] = [_PRIOR_RATE] * _COUNT

    def ran(self, since: float, age: float) -> None:
        """Count a prediction that was not over at *age*, and was already known to run at the age *since*."""
        start, end = _locate(max(since, 0.0)), _locate(max(since, age, 0.0))
        first, last = int(start), int(end)
        if first == last:
            self._partly[first] += self._weight * (end - start)
            return
        self._partly[first] += self._weight * (first + 1 - start)
        self._partly[last] += self._weight * (end - last)
        self._running[first + 1] += self._weight
        self._running[last] -= self._weight

    def ended(self, since: float, age: float) -> None:
        """Count a prediction that was over at *age*, and was still running at the age *since*."""
        bins = (self._bin(since), self._bin(age))
        self._intervals[bins] = self._intervals.get(bins, 0.0) + self._weight
        self.ends += 1
        self._weight *= math.exp(1 / _OLD_AFTER)
        if self._weight > _LARGEST_WEIGHT:
            self._rescale()

    @staticmethod
    def _bin(age: float) -> int:
        return min(int(_locate(max(age, 0.0))), _COUNT - 1)

    def _rescale(self) -> None:
        """Set the weight of a new observation back to 1, and drop counts that are practically zero."""
        scale, self._weight = 1 / self._weight, 1.0
        self._intervals = {bins: n * scale for bins, n in self._intervals.items() if n * scale > _LEAST}
        self._running = [n * scale for n in self._running]
        self._partly = [n * scale for n in self._partly]

    def estimate(self) -> Hazard:
        """Estimate the hazard from all observations, starting from the previous estimate."""
        self._rescale()
        # Rounding may make the sums slightly negative.
        sums = zip(accumulate(self._running), self._partly, strict=True)
        alive = [max(whole + part, 0.0) for whole, part in sums][:_COUNT]
        for _ in range(_ROUNDS):
            ends, at_risk = self._expect(Hazard(self._rates), alive)
            width = _bandwidth(ends)
            ends, at_risk = _smooth(ends, width), _smooth(at_risk, width)
            prior = _PRIOR * _PRIOR_RATE * _STEP
            self._rates = [(n + prior) / ((m + _PRIOR) * _STEP) for n, m in zip(ends, at_risk, strict=True)]
        return Hazard(self._rates)

    def _expect(self, hazard: Hazard, alive: Sequence[float]) -> tuple[list[float], list[float]]:
        """Return the expected number of ends in each bin, and of predictions at risk there, for this *hazard*."""
        left = hazard.surviving_at_edges
        shares, rests = [0.0] * (_COUNT + 1), [0.0] * (_COUNT + 1)
        for (first, last), count in self._intervals.items():
            share = count / max(left[first] - left[last + 1], 1e-300)
            for sums, value in ((shares, share), (rests, share * left[last + 1])):
                sums[first] += value
                sums[last + 1] -= value
        ends, at_risk = [], []
        for number, (share, rest) in enumerate(zip(accumulate(shares[:-1]), accumulate(rests[:-1]), strict=True)):
            before, after = left[number], left[number + 1]
            ends.append(max((before - after) * share, 0.0))
            at_risk.append(alive[number] + max((before + after) / 2 * share - rest, 0.0))
        return ends, at_risk


def _bandwidth(ends: Sequence[float]) -> float:
    """Choose the width of smoothing for a hump that holds half of all ends, so that several humps stay separate."""
    count = sum(ends)
    if count <= _LEAST:
        return _WIDEST
    # The middle half of a normal distribution is 1.349 standard deviations wide; 0.9 is Silverman's rule of thumb. His
    # power of 1/5 is for a single hump. With 1/3, three humps are separate after 200 ends, and one is found as well.
    width = 0.9 * _shortest_half(ends, count) / 1.349 / math.pow(max(count, 1.0), 1 / 3)
    return min(max(width, _NARROWEST), _WIDEST)


def _shortest_half(ends: Sequence[float], count: float) -> float:
    """Return the length of the shortest interval that holds half of all ends, on a logarithmic scale."""
    best, held, right = float(_COUNT), 0.0, 0
    for left in range(_COUNT):
        while right < _COUNT and held < count / 2:
            held += ends[right]
            right += 1
        if held < count / 2:
            break
        spare = (held - count / 2) / ends[right - 1] if ends[right - 1] else 0.0
        best = min(best, right - left - min(spare, 1.0))
        held -= ends[left]
    return max(best, 1.0) * _STEP


def _smooth(values: Sequence[float], width: float) -> list[float]:
    """Smooth by a normal distribution of this *width*. Values that would fall outside the grid are lost."""
    reach = math.ceil(3 * width / _STEP)
    weights = [math.exp(-0.5 * (step * _STEP / width) ** 2) for step in range(-reach, reach + 1)]
    total = sum(weights)
    smooth = [0.0] * (_COUNT + 2 * reach)
    for number, value in enumerate(values):
        if value:
            for step, weight in enumerate(weights):
                smooth[number + step] += value * weight / total
    return smooth[reach : reach + _COUNT]
