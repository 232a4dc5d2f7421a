import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cometflux.errors import ConfigError
from cometflux.number_checks import check_seconds
from cometflux.polling.policy import LONGEST_INTERVAL, PollPolicy
from cometflux.polling.schedule import Schedule

BAD_SECONDS = [0, -1, -0.0, math.nan, math.inf, -math.inf, 10**400, True, False, "1", None, [1], 1j]


@pytest.mark.parametrize("value", BAD_SECONDS, ids=repr)
@pytest.mark.parametrize("name", ["floor", "ceiling", "patience"])
def test_a_policy_refuses_a_value_that_is_not_a_length_of_time(name, value):
    with pytest.raises(ConfigError) as caught:
        PollPolicy(**{name: value})
    assert f"{name}={value!r}: must be a number of seconds above 0, and at most 1000000000" == str(caught.value)


@pytest.mark.parametrize("value", [1, 0.001, 1e9])
def test_a_policy_takes_any_length_of_time(value):
    policy = PollPolicy(floor=value, ceiling=value, patience=value)
    assert (value, value, value) == (policy.floor, policy.ceiling, policy.patience)
    check_seconds("grace", value)


@pytest.mark.parametrize("value", [0, 0.99, -4, math.nan, math.inf, 1001, True, "4", None], ids=repr)
def test_a_policy_refuses_a_value_that_is_not_a_number_of_polls(value):
    with pytest.raises(ConfigError) as caught:
        PollPolicy(polls=value)
    assert f"polls={value!r}: must be a number of polls from 1 to 1000" == str(caught.value)


def test_a_policy_refuses_a_floor_above_its_ceiling():
    with pytest.raises(ConfigError) as caught:
        PollPolicy(floor=31.0)
    assert "floor=31.0: must be at most the ceiling, which is 30.0" == str(caught.value)


def test_there_is_always_a_patience():
    assert PollPolicy(polls=4.0, floor=0.05, ceiling=30.0, patience=1800.0) == PollPolicy()


every = PollPolicy.every


def times(schedule, poll, failures, start=0.0):
    """Fail one poll after the other; return the gaps between them."""
    now, waits = start, []
    for _ in range(failures):
        schedule.fail(poll, now)
        waits.append(schedule.next_due - now)
        now = schedule.next_due
        assert [poll] == schedule.pop_due(now)
    return waits


def first(schedule, now=0.0, **patience):
    poll = schedule.add("a", now, **patience)
    assert [poll] == schedule.pop_due(schedule.next_due)
    return poll


def test_the_first_poll_waits_for_one_interval():
    schedule = Schedule(every(0.5))
    schedule.add("a", 10.0)
    assert 10.5 == schedule.next_due
    assert [] == schedule.pop_due(10.49)
    assert ["a"] == [poll.subject for poll in schedule.pop_due(10.5)]
    assert [] == schedule.pop_due(math.inf)


def test_failing_polls_become_rarer_up_to_a_bound():
    schedule = Schedule(every(1.0, patience=1e6))
    assert [2, 4, 8, 16, 30, 30, 30] == times(schedule, first(schedule), 7)


def test_a_thousand_failures_do_not_overflow():
    schedule = Schedule(every(0.5, patience=1e6))
    assert LONGEST_INTERVAL == times(schedule, first(schedule), 1100)[-1]


def test_an_interval_longer_than_the_bound_is_kept():
    schedule = Schedule(every(100.0, patience=1e6))
    assert [100, 100] == times(schedule, first(schedule), 2)


def test_a_poll_that_succeeds_resets_the_failures():
    schedule = Schedule(every(1.0))
    poll = first(schedule)
    times(schedule, poll, 3)
    schedule.reschedule(poll, 100.0, 100.0)
    assert (101.0, 0) == (schedule.next_due, poll.failures)


@pytest.mark.parametrize(
    ("given", "ends"), [({}, 13.0), ({"patience": 2.0}, 12.0), ({"patience": 9.0}, 19.0)], ids=repr
)
def test_patience_is_the_policys_unless_given(given, ends):
    assert ends == Schedule(PollPolicy(patience=3.0)).add("a", 10.0, **given).ends


