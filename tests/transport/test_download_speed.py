import pytest

from cometflux.transport.download import LEAST_SPEED, Progress

KIB = 1024


def run(turns, window=60.0, longest=600.0):
    """Begin a part at each (bytes, seconds); return the last answer, and the progress."""
    progress = Progress(window, longest)
    may_go_on = None
    for received, now in turns:
        may_go_on = progress.turn(received, now)
    return may_go_on, progress


def test_a_part_is_what_comes_in_its_time_at_the_least_speed():
    assert 1024 == LEAST_SPEED
    assert 60 * KIB == run([(0, 5.0)])[1].end
    assert 160 * KIB == run([(0, 5.0), (100 * KIB, 20.0)])[1].end
    assert KIB // 2 == run([(0, 5.0)], window=0.5)[1].end


def steadily(seconds, parts):
    """A part in every so many seconds."""
    return [(number * 60 * KIB, number * seconds) for number in range(parts + 1)]


@pytest.mark.parametrize(
    ("may_go_on", "turns"),
    [
        pytest.param(True, [(0, 0.0)], id="at the beginning"),
        pytest.param(True, steadily(60.0, 9), id="at the least speed, with one window left"),
        pytest.param(False, steadily(60.0, 10), id="at the least speed, with no window left"),
        pytest.param(True, steadily(1.0, 540), id="fast and large"),
        pytest.param(False, steadily(1.0, 541), id="fast and too large"),
        pytest.param(
            True, [*steadily(1.0, 10), (900 * KIB, 3600.0), (960 * KIB, 7200.0)], id="the process stood still"
        ),
        pytest.param(True, [(0, 0.0), (0, 50.0), (0, 100.0)], id="redirects"),
        pytest.param(False, [(0, 50.0 * hop) for hop in range(12)], id="redirects that take the whole time"),
    ],
)
def test_no_part_begins_that_would_pass_the_whole_time(may_go_on, turns):
    assert may_go_on is run(turns)[0]


def test_a_slow_download_says_how_slow_it_is_and_what_the_rule_is():
    _, progress = run([*steadily(30.0, 2)])
    assert "too slow: 3 bytes in 60 s; at least 61440 must come" == progress.describe_slow(120 * KIB + 3)
    assert "nothing within 60 s" == run([(0, 0.0)])[1].describe_slow(0)
    _, progress = run(steadily(57.0, 10))
    expected = "too slow: 614400 bytes in 570 s, and 60 s more would pass the limit of 600 s"
    assert expected == progress.describe_long(600 * KIB)
