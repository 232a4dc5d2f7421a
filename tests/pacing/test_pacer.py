"""The pacer alone, and before limiters of every kind, in a time of their own."""

import heapq
import itertools
import math
import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.errors import ConfigError
from cometflux.number_checks import check_limit
from cometflux.pacing.circuit_breaker import CircuitBreaker
from cometflux.pacing.pacer import FIRST_PAUSE, FIRST_WINDOW, LONGEST_OWN_PAUSE, Pacer
from cometflux.pacing.retry import Retries
from cometflux.protocol.rate_headers import LONGEST_PAUSE

NAN, INF = math.nan, math.inf


def leaving(pacer, now, count):
    """Return when each of *count* requests leaves that come at *now*, each answered at once."""
    moments = []
    for _ in range(count):
        now = pacer.opens(now)
        sent = pacer.enter(now)
        pacer.leave()
        moments.append(now)
        assert sent >= now
    return moments


def gaps(moments):
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


def own_pauses(pacer, count, named=None):
    """Have one request after another refused, each sent as soon as it may be; return how long each pause is."""
    now, lengths = 0.0, []
    for _ in range(count):
        lengths.append(pacer.report(pacer.enter(now), now, "refused", named))
        now = pacer.opens(now)
    return lengths


def widen(pacer):
    """Have so many requests accepted that all places are open, each after a second."""
    for _ in range(90):
        pacer.report(pacer.enter(-1.0), 0.0, "accepted")


def stop(pacer, now, named=None):
    """Have the only request in flight refused; return the length of the pause."""
    return pacer.report(pacer.enter(now), now, "refused", named)


# ── the window ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_held_back_without_a_reason():
    pacer = Pacer(100)
    assert [5.0] * 1000 == leaving(pacer, 5.0, 1000)
    assert INF == pacer.rate


def fill(pacer, now):
    """Let as many leave as may; return how many."""
    count = 0
    while pacer.opens(now) <= now:
        pacer.enter(now)
        count += 1
    return count


@pytest.mark.parametrize(("took", "more"), [(0.2, 3), (10.0, 3), (0.1, 1), (0.0, 0)])
def test_a_success_opens_a_place_and_less_than_one_if_it_came_quickly(took, more):
    """Where a response takes 30 ms, the window would double again and again before the first refusal comes back."""
    pacer = Pacer(100)
    sent = [pacer.enter(0.0) for _ in range(FIRST_WINDOW)]
    assert INF > pacer.opens(0.0) > 0.0
    for each in sent[:3]:
        pacer.report(each, took, "accepted")
    assert 3 + more == fill(pacer, took)


@pytest.mark.parametrize("most", [1, 5, 40, 100])
def test_never_more_are_under_way_than_may_be(most):
    pacer = Pacer(most)
    widen(pacer)
    assert most == fill(pacer, 0.0)
    assert INF == pacer.opens(1e6)


def test_where_nothing_is_answered_more_may_be_under_way_after_a_while():
    """Then the service hangs, and it is not speed that is the matter."""
    pacer = Pacer(100)
    seen = [fill(pacer, now) for now in (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 9.0)]
    assert [10, 0, 10, 20, 40, 20, 0] == seen


def test_a_window_that_is_still_full_when_it_has_grown_lets_nobody_through():
    pacer = Pacer(100)
    widen(pacer)
    assert 100 == fill(pacer, 0.0)
    pacer.hold(1.0, 0.5)
    assert 0 == fill(pacer, 2.0)
    assert 3.0 == pacer.opens(2.0)


def test_a_pause_halves_what_may_be_under_way():
    pacer = Pacer(100)
    widen(pacer)
    for each in [pacer.enter(0.0) for _ in range(3)]:
        pacer.report(each, 0.0, "refused", 2.0)
    now = pacer.opens(0.0)
    pacer.report(pacer.enter(now), now, "accepted")
    count, end = 0, now + 0.9
    while (now := pacer.opens(now)) < end:
        pacer.enter(now)
        count += 1
    assert 50 == count


