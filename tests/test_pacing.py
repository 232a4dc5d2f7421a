import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.pacing import LONGEST_OWN_PAUSE, Breaker, Pacer


def leaving(pacer, now, count):
    """Return when each of *count* requests may leave that ask for their place at *now*."""
    return [pacer.reserve(now) for _ in range(count)]


def gaps(moments):
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


def own_pauses(pacer, count):
    """Earn one pause after another that the service puts no figure to; return how long each is."""
    now, lengths = 0.0, []
    for _ in range(count):
        lengths.append(pacer.refused(now, now, None))
        now = pacer.resume
    return lengths


def test_nothing_is_held_back_without_a_reason():
    pacer = Pacer()
    assert [5.0] * 100 == leaving(pacer, 5.0, 100)
    assert not pacer.is_paused(0.0)


def test_a_refusal_pauses_all():
    pacer = Pacer()
    assert 5.0 == pacer.refused(9.0, 10.0, 5.0)
    assert (15.0, True, True, False) == (
        pacer.resume,
        pacer.is_paused(10.0),
        pacer.is_paused(14.99),
        pacer.is_paused(15.0),
    )
    assert all(moment >= 15.0 for moment in leaving(pacer, 11.0, 10))


@pytest.mark.parametrize("named", [0.0, 0.5, 42.0, 300.0])
def test_the_pause_is_as_long_as_the_service_names(named):
    assert named == Pacer().refused(0.0, 0.0, named)


def test_pauses_that_the_service_puts_no_figure_to_double_up_to_a_bound():
    assert [1, 2, 4, 8, 16, 30, 30] == own_pauses(Pacer(), 7)
    assert LONGEST_OWN_PAUSE == own_pauses(Pacer(), 2000)[-1]


def test_a_success_makes_the_next_pause_a_first_one():
    pacer = Pacer()
    own_pauses(pacer, 4)
    pacer.accepted(1e6)
    assert 1.0 == pacer.refused(100.0, 100.0, None)


def test_refusals_of_what_had_left_before_belong_to_the_same_pause():
    pacer = Pacer()
    pacer.refused(9.0, 10.0, None)
    for arrived in (10.1, 10.2, 10.9):
        pacer.refused(9.5, arrived, None)
    assert 11.0 == pacer.resume
    # The next pause is the second, not the fifth.
    assert 2.0 == pacer.refused(11.0, 12.0, None)


def test_a_straggler_that_names_a_longer_time_is_believed():
    pacer = Pacer()
    pacer.refused(9.0, 10.0, 1.0)
    assert 6.5 == pacer.refused(9.5, 10.5, 6.5)
    assert 17.0 == pacer.resume


def test_a_straggler_never_shortens_the_pause():
    pacer = Pacer()
    pacer.refused(9.0, 10.0, 60.0)
    assert 59.0 == pacer.refused(9.5, 11.0, 1.0)
    assert 57.0 == pacer.refused(9.5, 13.0, None)
    assert 70.0 == pacer.resume


def test_a_straggler_after_the_pause_begins_no_other():
    pacer = Pacer()
    pacer.refused(9.0, 10.0, 1.0)
    assert 0.0 == pacer.refused(9.5, 50.0, None)
    assert not pacer.is_paused(50.0)


def test_after_a_pause_requests_leave_one_by_one():
    pacer = Pacer()
    pacer.refused(0.0, 0.0, 5.0)
    moments = leaving(pacer, 1.0, 10)
    assert 5.0 == moments[0]
    assert all(gap > 0 for gap in gaps(moments))


def test_the_start_is_more_careful_after_each_pause_up_to_a_bound():
    pacer, widths = Pacer(), []
    for number in range(12):
        pacer.refused(100.0 * number, 100.0 * number, 1.0)
        widths += gaps(leaving(pacer, 100.0 * number + 50, 2))
    assert sorted(widths) == widths
    assert widths[0] < widths[3]
    assert widths[-1] == widths[-2] == pytest.approx(1.0)


def test_every_success_narrows_the_gap_until_there_is_none():
    pacer = Pacer()
    for number in range(12):
        pacer.refused(float(number), float(number), 1.0)
    now, widths = 100.0, []
    for _ in range(100):
        now = pacer.reserve(now + 10)
        widths.append(pacer.reserve(now) - now)
        pacer.accepted(now)
    assert sorted(widths, reverse=True) == widths
    assert 0.0 == widths[-1]
    assert [now + 10] * 20 == leaving(pacer, now + 10, 20)


def test_success_without_a_pause_changes_nothing():
    pacer = Pacer()
    pacer.accepted(1.0)
    assert [1.0, 1.0] == leaving(pacer, 1.0, 2)


steps = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "refused", "accepted"]),
        st.floats(0, 50),
        st.none() | st.floats(0, 300),
        st.floats(0, 5),
    ),
    max_size=60,
)


@given(steps)
def test_nothing_leaves_early_during_a_pause_and_no_pause_goes_on_for_ever(steps):
    pacer, now = Pacer(), 0.0
    for step, seconds, named, ago in steps:
        now += seconds
        before = pacer.resume
        if step == "reserve":
            leave = pacer.reserve(now)
            assert leave >= now
            assert not pacer.is_paused(leave)
        elif step == "refused":
            length = pacer.refused(max(now - ago, 0.0), now, named)
            assert length >= 0
            assert before <= pacer.resume <= max(before, now + (LONGEST_OWN_PAUSE if named is None else named))
            assert named is None or pacer.resume >= now + named
        else:
            pacer.accepted(now)
            assert before == pacer.resume


# The breaker.


def lost(breaker, *moments):
    """Tell what the breaker says of submissions that leave one after the other and are lost at these times."""
    return [breaker.unknown(breaker.number(), now) for now in moments]


def test_several_unknowns_in_a_short_time_trip_the_breaker():
    assert [False, False, True] == lost(Breaker(most=3, seconds=60.0), 0.0, 30.0, 60.0)


def test_unknowns_far_apart_do_not():
    assert [False] * 5 == lost(Breaker(most=3, seconds=60.0), 0.0, 40.0, 80.0, 120.0, 160.0)


def test_only_the_last_ones_count():
    assert [False, False, False, True] == lost(Breaker(most=3, seconds=60.0), 0.0, 100.0, 101.0, 102.0)


def test_one_that_was_answered_ends_the_row():
    breaker = Breaker(most=3, seconds=60.0)
    assert [False, False] == lost(breaker, 0.0, 1.0)
    breaker.number()
    assert [False, False, True] == lost(breaker, 2.0, 3.0, 4.0)


def test_a_row_is_in_the_order_of_sending_and_not_of_noticing():
    """Of many in flight the lost ones may be noticed first, long before the answers between them come."""
    breaker = Breaker(most=3, seconds=60.0)
    numbers = [breaker.number() for _ in range(50)]
    assert not any(breaker.unknown(number, 1.0) for number in numbers[::2])
    assert breaker.unknown(numbers[7], 2.0)


def test_five_within_a_minute_are_too_many():
    assert [False] * 4 + [True] == lost(Breaker(), 0.0, 1.0, 2.0, 3.0, 4.0)


def test_what_had_left_before_the_pause_says_nothing_of_the_pace_after_it():
    pacer = Pacer()
    pacer.refused(1.0, 1.0, 5.0)
    for _ in range(100):
        pacer.accepted(1.0)
    assert 1 == len({*leaving(pacer, 10.0, 1)})
    assert 3 == len({*leaving(pacer, 10.0, 3)}), "one by one all the same"
