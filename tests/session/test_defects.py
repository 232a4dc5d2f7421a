"""A defect in any step of a session: each job ends, in a way that is true about the money, and the session closes."""

import asyncio
import collections
import contextlib
import gc
import itertools
import logging

import pytest

from cometflux import Job, Journal, Session
from cometflux.engine.identity import JobIdentities
from cometflux.engine.job_images import JobImages
from cometflux.engine.page_starter import PageStarter
from cometflux.engine.poller import Poller
from cometflux.engine.runner import JobRunner
from cometflux.engine.saver import Saver
from cometflux.engine.submitter import Submitter
from cometflux.engine.tracking import JobTracker
from cometflux.errors import CometfluxError, SessionClosedError, SessionStoppedError
from cometflux.jobs import PlannedJob
from cometflux.journal.background import BackgroundWriter
from cometflux.outcomes import OutcomeKind
from cometflux.pacing.admission import AdmissionQueue
from cometflux.pacing.pacer import Pacer
from cometflux.polling.schedule import Schedule
from cometflux.protocol import responses
from cometflux.session.batch import BatchState
from cometflux.transport.aiohttp import AiohttpTransport

pytestmark = pytest.mark.slow

PROMPTS = [f"boat {number}" for number in range(6)]
STEPS = [
    *((BackgroundWriter, name) for name in ("claim", "intent", "answer", "end")),
    *((JobTracker, name) for name in ("enter", "begin", "own", "accept", "pend", "conclude")),
    *((JobIdentities, name) for name in ("identify", "claim", "release")),
    *((JobRunner, name) for name in ("start", "launch", "conclude")),
    *((Submitter, name) for name in ("submit", "_post", "_exchange")),
    *((Poller, name) for name in ("add", "_attend", "_poll_once", "_read_end", "_plan_next", "_wait_and_poll")),
    *((Schedule, name) for name in ("add", "reschedule", "end", "pop_due")),
    *((AdmissionQueue, name) for name in ("acquire", "report")),
    *((Pacer, name) for name in ("enter", "report")),
    *((BatchState, name) for name in ("room", "draw", "count_alike")),
    *((JobImages, "order"), (Saver, "save"), (responses, "read_created")),
]


class DefectError(Exception):
    """Nobody foresees it."""


def plant(patch, owner, name, calls):
    """Let a function raise at the calls with these numbers, counted from 1."""
    original, numbers = getattr(owner, name), itertools.count(1)

    def broken(*args, **options):
        if next(numbers) in calls:
            raise DefectError("planted")
        return original(*args, **options)

    patch.setattr(owner, name, broken)


def known_ids(outcomes):
    ids = {outcome.prediction.id for outcome in outcomes if outcome.prediction}
    return ids | {outcome.error.prediction_id for outcome in outcomes if outcome.error} - {None}


async def make_all(session, folder):
    """Run the batch; return its outcomes, and the error that ended it."""
    outcomes = []
    try:
        async for outcome in session.generate(PROMPTS, save_to=folder):
            outcomes.append(outcome)
    except (CometfluxError, DefectError) as error:
        return outcomes, error
    return outcomes, None


@pytest.mark.parametrize("calls", [[1], [3], range(2, 10**6)], ids=["first", "third", "from the second on"])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=lambda part: getattr(part, "__name__", part))
async def test_each_job_ends_and_no_id_is_lost(service, opened, tmp_path, owner, name, calls):
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, owner, name, calls)
        async with asyncio.timeout(1000):
            with contextlib.suppress(DefectError):
                async with opened(max_pending=3) as session:
                    outcomes, _ = await make_all(session, tmp_path)
                    counts = dict(session.accounting)
    assert counts["all"] == len(outcomes)
    kinds = collections.Counter(outcome.kind for outcome in outcomes)
    unknown = kinds[OutcomeKind.UNKNOWN]
    lost = {bill.id for bill in service.bills} - known_ids(outcomes)
    assert len(lost) <= unknown
    assert not any(each.prediction for each in outcomes if each.kind in (OutcomeKind.NOT_SENT, OutcomeKind.REJECTED))
    async with opened() as session:
        again, error = await make_all(session, tmp_path)
    assert (6, None) == (len(again), error)
    # An intent that the journal could not be told to withdraw may have been sent, as far as the next run knows.
    most = unknown + (kinds[OutcomeKind.NOT_SENT] if (BackgroundWriter, "end") == (owner, name) else 0)
    assert 6 - most <= sum(outcome.ok for outcome in again)
    assert all(outcome.ok or outcome.kind is OutcomeKind.UNKNOWN for outcome in again)
    assert 6 - most <= len(service.bills) <= 6
    with Journal(tmp_path) as journal:
        assert 6 == sum(record.bought for record in journal.records())


async def test_a_defect_closes_the_session_and_whoever_waits_is_told_of_it(service, opened, tmp_path, caplog):
    service.latency = 60.0
    with pytest.MonkeyPatch.context() as patch:
        async with opened() as session:
            waiting = asyncio.ensure_future(session.run("a boat"))
            following = asyncio.ensure_future(session.follow(await session.submit("a ship")))
            plant(patch, Poller, "_wait_and_poll", range(1, 100))
            for wait in (waiting, following):
                with pytest.raises(SessionClosedError, match=r"failed \(DefectError: planted\)") as raised:
                    await wait
                assert raised.value.prediction_id in {bill.id for bill in service.bills}
            with pytest.raises(SessionClosedError, match=r"is closed: a task of the session failed \(DefectError"):
                await session.run("a house")
            with pytest.raises(SessionClosedError, match="failed"):
                session.generate(["a house"])
    assert 2 == len(service.bills)
    assert "a task of the session failed" in caplog.text