# ── the pause ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refusal_pauses_all():
    pacer = Pacer(100)
    assert 5.0 == pacer.refused(9.0, 10.0, 5.0)
    assert 15.0 == pacer.resume
    assert 15.0 == pacer.opens(10.0) == pacer.opens(14.99)
    assert 15.0 == pacer.opens(15.0)


@pytest.mark.parametrize("named", [1.5, 2.0, 42.0, 300.0])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_time_longer_than_a_second_is_kept_to_the_letter(named, is_known):
    pacer = Pacer(100)
    if is_known:
        stop(pacer, -2.0)
        pacer.report(pacer.enter(-1.0), -1.0, "accepted")
    assert named == stop(pacer, 0.0, named)
    assert named == pacer.opens(0.0)


@pytest.mark.parametrize(
    ("named", "length"), [(1e9, 300.0), (INF, 300.0), (-5.0, FIRST_PAUSE), (-INF, FIRST_PAUSE), (NAN, FIRST_PAUSE)]
)
def test_a_pause_that_nobody_can_mean_is_bounded(named, length):
    assert length == Pacer(100).refused(0.0, 0.0, named)


@pytest.mark.parametrize("named", [0.0, 0.3, 1.0])
def test_a_second_means_some_part_of_it_so_a_probe_is_sent_now_and_then(named):
    assert [0.03, 0.06, 0.12, 0.24, 0.48, 0.96, 1, 1] == pytest.approx(own_pauses(Pacer(100), 8, named))


def test_pauses_that_the_service_puts_no_figure_to_double_up_to_a_bound():
    assert [0.03 * 2**power for power in range(10)] + [30, 30] == pytest.approx(own_pauses(Pacer(100), 12))
    assert LONGEST_OWN_PAUSE == own_pauses(Pacer(100), 2000)[-1]


def test_a_success_makes_the_next_pause_a_first_one():
    pacer = Pacer(100)
    own_pauses(pacer, 4)
    now = pacer.opens(10.0)
    pacer.report(pacer.enter(now), now, "accepted")
    assert [None, None, pytest.approx(FIRST_PAUSE)] == refuse_all(pacer, now + 1, 3)


def refuse_all(pacer, now, count):
    """Have so many requests refused that are in flight at the same time."""
    sent = [pacer.enter(now) for _ in range(count)]
    return [pacer.report(each, now, "refused") for each in sent]


def test_one_probe_leaves_when_all_in_flight_are_answered():
    pacer = Pacer(100)
    sent = [pacer.enter(0.0) for _ in range(5)]
    pacer.report(sent[0], 0.1, "refused", 1.0)
    for each in sent[1:]:
        assert 0.1 < pacer.opens(0.1)
        pacer.report(each, 0.1, "refused", 1.0)
    assert 0.1 + FIRST_PAUSE == pacer.opens(0.1)
    pacer.enter(0.2)
    assert 0.5 < pacer.opens(0.5), "one, not a herd"


def test_a_probe_leaves_after_a_second_though_others_are_never_answered():
    pacer = Pacer(100)
    sent = [pacer.enter(0.0) for _ in range(5)]
    pacer.report(sent[0], 0.5, "refused", 1.0)
    assert 1.5 == pacer.opens(0.5)


@pytest.mark.parametrize("count", [1, 2])
def test_once_a_rate_is_known_fewer_than_three_refusals_in_a_row_stop_nothing(count):
    pacer = Pacer(100)
    stop(pacer, 0.0)
    pacer.report(pacer.enter(0.1), 0.1, "accepted")
    assert [None] * count == refuse_all(pacer, 0.2, count)
    assert pacer.opens(0.3) < 0.4


def test_once_a_rate_is_known_three_refusals_in_a_row_stop_all():
    pacer = Pacer(100)
    stop(pacer, 0.0)
    pacer.report(pacer.enter(0.1), 0.1, "accepted")
    assert [None, None, pytest.approx(FIRST_PAUSE)] == refuse_all(pacer, 0.2, 3)