def test_nothing_is_due_later_than_patience_lasts():
    schedule = Schedule(every(5.0, patience=3.0))
    poll = schedule.add("a", 10.0)
    assert 13.0 == schedule.next_due
    assert [poll] == schedule.pop_due(13.0)
    schedule.fail(poll, 12.0)
    assert 13.0 == schedule.next_due


def test_a_poll_may_be_delayed():
    schedule = Schedule(PollPolicy(patience=100.0))
    poll = first(schedule)
    schedule.put(poll, 50.0)
    assert 50.0 == schedule.next_due
    assert [poll] == schedule.pop_due(50.0)
    schedule.put(poll, 500.0)
    assert 100.0 == schedule.next_due


def test_polls_due_at_the_same_time_keep_their_order():
    schedule = Schedule(every(0.5))
    for subject in "badc":
        schedule.add(subject, 0.0)
    assert list("badc") == [poll.subject for poll in schedule.pop_due(1.0)]


def test_an_empty_schedule_has_nothing_to_wait_for():
    schedule = Schedule(PollPolicy())
    assert (0, None, []) == (len(schedule), schedule.next_due, schedule.pop_due(math.inf))


@given(st.floats(1e-3, 1e4), st.floats(1e-3, 1e4), st.floats(0, 1e6), st.lists(st.booleans(), max_size=40))
def test_a_poll_is_neither_sooner_than_the_interval_nor_later_than_the_bound(interval, patience, start, fails):
    schedule = Schedule(every(interval, patience=patience))
    poll, now = schedule.add("a", start), start
    for failed in fails:
        due = schedule.next_due
        soonest, latest = (min(now + gap, poll.ends) for gap in (interval, max(LONGEST_INTERVAL, interval)))
        # Sums in another order differ in the last digit.
        assert soonest * (1 - 1e-12) <= due <= latest * (1 + 1e-12)
        now = max(now, due)
        assert [poll] == schedule.pop_due(now)
        schedule.fail(poll, now) if failed else schedule.reschedule(poll, now, now)


class ScheduleMachine(RuleBasedStateMachine):
    """Compare with a list of due times: no poll is early, late, repeated or missing."""

    def __init__(self):
        super().__init__()
        self.schedule = Schedule(every(1.0, patience=20.0))
        self.now = 0.0
        self.due = {}
        self.taken = []

    def expect(self, poll, due):
        self.due[poll] = min(due, poll.ends)

    @rule(patience=st.none() | st.floats(0.1, 50))
    def add(self, patience):
        poll = self.schedule.add(len(self.due), self.now, patience)
        assert self.now + (20.0 if patience is None else patience) == poll.ends
        self.expect(poll, self.now + 1.0)

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), failed=st.booleans())
    def again(self, data, failed):
        poll = self.taken.pop(data.draw(st.integers(0, len(self.taken) - 1)))
        failures = poll.failures + 1 if failed else 0
        self.schedule.fail(poll, self.now) if failed else self.schedule.reschedule(poll, self.now, self.now)
        assert failures == poll.failures
        # Ages are counted from acceptance, so the last digit may differ.
        due = self.now + min(2.0**failures, 30.0) if failed else poll.began + ((self.now - poll.began) + 1.0)
        self.expect(poll, max(due, self.now + 1.0))

    @precondition(lambda self: self.taken)
    @rule(wait=st.floats(0, 40))
    def put(self, wait):
        poll = self.taken.pop()
        self.schedule.put(poll, self.now + wait)
        self.expect(poll, self.now + wait)

    @rule(seconds=st.floats(0, 10))
    def time_passes(self, seconds):
        self.now += seconds
        popped = self.schedule.pop_due(self.now)
        expected = {poll for poll, due in self.due.items() if due <= self.now}
        assert len(popped) == len(expected)
        assert set(popped) == expected
        order = [self.due.pop(poll) for poll in popped]
        assert sorted(order) == order
        self.taken += popped

    @invariant()
    def the_next_is_the_earliest(self):
        assert len(self.due) == len(self.schedule)
        assert min(self.due.values(), default=None) == self.schedule.next_due


