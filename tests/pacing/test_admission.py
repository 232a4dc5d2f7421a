import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.engine.runtime import Runtime
from cometflux.pacing.admission import AdmissionQueue
from cometflux.pacing.limiter import Ticket
from cometflux.pacing.pacer import FIRST_WINDOW, Pacer


def opened(pacer):
    runtime = Runtime()
    runtime.enter()
    return AdmissionQueue(pacer, runtime, lambda _: None)


async def turns():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_need_not_wait_goes_through_at_once():
    gate = opened(Pacer(100))
    entering = gate.acquire()
    with pytest.raises(StopIteration):
        entering.send(None)


async def test_those_who_wait_are_let_through_in_the_order_in_which_they_came():
    pacer, through = Pacer(100, 60), []
    gate = opened(pacer)

    async def go(number):
        await gate.acquire()
        through.append((number, round(asyncio.get_running_loop().time())))
        gate.report(Ticket(0.0), "other")

    await asyncio.gather(*(go(number) for number in range(20)))
    assert list(range(20)) == [number for number, _ in through]
    # A minute's worth less the one that may leave late.
    assert 19 == pytest.approx(through[-1][1], abs=1)


async def test_nobody_overtakes_those_who_wait():
    pacer = Pacer(1)
    gate, through = opened(pacer), []
    await gate.acquire()
    waiting = [asyncio.ensure_future(gate.acquire()) for _ in range(2)]
    await turns()
    gate.report(Ticket(0.0), "other")
    late = asyncio.ensure_future(gate.acquire())
    for task in (*waiting, late):
        task.add_done_callback(through.append)
    for _ in range(2):
        await turns()
        gate.report(Ticket(0.0), "other")
    await asyncio.gather(*waiting, late)
    assert [*waiting, late] == through


async def test_nobody_overtakes_even_where_the_turn_has_come_and_the_timer_is_late():
    gate, through = opened(Pacer(100, 30)), []
    await gate.acquire()
    early = asyncio.ensure_future(gate.acquire())
    await turns()
    asyncio.get_running_loop().advance(2.5)
    late = asyncio.ensure_future(gate.acquire())
    for task in (early, late):
        task.add_done_callback(through.append)
    await asyncio.gather(early, late)
    await turns()
    assert [early, late] == through


async def fill(gate):
    for _ in range(FIRST_WINDOW):
        await gate.acquire()


async def test_who_is_cancelled_while_waiting_takes_no_place():
    pacer = Pacer(FIRST_WINDOW)
    gate = opened(pacer)
    await fill(gate)
    waiting = [asyncio.ensure_future(gate.acquire()) for _ in range(3)]
    await turns()
    waiting[0].cancel()
    waiting[1].cancel()
    gate.report(Ticket(0.0), "other")
    await turns()
    assert [True, True, False] == [task.cancelled() for task in waiting]
    assert waiting[2].done()


async def test_who_is_cancelled_just_as_his_turn_comes_gives_his_place_to_the_next():
    pacer = Pacer(FIRST_WINDOW)
    gate = opened(pacer)
    await fill(gate)
    first, second = (asyncio.ensure_future(gate.acquire()) for _ in range(2))
    await turns()
    gate.report(Ticket(0.0), "other")
    first.cancel()
    await turns()
    assert first.cancelled()
    assert second.done()


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from(["enter", "leave", "cancel", "turn"]), st.integers(0, 50)), max_size=80))
def test_no_place_is_lost_whatever_is_cancelled(steps):
    async def play():
        pacer = Pacer(3)
        gate, tasks, left = opened(pacer), [], set()
        for step, number in [*steps, ("turn", 0)]:
            inside = [task for task in tasks if task.done() and not task.cancelled() and task not in left]
            match step:
                case "enter":
                    tasks.append(asyncio.ensure_future(gate.acquire()))
                case "leave" if inside:
                    left.add(inside[number % len(inside)])
                    gate.report(Ticket(0.0), "other")
                case "cancel" if tasks:
                    tasks[number % len(tasks)].cancel()
                case "turn":
                    await turns()
        inside = [task for task in tasks if task.done() and not task.cancelled() and task not in left]
        waiting = [task for task in tasks if not task.done()]
        assert len(inside) == 3 or not waiting
        for _ in range(len(inside) + len(waiting)):
            gate.report(Ticket(0.0), "other")
            await turns()
        assert all(task.done() for task in tasks)

    asyncio.run(play())
