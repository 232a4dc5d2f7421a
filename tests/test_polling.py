import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cometflux.errors import ConfigError
from cometflux.polling import LONGEST_INTERVAL, PollPolicy, Schedule, check_seconds

BAD_SECONDS = [0, -1, -0.0, math.nan, math.inf, -math.inf, 10**400, True, False, "1", None, [1], 1j]


@pytest.mark.parametrize("value", BAD_SECONDS, ids=repr)
@pytest.mark.parametrize("name", ["interval", "patience"])
def test_a_policy_refuses_what_is_no_length_of_time(name, value):
    with pytest.raises(ConfigError) as caught:
        PollPolicy(**{name: value})
    assert f"{name}={value!r}: allowed is a number of seconds above 0, and at most 1000000000" == str(caught.value)


@pytest.mark.parametrize("value", [1, 0.001, 1e9])
def test_a_policy_takes_any_length_of_time(value):
    policy = PollPolicy(interval=value, patience=value)
    assert (value, value) == (policy.interval, policy.patience)
    check_seconds("grace", value)


def test_there_is_always_a_patience():
    assert (0.5, 1800.0) == (PollPolicy().interval, PollPolicy().patience)


def times(schedule, poll, failures, start=0.0):
    """Fail a question again and again; return the times between the questions."""
    now, waits = start, []
    for _ in range(failures):
        schedule.again(poll, now, failed=True)
        waits.append(schedule.next_due - now)
        now = schedule.next_due
        assert [poll] == schedule.pop_due(now)
    return waits


def first(schedule, now=0.0, **patience):
    poll = schedule.add("a", now, **patience)
    assert [poll] == schedule.pop_due(schedule.next_due)
    return poll


def test_the_first_question_waits_for_one_interval():
    schedule = Schedule(PollPolicy(interval=0.5))
    schedule.add("a", 10.0)
    assert 10.5 == schedule.next_due
    assert [] == schedule.pop_due(10.49)
    assert ["a"] == [poll.subject for poll in schedule.pop_due(10.5)]
    assert [] == schedule.pop_due(math.inf)


def test_questions_that_fail_are_asked_ever_less_often_up_to_a_bound():
    schedule = Schedule(PollPolicy(interval=1.0, patience=1e6))
    assert [2, 4, 8, 16, 30, 30, 30] == times(schedule, first(schedule), 7)


def test_a_thousand_failures_are_no_overflow():
    schedule = Schedule(PollPolicy(interval=0.5, patience=1e6))
    assert LONGEST_INTERVAL == times(schedule, first(schedule), 1100)[-1]


def test_an_interval_longer_than_the_bound_is_kept():
    schedule = Schedule(PollPolicy(interval=100.0, patience=1e6))
    assert [100, 100] == times(schedule, first(schedule), 2)


def test_a_question_that_succeeds_forgets_the_failures():
    schedule = Schedule(PollPolicy(interval=1.0))
    poll = first(schedule)
    times(schedule, poll, 3)
    schedule.again(poll, 100.0)
    assert (101.0, 0) == (schedule.next_due, poll.failures)


@pytest.mark.parametrize(
    ("given", "ends"), [({}, 13.0), ({"patience": 2.0}, 12.0), ({"patience": 9.0}, 19.0)], ids=repr
)
def test_patience_is_the_policys_unless_given(given, ends):
    assert ends == Schedule(PollPolicy(patience=3.0)).add("a", 10.0, **given).ends


def test_nothing_is_due_later_than_patience_lasts():
    schedule = Schedule(PollPolicy(interval=5.0, patience=3.0))
    poll = schedule.add("a", 10.0)
    assert 13.0 == schedule.next_due
    assert [poll] == schedule.pop_due(13.0)
    schedule.again(poll, 12.0, failed=True)
    assert 13.0 == schedule.next_due


def test_a_question_may_be_put_off():
    schedule = Schedule(PollPolicy(patience=100.0))
    poll = first(schedule)
    schedule.put(poll, 50.0)
    assert 50.0 == schedule.next_due
    assert [poll] == schedule.clear()
    schedule.put(poll, 500.0)
    assert 100.0 == schedule.next_due


def test_what_is_due_at_the_same_time_is_asked_in_the_order_of_asking():
    schedule = Schedule(PollPolicy())
    for subject in "badc":
        schedule.add(subject, 0.0)
    assert list("badc") == [poll.subject for poll in schedule.pop_due(1.0)]


def test_an_empty_schedule_has_nothing_to_wait_for():
    schedule = Schedule(PollPolicy())
    assert (0, None, [], []) == (len(schedule), schedule.next_due, schedule.pop_due(math.inf), schedule.clear())


@given(st.floats(1e-3, 1e4), st.floats(1e-3, 1e4), st.floats(0, 1e6), st.lists(st.booleans(), max_size=40))
def test_a_question_is_neither_sooner_than_the_interval_nor_later_than_the_bound(interval, patience, start, fails):
    schedule = Schedule(PollPolicy(interval=interval, patience=patience))
    poll, now = schedule.add("a", start), start
    for failed in fails:
        due = schedule.next_due
        assert min(now + interval, poll.ends) <= due <= min(now + max(LONGEST_INTERVAL, interval), poll.ends)
        now = max(now, due)
        assert [poll] == schedule.pop_due(now)
        schedule.again(poll, now, failed=failed)


class ScheduleMachine(RuleBasedStateMachine):
    """Against a list of due times: nothing is asked early, late, twice or never."""

    def __init__(self):
        super().__init__()
        self.schedule = Schedule(PollPolicy(interval=1.0, patience=20.0))
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
        self.schedule.again(poll, self.now, failed=failed)
        assert failures == poll.failures
        self.expect(poll, self.now + min(2.0**failures, 30.0))

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

    @rule()
    def clear(self):
        assert set(self.due) == set(self.schedule.clear())
        self.taken += self.due
        self.due.clear()

    @invariant()
    def the_next_is_the_earliest(self):
        assert len(self.due) == len(self.schedule)
        assert min(self.due.values(), default=None) == self.schedule.next_due


TestSchedule = ScheduleMachine.TestCase