def test_refusals_of_what_had_left_before_belong_to_the_same_pause():
    pacer = Pacer(100)
    sent = [pacer.enter(9.0) for _ in range(4)]
    lengths = [pacer.report(each, now, "refused") for each, now in zip(sent, (10.0, 10.1, 10.2, 10.9), strict=True)]
    assert [pytest.approx(FIRST_PAUSE), None, None, None] == lengths
    assert 10.9 == pacer.opens(10.9)
    # The next pause is the second, not the fifth.
    assert 2 * FIRST_PAUSE == pytest.approx(stop(pacer, 11.0))


def test_a_straggler_that_names_a_longer_time_is_believed():
    pacer = Pacer(100)
    pacer.refused(9.0, 10.0, 2.0)
    assert pacer.refused(9.5, 10.5, 6.5) is None
    assert 17.0 == pacer.resume


def test_a_straggler_never_shortens_the_pause():
    pacer = Pacer(100)
    pacer.refused(9.0, 10.0, 60.0)
    pacer.refused(9.5, 11.0, 1.0)
    pacer.refused(9.5, 13.0, None)
    assert 70.0 == pacer.resume


def test_after_a_pause_requests_leave_one_by_one():
    pacer = Pacer(100)
    leaving(pacer, 0.0, 20)
    stop(pacer, 0.1, 5.0)
    pacer.report(pacer.enter(5.1), 5.1, "accepted")
    moments = leaving(pacer, 5.1, 10)
    assert all(gap > 0.01 for gap in gaps(moments[1:]))


def left_late(late):
    """Return when the next request may leave after twenty that each left *late* seconds later than they might."""
    pacer, now = Pacer(100), 0.1
    stop(pacer, 0.0)
    pacer.report(pacer.enter(now), now, "accepted")
    for _ in range(20):
        now = pacer.opens(now) + late
        pacer.enter(now)
        pacer.leave()
    return pacer.opens(now)


def test_a_request_that_leaves_a_little_late_does_not_delay_the_next_ones():
    """A busy loop calls each of its timers late."""
    assert left_late(0.0) == pytest.approx(left_late(0.018), abs=0.02)


def test_others_that_were_refused_hold_all_but_cut_no_rate():
    pacer = Pacer(100)
    widen(pacer)
    pacer.hold(5.0, 1.0)
    assert 5.0 == pacer.opens(1.0)
    assert INF == pacer.rate
    assert FIRST_WINDOW == fill(pacer, 5.0), "and no herd behind it"


# ── what answers tell of the requests that remain ────────────────────────────────────────────────────────────────────


def test_where_none_remain_the_reset_is_waited_for():
    pacer = Pacer(100)
    pacer.enter(0.0)
    pacer.apply_quota(0, 7, 1.0)
    assert 8.0 == pacer.opens(1.0)
    assert INF == pacer.rate, "nothing was refused"


def test_where_fewer_remain_than_are_under_way_the_reset_is_waited_for():
    pacer = Pacer(100)
    fill(pacer, 0.0)
    pacer.leave()
    pacer.apply_quota(10, 7, 0.0)
    assert 0.0 == pacer.opens(0.0)
    pacer.apply_quota(9, 7, 0.0)
    assert 7.0 == pacer.opens(0.0)
    # An answer that was overtaken tells of what was before.
    pacer.apply_quota(12, 7, 0.0)
    assert 7.0 == pacer.opens(0.0)


def test_where_plenty_remain_nothing_is_held_back():
    pacer = Pacer(100)
    pacer.apply_quota(599, 1, 0.0)
    assert [0.0] * 500 == leaving(pacer, 0.0, 500)


def test_a_reset_is_waited_for_no_longer_than_any_pause():
    pacer = Pacer(100)
    pacer.enter(0.0)
    pacer.apply_quota(0, 1e9, 0.0)
    assert LONGEST_PAUSE == pacer.opens(0.0)


# ── a limit that is known ────────────────────────────────────────────────────────────────────────────────────────────


