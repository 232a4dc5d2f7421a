import asyncio
import shutil
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from virtual_clock import VirtualClockLoop
from waiting import PATIENCE


@pytest.fixture
def now():
    return lambda: asyncio.get_running_loop().time()


@pytest.fixture
async def slow_server():
    """A real server that takes ten seconds to answer, after a line it sends at once."""

    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"wait\n")
        await asyncio.sleep(10)
        await response.write(b"done\n")
        return response

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_an_hour_takes_no_time(now):
    before = time.monotonic()
    await asyncio.sleep(3600)
    assert 3600 == now()
    assert PATIENCE > time.monotonic() - before


async def test_timers_end_in_the_order_of_their_times(now):
    ended = []

    async def wait(seconds):
        await asyncio.sleep(seconds)
        ended.append((seconds, now()))

    await asyncio.gather(*(wait(seconds) for seconds in (30, 0.5, 1800, 2, 0.25)))
    assert [(0.25, 0.25), (0.5, 0.5), (2, 2), (30, 30), (1800, 1800)] == ended


async def test_work_takes_no_virtual_time(now):
    time.sleep(0.01)  # noqa: ASYNC251 the loop is held up on purpose
    await asyncio.sleep(0)
    assert 0 == now()


async def test_the_clock_stands_still_while_a_thread_works(now):
    async with asyncio.timeout(0.1):
        await asyncio.to_thread(time.sleep, 0.2)
    assert 0 == now()


async def test_the_clock_stands_still_while_a_name_is_resolved(now):
    async with asyncio.timeout(0.001):
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    assert 0 == now()


async def test_a_thread_nobody_waits_for_any_more_does_not_hold_the_clock(now):
    work = asyncio.create_task(asyncio.to_thread(time.sleep, 0.1))
    await asyncio.sleep(0)
    work.cancel()
    await asyncio.sleep(60)
    assert 60 == now()


async def test_a_timeout_cancels_at_its_time(now):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(90):
            await asyncio.Event().wait()
    assert 90 == now()


async def test_wait_for_returns_what_comes_in_time_and_raises_otherwise(now):
    assert "came" == await asyncio.wait_for(asyncio.sleep(59, "came"), 60)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.sleep(61), 60)
    assert 119 == now()


async def test_a_real_exchange_ends_when_the_virtual_clock_says_so(slow_server, now):
    async with aiohttp.ClientSession() as http, http.get(slow_server, timeout=aiohttp.ClientTimeout(20)) as response:
        assert b"wait\n" == await response.content.readline()
        assert 0 == now()
        assert b"done\n" == await response.content.readline()
        assert 10 == now()


async def test_a_real_exchange_times_out_when_the_virtual_clock_says_so(slow_server, now):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as http, http.get(slow_server) as response:
        with pytest.raises(TimeoutError):
            await response.read()
    assert 5 == now()


async def test_many_exchanges_side_by_side_see_one_clock(slow_server, now):
    async def ask(http, after):
        await asyncio.sleep(after)
        async with http.get(slow_server) as response:
            await response.read()
        return now()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        ends = await asyncio.gather(*(ask(http, after) for after in range(100)))
    assert [10 + after for after in range(100)] == ends


async def test_a_kept_connection_does_not_make_time_run(slow_server, now):
    async with aiohttp.ClientSession() as http:
        async with http.get(slow_server) as response:
            await response.read()
        before = time.monotonic()
        await asyncio.sleep(1800)
        assert 1810 == now()
    assert PATIENCE > time.monotonic() - before


async def test_a_megabyte_over_a_real_socket_takes_no_virtual_time(now):
    async def echo(reader, writer):
        writer.write(await reader.readexactly(1 << 20))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server, asyncio.timeout(0.001):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(bytes(1 << 20))
        assert 1 << 20 == len(await reader.read(-1))
        writer.close()
    assert 0 == now()


@pytest.mark.parametrize(
    ("main", "reason"),
    [
        pytest.param(lambda: asyncio.Event().wait(), "deadlock: nothing is scheduled", id="nothing is scheduled"),
        pytest.param(lambda: asyncio.to_thread(time.sleep, 0.2), "a thread is still at work", id="a thread hangs"),
    ],
)
def test_a_wait_for_nothing_is_given_up_with_its_reason(main, reason):
    with asyncio.Runner(loop_factory=lambda: VirtualClockLoop(guard=0.05)) as runner:
        with pytest.raises(RuntimeError, match=f"{reason}.*Task-"):
            runner.run(main())
        runner.get_loop().guard = 5


def test_the_threads_may_take_their_time_to_end():
    """From Python 3.12 on, the loop waits for its threads under a timeout of five minutes, and warns after it."""

    async def main():
        work = asyncio.create_task(asyncio.to_thread(time.sleep, 0.2))
        await asyncio.sleep(1)
        work.cancel()

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(main())
        loop = runner.get_loop()
    assert 1 == loop.time()


@pytest.mark.realtime
async def test_a_test_marked_realtime_has_the_real_clock():
    before = time.monotonic()
    await asyncio.sleep(0.05)
    assert 0.04 < time.monotonic() - before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        pytest.param("asyncio.create_task(asyncio.sleep(60), name='straggler')", "straggler", id="a task left running"),
        pytest.param("asyncio.create_task(fail())\n    await asyncio.sleep(1)", "never retrieved", id="a lost error"),
        pytest.param("fail()", "was never awaited", id="a forgotten await"),
        pytest.param("asyncio.get_running_loop().call_soon(divmod, 1, 0)", "ZeroDivisionError", id="a failed callback"),
    ],
)
def test_a_loose_end_fails_the_test(body, complaint, pytester):
    source = f"import asyncio\nasync def fail(): raise OSError\nasync def test_it():\n    {body}\n"
    result = _run(pytester, source)
    assert 0 != result.ret
    result.stdout.fnmatch_lines([f"*{complaint}*"])


def test_a_complaint_may_be_expected(pytester):
    source = """
        import asyncio
        async def test_it(loop_complaints):
            asyncio.get_running_loop().call_soon(divmod, 1, 0)
            await asyncio.sleep(1)
            assert "ZeroDivisionError" in loop_complaints.pop()
    """
    assert 0 == _run(pytester, source).ret


def _run(pytester, source):
    for name in ("conftest.py", "support/virtual_clock.py"):
        shutil.copy(Path(__file__).parent / name, pytester.path)
    pytester.makeini("""
        [pytest]
        asyncio_mode = auto
        asyncio_default_fixture_loop_scope = function
        filterwarnings = error
        markers = realtime
    """)
    pytester.makepyfile(source)
    return pytester.runpytest_inprocess()


@pytest.mark.slow
def test_a_trace_in_the_working_folder_fails_the_test_that_left_it(pytester):
    source = """
        import pathlib
        def test_one(): pathlib.Path("sweep-images").mkdir()
        def test_two(): pass
    """
    result = _run(pytester, source)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_one*", "*sweep-images*"])
