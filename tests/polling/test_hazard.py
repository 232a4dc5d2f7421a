"""The estimate of when predictions end: from intervals, with those that still run, at little cost."""

import math
import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.polling.hazard import CompletionTimes, Hazard


def watched(lengths, gap=0.5, until=math.inf):
    """Ask after predictions of these *lengths* every *gap* seconds, but not later than *until*."""
    observed = CompletionTimes()
    for number, length in enumerate(lengths):
        since, age = 0.0, gap * (0.5 + number * 0.618 % 1.0)
        while age < length and age <= until:
            observed.ran(since, age)
            since, age = age, age + gap
        if age <= until:
            observed.ended(since, age)
    return observed


def lognormal(count, median, sigma, seed=1):
    chance = random.Random(seed)
    return [median * math.exp(sigma * chance.gauss(0, 1)) for _ in range(count)]


def share(lengths, age):
    return sum(length > age for length in lengths) / len(lengths)


@pytest.mark.parametrize(
    "lengths",
    [lognormal(2000, 2.0, 0.3), lognormal(2000, 20.0, 0.6), lognormal(1400, 2.0, 0.3) + lognormal(600, 20.0, 0.3)],
    ids=["narrow", "wide", "two humps"],
)
def test_the_estimate_gives_the_share_that_still_runs_at_each_age(lengths):
    random.Random(5).shuffle(lengths)
    hazard = watched(lengths[:500], gap=0.3).estimate()
    for age in [0.2, 0.5, 1, 1.5, 2, 2.5, 3, 5, 10, 15, 20, 30, 50]:
        assert share(lengths, age) == pytest.approx(hazard.surviving(age), abs=0.09), age


def test_the_share_at_the_edges_of_the_grid_is_the_share_at_their_ages():
    hazard = watched(lognormal(200, 2.0, 0.3)).estimate()
    edges = hazard.surviving_at_edges
    assert [hazard.surviving(age) for age in (0.0, 0.02, 1e6)] == [edges[0], edges[1], edges[-1]]


def test_three_humps_stay_separate():
    lengths = [length for median in (2.0, 8.0, 32.0) for length in lognormal(70, median, 0.2)]
    random.Random(5).shuffle(lengths)
    hazard = watched(lengths, gap=0.3).estimate()
    first, between, second, later = (
        1 - hazard.surviving(age * 1.2) / hazard.surviving(age) for age in (1.8, 4, 7.2, 16)
    )
    assert max(between, later) < min(first, second) / 2


def test_those_that_still_run_count():
    """Without them, predictions that are slow would be taken for few as long as they are under way."""
    lengths = [1.0] * 50 + [100.0] * 50
    assert 0.5 == pytest.approx(watched(lengths, until=10.0).estimate().surviving(8.0), abs=0.06)


def test_ends_between_the_same_two_polls_are_separated_by_other_polls():
    lengths = lognormal(300, 2.0, 0.1)
    observed = watched(lengths, gap=1.5)
    shares = []
    for _ in range(8):
        hazard = observed.estimate()
        shares.append(hazard.surviving(1.6) - hazard.surviving(2.4))
    assert 0.7 < shares[-1], shares
    assert sorted(shares) == shares, "each estimate goes on from the one before"


def test_with_nothing_seen_there_is_an_estimate_all_the_same():
    hazard = CompletionTimes().estimate()
    assert 1.0 == hazard.surviving(0.0)
    assert 0.0 <= hazard.surviving(1.0) <= 1.0
    assert 0.0 < hazard.after(0.0, 0.5) < math.inf


def test_old_observations_count_less():
    observed = watched(lognormal(2000, 1.0, 0.2))
    for length in lognormal(2000, 10.0, 0.2):
        observed.ran(0.0, length - 0.2)
        observed.ended(length - 0.2, length)
    assert observed.estimate().surviving(3.0) > 0.9


def test_memory_does_not_grow_with_the_observations():
    observed = watched(lognormal(200, 2.0, 0.5))
    sizes = []
    for _ in range(4):
        for length in lognormal(3000, 2.0, 0.5, seed=len(sizes)):
            observed.ran(0.0, length)
            observed.ended(length, length * 1.2)
        observed.estimate()
        sizes.append(len(pickle.dumps(observed)))
    assert max(sizes) < 12_000
    assert sizes[-1] < sizes[0] * 1.3


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.booleans(), st.floats(-1, 1e5), st.floats(-1, 1e5)),
        max_size=50,
    )
)
def test_whatever_was_seen_the_estimate_is_one(seen):
    """Ages of nothing, below nothing, in the wrong order and beyond the grid."""
    observed = CompletionTimes()
    for is_over, since, age in seen:
        (observed.ended if is_over else observed.ran)(since, max(since, age))
    hazard = observed.estimate()
    left = [hazard.surviving(age) for age in (0.0, 0.01, 1.0, 10.0, 1e3, 1e6)]
    assert 1.0 == left[0]
    assert sorted(left, reverse=True) == left
    assert all(0.0 <= each <= 1.0 for each in left)
    assert all(rate > 0 for rate in hazard.rates)
    assert hazard.after(1.0, 0.1) > 1.0


@pytest.mark.slow
@given(st.floats(0, 4000), st.floats(1e-6, 50))
def test_the_root_of_the_hazard_is_integrated_to_the_gap(age, gap):
    hazard = watched(lognormal(200, 2.0, 0.5)).estimate()
    later = hazard.after(age, gap)
    assert later > age
    if later < math.inf:
        # Two halves lead to the same age as the whole.
        assert later == pytest.approx(hazard.after(hazard.after(age, gap / 2), gap / 2), rel=1e-6)


def test_a_constant_rate_on_the_logarithmic_scale_is_integrated_by_hand():
    """With a hazard of 4/age the integral of its root between 1 and 4 is 2 * 2 * (2 - 1)."""
    hazard = Hazard([4.0] * len(CompletionTimes().estimate().rates))
    assert 4.0 == pytest.approx(hazard.after(1.0, 4.0), rel=1e-9)
    assert (1 / 4) ** 4 == pytest.approx(hazard.surviving(4.0) / hazard.surviving(1.0), rel=0.02)