endings = st.sampled_from(["accepted", "accepted", "accepted", "refused", "other"])


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0.5, 6, 59, 60, 600, 3000])
@given(st.lists(st.tuples(st.integers(1, 80), st.floats(0, 90), endings), max_size=8))
def test_no_minute_wherever_it_begins_holds_more_than_the_known_limit(limit, pauses):
    pacer, now, moments = Pacer(100, limit), 0.0, []
    for count, seconds, ending in [*pauses, (200, 0.0, "accepted")]:
        for _ in range(count):
            now = pacer.opens(now)
            pacer.report(pacer.enter(now), now, ending)
            moments.append(now)
        now += seconds
    for seconds, most in [(60, max(math.ceil(limit), 1)), (10, math.floor(limit / 6 * 1.05) + 1)]:
        assert all(later - each >= seconds - 1e-6 for each, later in zip(moments, moments[most:], strict=False))


@pytest.mark.parametrize("limit", [30, 600, 3000])
def test_a_known_limit_is_used_and_spaced_evenly(limit):
    moments = leaving(Pacer(200, limit), 0.0, 3 * limit)
    assert 3 * limit / moments[-1] * 60 == pytest.approx(limit, rel=0.03)
    assert max(gaps(moments)) <= 60 / limit * 1.02


@pytest.mark.parametrize("limit", [0, -1, NAN, INF, True, False, "600", b"600", [600]])
def test_a_limit_that_is_no_number_of_requests_is_refused(limit):
    with pytest.raises(ConfigError, match=r"creates_per_minute=.*: must be None or a number of requests a minute"):
        check_limit("creates_per_minute", limit)


@pytest.mark.parametrize("limit", [1e-300, 5e-324, 10**400, 1e308])
def test_a_limit_beyond_all_reason_still_gives_times(limit):
    moments = leaving(Pacer(100, limit), 0.0, 3)
    assert all(math.isfinite(moment) for moment in moments)


# ── limiters ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.define
class Bucket:
    """Lets *burst* requests through at once, and *rate* a second; either may change with the time."""

    rate: object
    burst: object
    tokens: float = INF
    at: float = 0.0

    def wait(self, now):
        """Take a token; return 0.0, or in how many seconds there is one."""
        rate = self.rate(now)
        self.tokens = min(self.burst(now), self.tokens + (now - self.at) * rate)
        self.at = now
        if self.tokens < 1:
            return (1 - self.tokens) / rate
        self.tokens -= 1
        return 0.0


@attrs.define
class Window:
    """Lets *most* requests through in each second of the clock."""

    most: int
    second: int = 0
    count: int = 0

    def wait(self, now):
        """Count a request; return 0.0, or in how many seconds the next window begins."""
        if int(now) > self.second:
            self.second, self.count = int(now), 0
        if self.count >= self.most:
            return self.second + 1 - now
        self.count += 1
        return 0.0


FORMS = {
    "in whole seconds": lambda now, wait: math.ceil(wait),
    "as a date": lambda now, wait: math.ceil(now + wait) - now,
    "absent": lambda now, wait: None,
    "exact": lambda now, wait: wait,
}
TRIP = 0.05


def run(bucket, form, seconds, *, trip=TRIP):
    """Send as fast as the pacer lets, without end; return when each was accepted, and how many were refused."""
    chance, pacer, events, number = random.Random(1), Pacer(100), [], itertools.count()
    accepted, refused, looks_at = [], 0, -1.0

    def later(at, *what):
        heapq.heappush(events, (at, next(number), *what))

    def pump(now):
        nonlocal looks_at
        while (opens := pacer.opens(now)) <= now:
            later(now + trip / 2 * (1 + 0.3 * chance.random()), "arrives", pacer.enter(now))
        if opens < INF and not now < looks_at <= opens:
            looks_at = opens
            later(opens, "looks", 0.0)

    pump(0.0)
    while events[0][0] < seconds:
        now, _, what, sent, *waits = heapq.heappop(events)
        if what == "arrives":
            later(now + trip / 2, "answered", sent, bucket.wait(now))
        elif what == "answered":
            if waits[0]:
                refused += 1
                pacer.report(sent, now, "refused", FORMS[form](now, waits[0]))
            else:
                accepted.append(now)
                pacer.report(sent, now, "accepted")
        pump(now)
    return accepted, refused


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("share", "goodput"), [(1.0, 0.95), (0.2, 0.85)], ids=["a second's worth", "a fifth of it"])
@pytest.mark.parametrize("rate", [50, 10])
def test_an_unknown_limit_is_used_and_seldom_overstepped(rate, share, goodput, form):
    accepted, refused = run(Bucket(lambda now: rate, lambda now: rate * share), form, 60)
    assert goodput <= len(accepted) / 60 / rate <= 1.05
    assert refused / len(accepted) <= 0.1