TestSchedule = pytest.mark.slow(ScheduleMachine.TestCase)


# ── what is learned ──────────────────────────────────────────────────────────────────────────────────────────────────


def lognormal(chance, median, sigma):
    return median * math.exp(sigma * chance.gauss(0, 1))


def make(schedule, count, draw, *, slots=16, now=0.0):
    """Run *count* predictions of drawn lengths; return the number of polls of each, and how late its end was seen."""
    polls, delays = [], []
    asked = {}

    def start():
        asked[schedule.add(draw(), now, model="m")] = 0

    for _ in range(slots):
        start()
    while len(delays) < count:
        now = schedule.next_due
        for poll in schedule.pop_due(now):
            asked[poll] += 1
            late = now - poll.began - poll.subject
            if late >= 0:
                schedule.end(poll, now)
                polls.append(asked.pop(poll))
                delays.append(late)
                start()
            else:
                schedule.reschedule(poll, now, now)
    schedule.pop_due(math.inf)
    return polls, delays


def test_first_polls_are_spread_while_nothing_is_known():
    schedule, dues = Schedule(PollPolicy()), []
    for number in range(40):
        schedule.add(number, 0.0)
        dues.append(schedule.next_due)
        schedule.pop_due(1.0)
    assert (0.25, 0.5) <= (min(dues), max(dues))
    assert max(dues) <= 0.5
    assert 40 == len(set(dues))


@pytest.mark.slow
@pytest.mark.parametrize("polls", [2.0, 4.0, 10.0])
def test_a_prediction_takes_as_many_polls_as_the_policy_says(polls):
    chance = random.Random(1)
    schedule = Schedule(PollPolicy(polls=polls))
    make(schedule, 600, lambda: lognormal(chance, 3.0, 0.4))
    taken, _ = make(schedule, 2000, lambda: lognormal(chance, 3.0, 0.4))
    assert polls == pytest.approx(statistics.mean(taken), rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.3, 0.6])
def test_a_learned_timetable_finds_the_end_sooner_with_no_more_polls(sigma):
    chance = random.Random(2)
    fixed, fixed_delays = make(Schedule(every(0.5)), 2000, lambda: lognormal(chance, 2.0, sigma))
    schedule = Schedule(PollPolicy(polls=statistics.mean(fixed)))
    make(schedule, 50, lambda: lognormal(chance, 2.0, sigma))
    taken, delays = make(schedule, 2000, lambda: lognormal(chance, 2.0, sigma))
    assert statistics.mean(taken) <= statistics.mean(fixed) * 1.1
    assert statistics.mean(delays) <= statistics.mean(fixed_delays) * (0.6 if sigma == 0.3 else 0.9)


@pytest.mark.slow
def test_a_service_that_becomes_slower_or_faster_is_followed():
    chance = random.Random(3)
    schedule = Schedule(PollPolicy())
    for round_, median in enumerate([1.0, 8.0, 0.5]):
        make(schedule, 1500, lambda median=median: lognormal(chance, median, 0.3), now=round_ * 1e6)
        taken, delays = make(
            schedule, 1000, lambda median=median: lognormal(chance, median, 0.3), now=round_ * 1e6 + 5e5
        )
        assert statistics.mean(taken) <= 5.5
        assert statistics.mean(delays) <= 0.12 * median


@pytest.mark.slow
@pytest.mark.parametrize(("slots", "late"), [(1, 8), (4, 12), (16, 26)])
def test_a_service_that_becomes_three_times_faster_is_noticed_soon(slots, late):
    chance, schedule = random.Random(6), Schedule(PollPolicy())
    make(schedule, 600, lambda: lognormal(chance, 6.0, 0.3), slots=slots)
    taken, delays = make(schedule, 300, lambda: lognormal(chance, 2.0, 0.3), slots=slots, now=1e6)
    assert sum(delay > 1.0 for delay in delays) <= late
    # Those whose first poll was chosen before tell little, and must not lead to more polls afterwards.
    assert statistics.mean(taken[:100]) <= 5.0


