"""The live lines: what they count, how they fit, and what they say only when it is known."""

from decimal import Decimal

import pytest

from cometflux.cli.terminal.progress_bar import CheckBar, ProgressBar, WaitBar
from cometflux.errors import AnswerError, ConnectError, PredictionFailedError
from cometflux.events import Accepted, Ended, Polled, Retried, Throttled
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def accept(bar, *ids):
    for number, name in enumerate(ids):
        bar(Accepted(key=name, index=number, prediction_id=name))


def end(bar, name, kind=OutcomeKind.SUCCEEDED, *, resumed=False):
    bar(Ended(key=name, index=0, kind=kind, prediction_id=name, error=None, resumed=resumed))


def poll(bar, name, status):
    bar(Polled(key=name, prediction_id=name, status=status))


def words(bar, width=80):
    return [line.plain for line in bar.lines(width)]


def test_it_tells_what_is_pending_from_what_is_being_saved(clock):
    bar = ProgressBar(2, clock)
    accept(bar, "a", "b")
    assert "2 pending, 0 succeeded" == words(bar)[1]
    poll(bar, "a", Status.SUCCEEDED)
    poll(bar, "b", Status.PROCESSING)
    assert "1 pending, 1 saving, 0 succeeded, 1.0 polls each" == words(bar)[1]
    end(bar, "a")
    assert "1 pending, 1 succeeded, 1.0 polls each" == words(bar)[1]


def test_it_does_not_wait_for_what_failed_and_is_bought_again(clock):
    bar = ProgressBar(1, clock)
    accept(bar, "1")
    bar(Retried(key="1", index=0, error=PredictionFailedError(Prediction(id="1", status=Status.FAILED))))
    accept(bar, "2")
    assert words(bar)[1].startswith("1 pending, ")


def test_what_the_accepted_predictions_cost_is_told_as_an_estimate_and_without_prices_not_at_all(clock):
    bar = ProgressBar(3, clock)
    for name, resumed in (("a", False), ("b", False), ("c", True)):
        cost = Decimal("0.04")
        bar(Accepted(key=name, index=0, prediction_id=name, resumed=resumed, estimated_cost=cost))
    assert "3 pending, 0 succeeded, $0.08 by estimate" == words(bar)[1]
    assert "3 pending, 0 succeeded" == words(bar, 40)[1]


def test_what_is_unknown_is_told_apart_from_what_failed(clock):
    bar = ProgressBar(9, clock)
    end(bar, "a", OutcomeKind.FAILED)
    end(bar, "b", OutcomeKind.REJECTED)
    end(bar, "c", OutcomeKind.UNKNOWN)
    assert "0 pending, 0 succeeded, 2 failed, 1 unknown" == words(bar)[1]


def test_neither_rate_nor_time_left_is_told_before_it_can_be_known(clock):
    bar = ProgressBar(100, clock)
    for number in range(4):
        clock.now += 10
        end(bar, str(number))
    assert "────  4/100  0:40" == words(bar)[0].removeprefix("─" * 20)
    clock.now += 10
    end(bar, "4")
    assert words(bar)[0].endswith("5/100  0:50  6/min  about 16 min left")


def test_the_time_left_follows_the_speed_of_late(clock):
    """A cold start of ten minutes says nothing of what comes behind it."""
    bar = ProgressBar(200, clock)
    clock.now += 600
    for number in range(100):
        clock.now += 1
        end(bar, str(number))
    assert words(bar)[0].endswith("100/200  11:40  60/min  about 2 min left")
    clock.now += 600
    assert "about 18 min left" in words(bar)[0], "where nothing ends any more, it takes longer"


def test_what_an_earlier_run_bought_makes_it_no_faster(clock):
    bar = ProgressBar(1000, clock)
    for number in range(500):
        clock.now += 0.0625
        end(bar, str(number), resumed=True)
    assert words(bar)[0].endswith("500/1000  0:31")