@pytest.mark.parametrize("most", [50, 20])
def test_the_rate_of_a_limiter_that_counts_by_the_second_is_learned_though_each_rejection_is_one_of_several(most):
    """From one short pause to the next, it is measured."""
    accepted, refused = run(Window(most), "in whole seconds", 60, trip=0.03)
    assert 0.9 <= len(accepted) / 60 / most, (len(accepted) / 60 / most, refused / len(accepted))
    assert refused / len(accepted) <= 0.04, (len(accepted) / 60 / most, refused / len(accepted))


@pytest.mark.parametrize("form", FORMS)
def test_a_limit_is_found_where_a_round_trip_takes_half_a_second(form):
    accepted, refused = run(Bucket(lambda now: 50, lambda now: 50), form, 60, trip=0.5)
    assert 0.9 <= len(accepted) / 60 / 50
    assert refused / len(accepted) <= 0.12


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [1.0, 0.2], ids=["a second's worth", "a fifth of it"])
def test_a_limit_that_steps_is_followed(share, form):
    def rate(now):
        return 10 if 20 <= now < 40 else 50

    accepted, refused = run(Bucket(rate, lambda now: rate(now) * share), form, 62)

    def between(start, end):
        return sum(start <= each < end for each in accepted) / (end - start)

    assert 7 <= between(26, 40) <= 11, "fallen within a few seconds"
    assert 25 <= between(54, 62), "and found again"
    assert refused / len(accepted) <= 0.1


@pytest.mark.parametrize("which", [0, 20, 39])
def test_a_refusal_now_and_then_slows_nothing_down(which):
    """One of many that is refused alone was not refused for the speed."""
    pacer = Pacer(100)
    widen(pacer)
    for now in range(20):
        sent = [pacer.enter(now) for _ in range(40)]
        for number, each in enumerate(sent):
            pacer.report(each, now + 0.5, "refused" if number == which else "accepted", 1.0)
        assert 40 <= fill(pacer, now + 0.5 + FIRST_PAUSE), "at once"
        for _ in range(pacer._under_way):
            pacer.leave()
    assert INF == pacer.rate


# ── whatever comes ───────────────────────────────────────────────────────────────────────────────────────────────────

numbers = st.floats(0, 400) | st.sampled_from([0.0, 1e9, -1.0, INF, -INF, NAN])
jumps = st.floats(-50, 50) | st.floats(-1e9, 1e9) | st.sampled_from([INF, -INF])
steps = st.lists(
    st.tuples(st.sampled_from(["enter", "leave", "refused", "accepted", "hold", "told"]), jumps, numbers, numbers),
    max_size=60,
)


@pytest.mark.slow
@given(steps, st.none() | st.floats(1, 1e5))
def test_whatever_the_clock_does_no_wait_is_negative_none_is_endless_and_none_is_no_number(steps, limit):
    pacer, now, under_way = Pacer(20, limit), 100.0, 0
    longest = LONGEST_PAUSE + (60 / limit * 2 if limit else 0) + 60
    for step, seconds, figure, other in steps:
        clock = now + seconds
        if math.isfinite(clock):
            now = clock
        opens = pacer.opens(clock)
        assert opens == opens
        if math.isfinite(clock):
            assert 0 <= opens - clock
            assert opens == INF or opens - clock <= longest + 1e-3 * max(1, abs(clock) * 1e-9)
        match step:
            case "enter" if opens <= clock and math.isfinite(clock):
                pacer.enter(clock)
                under_way += 1
            case "leave" if under_way:
                pacer.leave()
                under_way -= 1
            case "refused":
                length = pacer.refused(clock - other, clock, None if figure > 300 else figure)
                assert length is None or 0 <= length <= LONGEST_PAUSE + 1e-3
            case "accepted":
                pacer.accepted(clock - other, clock)
            case "hold":
                pacer.hold(clock + figure, clock)
            case "told":
                pacer.apply_quota(figure, other, clock)
        assert 0 < pacer.rate