@pytest.mark.slow
@pytest.mark.parametrize("polls", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("sigma", [0.1, 0.6])
def test_a_service_that_stays_as_it_is_is_not_learned_anew(polls, sigma):
    chance, schedule = random.Random(7), Schedule(PollPolicy(polls=polls))
    make(schedule, 2000, lambda: lognormal(chance, 2.0, sigma))
    assert 2000 <= schedule.add("a", 1e6, model="m").timetable.observed.ends


def test_predictions_that_ended_long_before_their_first_poll_do_not_make_a_service_faster():
    """As when they are resumed, or after a standstill of the process."""
    chance, schedule = random.Random(8), Schedule(PollPolicy())
    make(schedule, 100, lambda: lognormal(chance, 5.0, 0.3))
    known = schedule.add("a", 1e6, model="m").timetable
    for number in range(200):
        schedule.end(schedule.add(number, 1e6, model="m", age=60.0), 1e6)
    assert known is schedule.add("b", 1e6, model="m").timetable


@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.2])
def test_a_small_batch_of_an_unknown_model_takes_few_polls_and_ends_soon(sigma, monkeypatch):
    lengths = [15.0 * math.exp(sigma * random.Random(number).gauss(0, 1)) for number in range(20)]
    left = iter([*lengths, *[1e6] * 20])
    schedule, ends = Schedule(PollPolicy(patience=1e9)), []
    monkeypatch.setattr(schedule, "end", lambda poll, now: (ends.append(now), Schedule.end(schedule, poll, now)))
    taken, _ = make(schedule, 20, lambda: next(left), slots=20)
    assert statistics.mean(taken) <= 8
    assert max(ends) <= 1.2 * max(lengths)


@pytest.mark.parametrize("length", [0.3, 1.0, 3.0, 10.0, 40.0, 120.0])
def test_the_end_of_a_single_prediction_of_an_unknown_model_is_noticed_within_a_tenth_of_its_time(length):
    _, [delay] = make(Schedule(PollPolicy()), 1, lambda: length, slots=1)
    assert delay <= max(0.1 * length, 0.5)


def test_a_batch_that_fills_its_slots_at_once_learns_from_the_first_that_end():
    """A poll that was planned before the first estimate comes sooner after it."""
    chance, schedule = random.Random(4), Schedule(PollPolicy())
    _, delays = make(schedule, 256, lambda: lognormal(chance, 0.4, 0.3), slots=256)
    _, fixed = make(Schedule(every(0.5)), 256, lambda: lognormal(chance, 0.4, 0.3), slots=256)
    assert statistics.mean(delays) < 0.06
    assert statistics.mean(delays) < statistics.mean(fixed) / 3


def test_a_failed_poll_is_not_brought_forward_by_a_new_estimate():
    schedule = Schedule(PollPolicy())
    failing = schedule.add("a", 0.0, model="m")
    schedule.pop_due(1.0)
    times(schedule, failing, 3, start=1.0)
    schedule.fail(failing, 10.0)
    due = schedule.next_due
    ended = [schedule.add(number, 9.7, model="m") for number in range(30)]
    schedule.pop_due(10.0)
    for poll in ended:
        schedule.end(poll, 10.1)
    for number in range(60):
        schedule.add(number, 10.1, model="m")
    assert failing not in schedule.pop_due(math.nextafter(due, 0.0))
    assert [failing] == [poll for poll in schedule.pop_due(due) if poll is failing]


def test_each_model_is_learned_by_itself():
    schedule = Schedule(PollPolicy())
    make(schedule, 100, lambda: 5.0)
    learned = schedule.add("a", 1e6, model="m")
    unknown = schedule.add("b", 1e6, model="n")
    assert unknown is schedule.pop_due(1e6 + 0.5)[0]
    assert 1e6 + 2 < schedule.next_due
    assert learned.ends == unknown.ends


