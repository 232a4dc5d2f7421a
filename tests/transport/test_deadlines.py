import asyncio

import pytest
from virtual_clock import now

from cometflux.transport.deadlines import Deadline, Deadlines, postpone


async def take(deadlines, seconds):
    """Take so long in a time that runs from the beginning; return when it ended, and whether it was whole."""
    began = now()
    try:
        with Deadline(deadlines) as deadline:
            deadline.start()
            await asyncio.sleep(seconds)
    except TimeoutError:
        return now() - began, False
    return now() - began, True


async def test_what_takes_too_long_is_ended_when_its_time_is_over():
    assert (5.0, False) == await take(Deadlines(5.0), 60.0)


async def test_what_ends_in_time_is_left_alone():
    assert (4.9, True) == pytest.approx(await take(Deadlines(5.0), 4.9))
    await asyncio.sleep(60.0)


async def test_one_that_waits_for_nothing_is_left_alone_although_its_time_is_over():
    deadlines = Deadlines(5.0)
    with Deadline(deadlines) as deadline:
        deadline.start()
    await asyncio.sleep(60.0)
    assert (5.0, False) == await take(deadlines, 60.0)


async def test_each_has_its_own_time():
    deadlines = Deadlines(5.0)

    async def begin(delay, seconds):
        await asyncio.sleep(delay)
        return await take(deadlines, seconds)

    ended = await asyncio.gather(begin(0, 60), begin(1, 2), begin(3, 60), begin(3, 4), begin(20, 60), begin(30, 1))
    assert [(5, False), (2, True), (5, False), (4, True), (5, False), (1, True)] == [
        (round(seconds, 6), whole) for seconds, whole in ended
    ]


async def test_time_does_not_run_before_it_is_started():
    deadlines = Deadlines(5.0)
    began = now()
    with pytest.raises(TimeoutError), Deadline(deadlines) as deadline:
        await asyncio.sleep(60.0)
        deadline.start()
        await asyncio.sleep(60.0)
    assert 65.0 == now() - began


async def test_time_that_is_started_again_runs_from_then_on():
    deadlines = Deadlines(5.0)
    other = asyncio.ensure_future(take(deadlines, 60.0))
    began = now()
    with pytest.raises(TimeoutError), Deadline(deadlines) as deadline:
        deadline.start()
        await asyncio.sleep(3.0)
        deadline.start()
        await asyncio.sleep(60.0)
    assert 8.0 == now() - began
    assert (5.0, False) == await other


async def test_the_task_is_as_before_when_its_time_was_over():
    await take(Deadlines(5.0), 60.0)
    task = asyncio.current_task()
    assert 0 == task.cancelling()
    await asyncio.sleep(1.0)


async def test_who_is_cancelled_meanwhile_is_cancelled():
    task = asyncio.ensure_future(take(Deadlines(5.0), 60.0))
    await asyncio.sleep(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_cancelled_at_the_moment_at_which_its_time_is_over_is_cancelled():
    task = asyncio.ensure_future(take(Deadlines(5.0), 60.0))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_at(now() + 5.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_another_error_comes_through_although_the_time_was_over():
    with pytest.raises(ZeroDivisionError), Deadline(Deadlines(5.0)) as deadline:
        deadline.start()
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            raise ZeroDivisionError from None
    assert 0 == asyncio.current_task().cancelling()


async def test_a_time_out_around_it_counts_as_such():
    began = now()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3.0):
            await take(Deadlines(5.0), 60.0)
    assert 3.0 == now() - began


async def test_no_timer_is_left_after_close():
    deadlines = Deadlines(5.0)
    assert await take(deadlines, 1.0)
    deadlines.close()
    assert not [each for each in asyncio.get_running_loop()._scheduled if not each.cancelled()]


# ── a process that stood still ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("late", "again"),
    [(0.0, None), (0.01, None), (0.1, None), (0.2, 105.7), (3600.0, 3705.5)],
    ids=["in time", "as late as ever", "just not late", "a loop that computed", "a laptop that slept"],
)
def test_only_a_late_timer_is_postponed(late, again):
    assert pytest.approx(again) == postpone(105.0, 105.0 + late)


def stand_still(seconds):
    asyncio.get_running_loop().advance(seconds)


async def test_the_loop_reads_for_half_a_second_when_the_process_stood_still():
    taking = asyncio.ensure_future(take(Deadlines(5.0), 60.0))
    await asyncio.sleep(1.0)
    stand_still(30.0)
    assert (31.5, False) == await taking


async def test_whatever_ends_in_that_half_second_is_complete():
    taking = asyncio.ensure_future(take(Deadlines(5.0), 31.4))
    await asyncio.sleep(1.0)
    stand_still(30.0)
    assert (31.4, True) == pytest.approx(await taking)


async def test_whatever_was_not_due_keeps_its_own_time():
    deadlines = Deadlines(5.0)
    first = asyncio.ensure_future(take(deadlines, 60.0))
    await asyncio.sleep(4.0)
    second = asyncio.ensure_future(take(deadlines, 60.0))
    await asyncio.sleep(0.5)
    stand_still(3.0)
    assert [(8.0, False), (5.0, False)] == [await first, await second]


async def test_a_loop_that_always_computes_postpones_a_deadline_once():
    deadlines = Deadlines(5.0)
    takes = [asyncio.ensure_future(take(deadlines, 600.0)) for _ in range(3)]
    while not all(each.done() for each in takes):
        await asyncio.sleep(0.01)
        stand_still(2.0)
        assert now() < 15.0
    assert {False} == {is_whole for _, is_whole in (each.result() for each in takes)}
