import math

import pytest

from cometflux.engine.runtime import Standstill


@pytest.mark.parametrize(
    ("timers", "lost"),
    [
        pytest.param([(5, 5), (6, 6.5), (7, 8)], 0, id="timers that are as late as usual"),
        pytest.param([(5, 3605)], 3600, id="a process that stood still"),
        pytest.param([(5, 3605), (5, 3605), (9, 3605.1)], 3600.1, id="several timers late for one reason"),
        pytest.param([(5, 3605), (3610, 3700)], 3690, id="two times"),
        pytest.param([(math.inf, 3605), (3, 2)], 0, id="no timer, and a timer that was not waited for"),
    ],
)
def test_the_lateness_of_timers_adds_up(timers, lost):
    standstill = Standstill()
    for due, now in timers:
        standstill.note(due, now)
    assert lost == pytest.approx(standstill.seconds)