def test_one_that_may_long_be_over_is_asked_after_at_once():
    schedule = Schedule(PollPolicy())
    poll = schedule.add("a", 100.0, age=50.0)
    assert (100.0, 50.0, 1900.0) == (schedule.next_due, poll.began, poll.ends)


@given(
    st.lists(
        st.tuples(st.sampled_from(["ran", "failed", "over"]), st.floats(-10, 4000), st.floats(-10, 10)), max_size=60
    )
)
def test_whatever_the_clock_does_the_next_poll_is_within_the_bounds(steps):
    """A clock may jump, backwards too, and a prediction may take no time at all."""
    schedule, now = Schedule(PollPolicy()), 0.0
    poll = schedule.add("a", now, model="m")
    for what, passes, jump in steps:
        schedule.pop_due(math.inf)
        now += passes
        if what == "over":
            schedule.end(poll, now + jump)
            poll = schedule.add("a", now, model="m")
        elif what == "ran":
            schedule.reschedule(poll, now + jump, now)
        else:
            schedule.fail(poll, now)
        assert schedule.next_due <= max(poll.ends, now + 30.0)
        assert math.isfinite(schedule.next_due)


# ── where not all that is due may be asked ───────────────────────────────────────────────────────────────────────────


def ask_for(schedule, polls, seconds, most):
    """Make the due polls, *most* a second; return the times of each prediction's polls."""
    asked = {poll.subject: [] for poll in polls}
    free = 0.0
    while (due := schedule.next_due) is not None and due < seconds:
        for poll in schedule.pop_due(due):
            now = free = max(due, free)
            free += 1 / most
            asked[poll.subject].append(now)
            schedule.reschedule(poll, now, now, most)
    return asked


def test_below_the_rate_limit_no_gap_is_stretched():
    schedule = Schedule(PollPolicy.every(0.5))
    polls = [schedule.add(number, 0.0) for number in range(10)]
    asked = ask_for(schedule, polls, 60.0, 1000.0)
    assert 119 <= min(len(each) for each in asked.values())


@pytest.mark.slow
@given(st.integers(20, 200), st.floats(1, 20))
def test_where_fewer_may_be_asked_than_are_due_every_gap_is_stretched_alike(demand, most):
    schedule = Schedule(PollPolicy.every(1.0, patience=1e6))
    polls = [schedule.add(number, 0.0) for number in range(demand)]
    seconds = 40 * max(demand / most, 1.0)
    asked = ask_for(schedule, polls, seconds, most)
    counts = [len(each) for each in asked.values()]
    assert min(counts) >= 0.7 * max(counts), "none is forgotten"
    assert sum(counts) >= 0.8 * min(most, demand) * seconds, "and what may be asked is asked"


def test_a_prediction_that_is_over_is_no_longer_counted():
    schedule = Schedule(PollPolicy.every(1.0))
    polls = [schedule.add(number, 0.0) for number in range(100)]
    for poll in polls[1:]:
        schedule.pop_due(1.0)
        schedule.end(poll, 1.0)
    schedule.reschedule(polls[0], 1.0, 1.0, 1.0)
    assert 2.0 == schedule.next_due


@pytest.mark.parametrize(("most", "due"), [(1000.0, 3.0), (100.0, 3.0), (50.0, 4.0), (10.0, 12.0)])
def test_a_gap_is_stretched_by_as_much_as_is_due_too_much(most, due):
    schedule = Schedule(PollPolicy.every(1.0))
    polls = [schedule.add(number, 0.0) for number in range(100)]
    schedule.pop_due(1.0)
    for poll in polls:
        schedule.reschedule(poll, 1.0, 1.0)
    schedule.pop_due(2.0)
    schedule.reschedule(polls[0], 2.0, 2.0, most)
    assert due == pytest.approx(schedule.next_due)
