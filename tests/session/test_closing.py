"""How a session ends: what is in flight is answered first, whatever is cancelled around it."""

import asyncio
import contextlib
import subprocess
import sys

import anyio
import pytest
from slow_transport import SlowTransport
from waiting import rest_of

from cometflux import Job, Journal, RetryPolicy, Session, events, sync
from cometflux.errors import ConnectError, OutputError, SessionClosedError
from cometflux.journal.header import Account
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport


def opened(service, folder=None, **options):
    account = Account(base_url=service.url, key=service.key)
    journal = folder and JournalWriter(folder, account)
    return Session(SlowTransport(service.key, service.url), journal=journal, **options)


def ends(seen):
    return {(event.kind, event.prediction_id) for event in seen if isinstance(event, events.Ended)}


def detached(service):
    return {(OutcomeKind.DETACHED, bill.id) for bill in service.bills}


@pytest.fixture(params=["kept", None], ids=["journal", "no journal"])
def folder(request, tmp_path):
    return request.param and tmp_path / request.param


async def in_flight(service):
    """Wait until three submissions are billed; their responses are still `Slow`."""
    while len(service.bills) < 3:  # noqa: ASYNC110 - the condition lies with the service
        await asyncio.sleep(0.01)


async def run_three(session):
    await asyncio.gather(*(session.run(f"picture {number}") for number in range(3)))


async def test_a_session_over_the_transport_of_a_closed_one_says_why_nothing_is_sent(service):
    transport = AiohttpTransport(service.key, service.url)
    async with Session(transport):
        pass
    async with Session(transport, retry_policy=RetryPolicy(tries=1)) as session:
        with pytest.raises(ConnectError, match="the session, or its transport, is closed; nothing was sent"):
            await session.run("x")
    assert [] == service.requests


# ── the closing task is cancelled, again and again ───────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("times", [2, 100], ids=["twice", "again and again"])
async def test_a_closing_that_is_cancelled_again_waits_for_what_is_in_flight(service, folder, times):
    seen = []

    async def work():
        async with opened(service, folder, on_event=seen.append) as session:
            await run_three(session)

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0.6)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.001)
    await asyncio.wait([task])
    assert task.cancelled(), "the cancellation is delivered afterwards"
    assert 3 == len(service.bills)
    assert detached(service) == ends(seen)


async def test_a_timeout_around_a_closing_session_is_delivered_afterwards(service):
    seen = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.9):
            async with opened(service, on_event=seen.append) as session:
                task = asyncio.ensure_future(run_three(session))
                await asyncio.sleep(0.6)
    await asyncio.wait([task])
    assert isinstance(task.exception(), SessionClosedError)
    assert detached(service) == ends(seen)


@pytest.mark.slow
@pytest.mark.realtime
async def test_a_session_in_a_cancelled_scope_of_anyio_waits_for_what_is_in_flight(service):
    seen = []
    with anyio.CancelScope() as scope:
        async with opened(service, on_event=seen.append) as session:
            cancelling = asyncio.ensure_future(cancel_when_in_flight(scope, service))
            await run_three(session)
    await cancelling
    assert 3 == len(service.bills)
    assert detached(service) == ends(seen)


async def cancel_when_in_flight(scope, service):
    await in_flight(service)
    scope.cancel()


@pytest.mark.realtime
async def test_a_session_opened_in_a_cancelled_scope_of_anyio_submits_in_order(service):
    seen = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with opened(service, on_event=seen.append) as session:
            started = [asyncio.ensure_future(session.run(f"picture {number}")) for number in range(3)]
            await asyncio.sleep(0)
    results = await asyncio.gather(*started, return_exceptions=True)
    assert detached(service) == {each for each in ends(seen) if each[0] is not OutcomeKind.NOT_SENT}
    assert {True} == {isinstance(result, SessionClosedError) for result in results}


def keyed():
    return Job.of("a boat", key="k")


async def test_closing_does_not_wait_for_a_second_caller_of_a_pending_job(service, tmp_path):
    service.latency = 100
    async with opened(service, tmp_path) as session:
        callers = [asyncio.ensure_future(session.run(keyed())) for _ in range(2)]
        while not session.pending:  # noqa: ASYNC110 - the condition lies with the session
            await asyncio.sleep(0.01)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1
    assert {SessionClosedError} == {type(each) for each in await asyncio.gather(*callers, return_exceptions=True)}
    assert 1 == len(service.bills)


async def test_closing_waits_for_a_second_caller_of_a_pending_job_who_saves_it(service, tmp_path):
    service.latency = 10
    async with opened(service, tmp_path) as session:
        callers = [session.run(keyed()), session.run(keyed(), save_to=tmp_path)]
        callers = [asyncio.ensure_future(each) for each in callers]
        while not session.pending:  # noqa: ASYNC110 - the condition lies with the session
            await asyncio.sleep(0.01)
    prediction, outcome = await asyncio.gather(*callers)
    assert (prediction.id, True) == (outcome.prediction.id, outcome.ok)
    assert 1 == len(service.bills)


class SlowOutputs(AiohttpTransport):
    """Takes its time for each output."""

    pause = 20.0

    async def download(self, url, body=None):
        await asyncio.sleep(self.pause)
        return await super().download(url, body)