def test_a_pause_is_told_while_it_lasts_and_counted_afterwards(clock):
    bar = ProgressBar(9, clock)
    bar(Throttled(seconds=5))
    assert "slowed down by the service" in words(bar)[0]
    clock.now += 6
    assert "slowed down" not in words(bar)[0]
    assert words(bar)[1].endswith("1 x 429")


@pytest.mark.parametrize(
    "tried",
    [
        Retried(key="a", index=0, error=ConnectError("cannot connect")),
        Polled(key="a", prediction_id="a", status=None, error=ConnectError("cannot connect")),
    ],
)
@pytest.mark.parametrize(
    "reached",
    [
        Accepted(key="a", index=0, prediction_id="a"),
        Polled(key="a", prediction_id="a", status=Status.PROCESSING),
        Polled(key="a", prediction_id="a", status=None, error=AnswerError("HTTP 500")),
    ],
)
def test_it_says_that_the_service_cannot_be_reached_until_it_is_reached(tried, reached, clock):
    """A run without a network tries for minutes before its jobs end."""
    bar = ProgressBar(9, clock)
    bar(tried)
    assert words(bar)[0].endswith("0/9  0:00  no connection to the service")
    assert words(bar, 40)[0].endswith("0/9  0:00  no connection")
    bar(reached)
    assert "no connection" not in words(bar)[0]


def test_no_line_is_longer_than_the_terminal(clock):
    bar = ProgressBar(10_000, clock)
    accept(bar, *map(str, range(64)))
    for number in range(400):
        clock.now += 0.5
        poll(bar, str(number), Status.PROCESSING)
        end(bar, str(number), [OutcomeKind.SUCCEEDED, OutcomeKind.FAILED, OutcomeKind.UNKNOWN][number % 3])
    bar(Throttled(seconds=0))
    for width in range(1, 121):
        lines = bar.lines(width)
        assert all(line.cell_len < max(width, 2) for line in lines)
        if width >= 40:
            assert "133 unknown" in lines[1].plain
            assert "400/10000" in lines[0].plain
        if width >= 80:
            assert "left" in lines[0].plain
            assert lines[1].plain.endswith("6.2 polls each, 1 x 429")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1, "5 s"), (59, "60 s"), (61, "2 min"), (3500, "59 min"), (3700, "1 h 2 min"), (90_001, "25 h 1 min")],
)
def test_the_time_left_is_no_finer_than_it_can_be_known(seconds, said, clock):
    bar = ProgressBar(1005, clock)
    for number in range(5):
        end(bar, str(number))
    clock.now += seconds * 4 / 1000
    if seconds >= 250:
        assert f"about {said} left" in words(bar)[0]
    else:
        assert "left" not in words(bar)[0], "less than a second of experience"


def test_a_check_is_shown_with_its_share_once_it_takes_a_second(clock):
    bar = CheckBar("a\x1b.csv", clock)
    bar.show(1000, 0.5)
    assert [] == words(bar)
    clock.now += 1
    (line,) = words(bar, 100)
    assert "━━━━━━━━━━━━────────────  checking a\\x1b.csv  1000 rows" == line
    bar.show(2000, None)
    assert ["checking a\\x1b.csv  2000 rows"] == words(bar)
    assert all(len(line) < 20 for line in words(bar, 20))


def test_a_wait_is_shown_once_it_takes_a_second(clock):
    bar = WaitBar("the balance", clock)
    assert [] == words(bar)
    clock.now += 1
    assert ["waiting for the balance"] == words(bar)
    assert all(len(line) < 20 for line in words(bar, 20))


def test_jobs_that_earlier_runs_finished_count_as_succeeded_and_say_nothing_of_the_speed(clock):
    bar = ProgressBar(8, clock)
    bar.add_finished(6)
    clock.now += 10
    assert (6, None) == (bar.ended, bar.rate())
    assert "0 pending, 6 succeeded" == words(bar)[1]
    end(bar, "a")
    assert (7, None) == (bar.ended, bar.rate())