async def test_a_batch_that_a_defect_ends_names_it(service, opened, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, BackgroundWriter, "end", range(1, 100))
        async with opened(max_pending=2) as session:
            outcomes, error = await make_all(session, tmp_path)
    assert isinstance(error, SessionStoppedError)
    assert "a task of the session failed (DefectError: planted)" in str(error)
    assert {bill.id for bill in service.bills} == known_ids(outcomes)


async def test_a_poll_that_breaks_by_a_defect_ends_its_job_only(service, opened, tmp_path, caplog):
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, Poller, "_read_end", [2])
        async with opened() as session:
            outcomes, error = await make_all(session, tmp_path)
    assert error is None
    (detached,) = [outcome for outcome in outcomes if not outcome.ok]
    assert OutcomeKind.DETACHED is detached.kind
    assert "the session failed at this job (DefectError: planted); the prediction is paid for" in str(detached.error)
    assert "a poll failed" in caplog.text


# ── what a caller hands in ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_planned_job_with_an_odd_index_ends_the_batch(service, opened, tmp_path):
    jobs = [PlannedJob(job=Job.of("a boat"), index=0), PlannedJob(job=Job.of("a ship"), index="one")]
    async with opened(journal=None) as session:
        batch = session.generate(jobs)
        assert (await anext(batch)).ok
        with pytest.raises(ValueError, match="format code"):
            await anext(batch)


class Prepares(AiohttpTransport):
    """Fails to open connections before their submissions."""

    async def _fail(self):
        raise DefectError("no connection")

    def prepare(self):
        return self._fail()


async def test_connections_that_cannot_be_prepared_stop_nothing(service, caplog):
    async with Session(Prepares(service.key, service.url)) as session:
        await session.run("a boat")
        await session.run("a ship")
    assert "connections could not be opened" in caplog.text
    assert [logging.ERROR] * 2 == [record.levelno for record in caplog.records if record.exc_info]


async def test_connections_whose_task_is_cancelled_before_its_first_step_leave_nothing_behind(service, recwarn):
    def start(loop, work, **options):
        task = asyncio.Task(work, loop=loop, **options)
        if work.__name__ == "_opened":
            task.cancel()
        return task

    asyncio.get_running_loop().set_task_factory(start)
    async with Session(Prepares(service.key, service.url)) as session:
        await session.run("a boat")
    gc.collect()
    assert [] == [str(each.message) for each in recwarn]


class Stubborn(AiohttpTransport):
    """Sends a submission, and goes on waiting when it is cancelled."""

    def __init__(self, *args):
        super().__init__(*args)
        self.leave = asyncio.Event()

    async def submit(self, request):
        response = await super().submit(request)
        while not self.leave.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.leave.wait()
        return response


async def test_a_submission_that_does_not_end_when_it_is_cancelled_is_unknown(service, caplog):
    transport = Stubborn(service.key, service.url)
    async with Session(transport, grace=1.0) as session:
        running = asyncio.ensure_future(session.run("a boat"))
        while not service.bills:  # noqa: ASYNC110 - the condition lies with the service
            await asyncio.sleep(0.01)
    with pytest.raises(CometfluxError) as raised:
        await asyncio.wait_for(running, 1)
    assert "unknown" == raised.value.money
    transport.leave.set()
    await asyncio.sleep(1)
    assert "do not end though they were cancelled" in caplog.text
    assert 1 == session.accounting["unknown"]


async def test_every_task_that_iterates_over_a_batch_of_a_closed_session_is_told_so(opened):
    async with opened() as session:
        batch = session.generate(PROMPTS)
    async with asyncio.timeout(10):
        ends = await asyncio.gather(*(anext(batch) for _ in range(3)), return_exceptions=True)
    assert [SessionClosedError] * 3 == [type(end) for end in ends]


AGAIN = [
    *((BackgroundWriter, name) for name in ("find_each", "claim")),
    *((JobTracker, name) for name in ("take_record", "find_each", "claim")),
    *((PageStarter, name) for name in ("_find_saved", "_find_records")),
    *((JobRunner, name) for name in ("identify", "start", "_resume", "_save_again")),
    *((JobImages, "find"), (JobIdentities, "is_under_way"), (JobIdentities, "release"), (BatchState, "count_alike")),
]


@pytest.mark.parametrize("calls", [[1], range(2, 10**6)], ids=["first", "from the second on"])
@pytest.mark.parametrize(("owner", "name"), AGAIN, ids=lambda part: getattr(part, "__name__", part))
async def test_each_job_of_a_batch_that_is_run_again_ends_and_nothing_is_bought(
    service, opened, tmp_path, owner, name, calls
):
    async with opened() as session:
        first, _ = await make_all(session, tmp_path)
    (first[0].files[0]).unlink()
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, owner, name, calls)
        async with asyncio.timeout(1000), opened() as session:
            outcomes, _ = await make_all(session, tmp_path)
            assert session.accounting["all"] == len(outcomes)
    async with opened() as session:
        again, error = await make_all(session, tmp_path)
    assert ([True] * 6, None) == ([outcome.ok for outcome in again], error)
    assert 6 == len(service.bills)