async def test_closing_waits_for_images_that_the_caller_saves_or_downloads(service, tmp_path):
    async with Session(SlowOutputs(service.key, service.url)) as session:
        prediction = await session.run("a boat")
        saving = asyncio.ensure_future(session.save(prediction, tmp_path))
        downloading = asyncio.ensure_future(session.download(prediction))
        await asyncio.sleep(0)
    (path,) = await saving
    assert (path.read_bytes(),) == await downloading


async def test_images_that_the_caller_saves_are_given_up_when_the_grace_is_over(service, tmp_path):
    loop = asyncio.get_running_loop()
    async with Session(SlowOutputs(service.key, service.url), grace=5) as session:
        prediction = await session.run("a boat")
        saving = asyncio.ensure_future(session.save(prediction, tmp_path))
        began = loop.time()
        await asyncio.sleep(0)
    with pytest.raises(OutputError, match="the session, or its transport, is closed; the prediction is paid for"):
        await saving
    assert 20 <= loop.time() - began < 21
    assert [] == [*tmp_path.iterdir()]


@pytest.mark.parametrize("steps", range(4))
async def test_a_session_whose_opening_is_cancelled_leaves_its_journal_to_the_next(service, tmp_path, steps):
    opening = asyncio.ensure_future(opened(service, tmp_path).__aenter__())
    for _ in range(steps):
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with opened(service, tmp_path) as session:
        assert 0 == session.accounting["all"]


# ── the program ends ─────────────────────────────────────────────────────────────────────────────────────────────────


async def return_at_once():
    pass


async def cancel_every_task():
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)


async def exit_in_the_loop():
    asyncio.get_running_loop().call_soon(sys.exit)
    await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("end", [return_at_once, cancel_every_task, exit_in_the_loop])
def test_a_program_that_ends_without_leaving_the_session_loses_no_submission(folder, end, monkeypatch):
    monkeypatch.setattr(SlowTransport, "pause", 0.1)
    seen = []

    async def main():
        session = await opened(service, folder, on_event=seen.append).__aenter__()
        running = [asyncio.ensure_future(session.run(f"picture {number}")) for number in range(3)]
        await in_flight(service)
        running.append(asyncio.ensure_future(end()))
        await running[-1]

    with (
        LocalService.in_thread(pixels=256, latency=60.0) as service,
        contextlib.suppress(SystemExit, asyncio.CancelledError),
    ):
        asyncio.run(main())
    assert 3 == len(service.bills)
    assert detached(service) == ends(seen)
    if folder is not None:
        with Journal(folder) as journal:
            assert {bill.id for bill in service.bills} == {record.prediction_id for record in journal.records()}
            assert not journal.is_running


THREAD = """
import asyncio, sys, threading
from cometflux import open_session
from cometflux.errors import SessionClosedError

async def main(key, url, folder):
    async with open_session(api_key=key, base_url=url, journal=folder, max_pending=4) as session:
        try:
            async for outcome in session.generate((f"picture {n}" for n in range(1000)), save_to=folder):
                print(outcome.kind, outcome.ok, flush=True)
        except SessionClosedError as error:
            print(error)

threading.Thread(target=lambda: asyncio.run(main(*sys.argv[1:])), daemon=sys.argv.pop() == "daemon").start()
sys.stdin.readline()
"""


@pytest.mark.parametrize("kind", ["daemon", "usual"])
def test_a_session_in_another_thread_is_closed_when_the_program_ends(kind, tmp_path):
    """Soon after that, no pool of threads works: nothing could be written or saved."""
    with LocalService.in_thread(pixels=256, latency=0.5) as service:
        command = [sys.executable, "-W", "ignore", "-c", THREAD, service.key, service.url, str(tmp_path), kind]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen(command, text=True, **pipes) as process:
            assert "succeeded True\n" == process.stdout.readline()
            process.stdin.close()
            out, err = rest_of(process)
        assert 0 == process.returncode, err
        # Python 3.12 refuses asyncio.run the thread in which it closes its pool, and says so.
        assert not err or ((3, 12) == sys.version_info[:2] and err.startswith("Exception in thread Thread-1"))
        ends, last = out.splitlines()[:-1], out.splitlines()[-1]
        assert {"succeeded True", "not_sent False"} >= {*ends}
        assert "the session was closed before the batch was over" == last
        with Journal(tmp_path) as journal:
            assert len(service.bills) == journal.status()["saved"] == 1 + ends.count("succeeded True")


# ── the words about the money ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_batch_that_is_closed_half_way_does_not_say_that_nothing_was_sent(service):
    async with opened(service, max_pending=2) as session:
        batch = session.generate(f"picture {number}" for number in range(9))
        await anext(batch)
    with pytest.raises(SessionClosedError) as caught:
        [outcome async for outcome in batch]
    assert service.bills
    assert "the session was closed before the batch was over" == str(caught.value)


def test_a_blocking_call_that_is_broken_off_does_not_say_that_nothing_was_sent():
    async def jobs():
        yield "a boat"
        raise asyncio.CancelledError

    with LocalService.in_thread(pixels=256, latency=0.0) as service:
        with sync.open_session(api_key=service.key, base_url=service.url) as session:
            with pytest.raises(SessionClosedError) as caught:
                list(session.generate(jobs()))
        assert service.bills
    assert "the session was closed meanwhile" == str(caught.value)