# ── what repeating may add ───────────────────────────────────────────────────────────────────────────────────────────


class Moment:
    """A clock that is set."""

    def __init__(self):
        self.at = 0.0

    def now(self):
        return self.at


def taken(retries, clock, now, tries=1000):
    clock.at = now
    return sum(retries.take() == 0 for _ in range(tries))


def test_ten_may_be_repeated_within_a_minute():
    retries = Retries(clock := Moment())
    assert [10, 0, 0, 10] == [taken(retries, clock, now) for now in (0.0, 30.0, 60.0, 62.0)]


def test_a_tenth_of_the_first_tries_may_be_repeated_where_that_is_more():
    retries = Retries(clock := Moment())
    for _ in range(500):
        retries.first()
    assert 50 == taken(retries, clock, 1.0)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 300), st.integers(0, 40)), max_size=40))
def test_no_minute_holds_more_repetitions_than_may_be(steps):
    retries, firsts, repeated = Retries(clock := Moment()), [], []
    for seconds, tries, more in steps:
        clock.at = now = clock.at + seconds
        for _ in range(tries):
            retries.first()
            firsts.append(now)
        if count := taken(retries, clock, now, more):
            repeated += [now] * count
            # Seconds are kept whole, so that a little more than a minute counts.
            allowed = max(10, sum(each > now - 62 for each in firsts) // 10)
            assert sum(each > now - 60 for each in repeated) <= allowed


def test_a_clock_that_was_set_back_forgets_what_is_to_come():
    retries = Retries(clock := Moment())
    assert [10, 10] == [taken(retries, clock, now) for now in (1e6, 0.0)]


# ── the breaker ──────────────────────────────────────────────────────────────────────────────────────────────────────


def lost(breaker, *moments):
    """Tell what the breaker says of submissions that leave one after the other and are lost at these times."""
    return [breaker.unknown(breaker.number(), now) for now in moments]


def test_several_unknowns_in_a_short_time_trip_the_breaker():
    assert [False, False, True] == lost(CircuitBreaker(most=3, seconds=60.0), 0.0, 30.0, 60.0)


def test_unknowns_far_apart_do_not():
    assert [False] * 5 == lost(CircuitBreaker(most=3, seconds=60.0), 0.0, 40.0, 80.0, 120.0, 160.0)


def test_only_the_last_ones_count():
    assert [False, False, False, True] == lost(CircuitBreaker(most=3, seconds=60.0), 0.0, 100.0, 101.0, 102.0)


def test_one_that_was_answered_ends_the_row():
    breaker = CircuitBreaker(most=3, seconds=60.0)
    assert [False, False] == lost(breaker, 0.0, 1.0)
    breaker.number()
    assert [False, False, True] == lost(breaker, 2.0, 3.0, 4.0)


def test_a_row_is_in_the_order_of_sending_and_not_of_noticing():
    """Of many in flight the lost ones may be noticed first, long before the answers between them come."""
    breaker = CircuitBreaker(most=3, seconds=60.0)
    numbers = [breaker.number() for _ in range(50)]
    assert not any(breaker.unknown(number, 1.0) for number in numbers[::2])
    assert breaker.unknown(numbers[7], 2.0)


def test_five_within_a_minute_are_too_many():
    assert [False] * 4 + [True] == lost(CircuitBreaker(), 0.0, 1.0, 2.0, 3.0, 4.0)
