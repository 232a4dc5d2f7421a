"""Callers leave at random moments: cancels, time-outs, failing siblings. No paid prediction is lost.

The seed of the random moments is printed. Nearly everything here happens at multiples of half a second. So half of the
moments are any time of the clock, and half are a number of loop steps after such a multiple. The latter hit steps that
take no virtual time, such as a write to the journal. The service has faults meanwhile.
"""

import asyncio
import itertools
import random
from collections import Counter

import pytest
from slow_transport import SlowTransport
from wrong_bills import lost, repeated

from cometflux import CometfluxError, Job, Journal, Session, events
from cometflux.journal.header import Account
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.testing import LocalService
from cometflux.transport.timeouts import Timeouts

pytestmark = pytest.mark.slow

CANCELS = 100
TIMEOUTS = 25
SIBLINGS = 67
# Seeds 1 to 6 together make 600 cancels, 300 time-outs and 400 failing siblings, with a journal and as many without.
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.hard) for seed in range(1, 7))]
SLICE = 5
"""Seed 0, in every run of the tests, makes one in this many."""
FAULTS = [
    {"fault": "429", "rate": 0.02},
    {"fault": "429-silent", "rate": 0.005},
    {"fault": "drop", "rate": 0.01},
    {"fault": "drop", "rate": 0.02, "after": True},
    {"fault": "hang", "rate": 0.01, "after": True},
    {"fault": "torn", "rate": 0.05, "after": True},
    {"fault": "torn-early", "rate": 0.01, "after": True},
    {"fault": "500", "rate": 0.01},
    {"fault": "422", "rate": 0.01},
    {"fault": "429", "rate": 0.005, "on": "get"},
    {"fault": "404", "rate": 0.03, "on": "get"},
    {"fault": "drop", "rate": 0.02, "on": "get"},
    {"fault": "hang", "rate": 0.01, "on": "get"},
    {"fault": "failed", "rate": 0.03},
    {"fault": "canceled", "rate": 0.02},
    {"fault": "output-500", "rate": 0.03},
]


class Lab:
    """Creates jobs and random moments, counts the hits, and checks the result."""

    def __init__(self, service, folder, seed):
        print(f"seed {seed}")
        self.service = service
        self.folder = folder
        self.hits = 0
        self._part = 1 if seed else SLICE
        self._chance = random.Random(seed)
        self._numbers = itertools.count()
        self._told = []

    def open(self):
        """Open a session, with a journal if there is a folder."""
        account = Account(base_url=self.service.url, key=self.service.key)
        return Session(
            SlowTransport(self.service.key, self.service.url, times=Timeouts(answer=5.0, poll=2.0)),
            journal=self.folder and JournalWriter(self.folder, account),
            max_pending=10,
            on_event=self._told.append,
        )

    def wants(self, hits):
        return self.hits < hits // self._part

    def job(self):
        return self.job_of(next(self._numbers))

    def job_of(self, number):
        name = f"job {number}"
        return Job(model="black-forest-labs/flux-schnell", input={"prompt": name}, key=name)

    def jobs_so_far(self):
        return [self.job_of(number) for number in range(next(self._numbers))]

    def within(self, span):
        """Choose a moment: the seconds from now, and the loop steps after that."""
        seconds = self._chance.uniform(0, span)
        if self._chance.random() < 0.5:
            return seconds, 0
        return round(2 * seconds) / 2, int(2 ** self._chance.uniform(0, 9))

    async def instant(self, span):
        seconds, steps = self.within(span)
        await asyncio.sleep(seconds)
        for _ in range(steps):
            await asyncio.sleep(0)

    # The checks after a session is closed.

    def check(self):
        print(f"{self.hits} hits, {len(self.service.bills)} bills, {Counter(event.kind for event in self._ended())}")
        handed_over = Counter(event.key for event in self._told if isinstance(event, events.Submitted))
        assert handed_over == Counter(event.key for event in self._ended()), "each job ends once"
        assert {} == repeated(self.service.bills), "it is paid for twice"
        cut_off = [event.key for event in self._ended() if getattr(event.error, "evidence", None) == "cancelled"]
        assert [] == cut_off, "an answer under way was not waited for"
        told = {event.prediction_id for event in self._told if isinstance(event, events.Accepted)}
        self._check_known(told, {event.key for event in self._ended() if event.kind is OutcomeKind.UNKNOWN})
        if self.folder is not None:
            self._check_journal()

    def _check_journal(self):
        with Journal(self.folder) as journal:
            status = journal.status()
            records = list(journal.records())
        assert status.pop("planned") == sum(status.values())
        known = {record.prediction_id for record in records}
        self._check_known(known, {record.key for record in records if record.state_name == "unknown"})
        assert [] == [record.key for record in records if record.state_name == "sending"]

    def _check_known(self, ids, unknown):
        not_known = lost(self.service.bills, ids, unknown)
        assert [] == not_known, "it is paid for, its id is not known, and nobody doubts its submission"

    def _ended(self):
        return [event for event in self._told if isinstance(event, events.Ended)]

    async def run_again(self):
        """Submit the same jobs again: the results of the first session are found, and nothing is charged twice."""
        if self.folder is None:
            return
        async with self.open() as session:
            outcomes = [outcome async for outcome in session.generate(self.jobs_so_far())]
        assert len({outcome.key for outcome in outcomes}) == len(outcomes)
        self.check()


@pytest.fixture(params=["kept", None], ids=["journal", "no journal"])
async def lab(request, seed, tmp_path):
    async with LocalService(pixels=256, latency=1.0, seed=seed) as service:
        for fault in FAULTS:
            service.fail(**fault)
        yield Lab(service, request.param and tmp_path / request.param, seed)


@pytest.mark.parametrize("seed", SEEDS)
async def test_cancels_lose_nothing(lab):
    async with lab.open() as session:
        while lab.wants(CANCELS):
            await asyncio.gather(*(run_and_cancel(lab, session) for _ in range(20)))
    lab.check()
    await lab.run_again()


async def run_and_cancel(lab, session):
    running = asyncio.ensure_future(session.run(lab.job()))
    await lab.instant(5)
    running.cancel()
    await asyncio.wait([running])
    lab.hits += running.cancelled()
    # Retrieved, so that asyncio does not log it.
    assert running.cancelled() or isinstance(running.exception(), CometfluxError | None)


@pytest.mark.parametrize("seed", SEEDS)
async def test_timeouts_around_run_lose_nothing(lab):
    async with lab.open() as session, asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(run_in_time(lab, session))
    lab.check()
    await lab.run_again()


async def run_in_time(lab, session):
    while lab.wants(TIMEOUTS):
        seconds, _ = lab.within(6)
        try:
            async with asyncio.timeout(seconds):
                await session.run(lab.job())
        except TimeoutError:
            lab.hits += 1
        except CometfluxError:
            pass


@pytest.mark.parametrize("seed", SEEDS)
async def test_timeouts_around_anext_lose_no_outcome(lab, tmp_path):
    async with lab.open() as session:
        while lab.wants(TIMEOUTS):
            jobs = [lab.job() for _ in range(20)]
            async with session.generate(jobs, save_to=tmp_path / "out") as batch:
                taken = [outcome.key async for outcome in impatient(lab, batch)]
            assert sorted(job.key for job in jobs) == sorted(taken)
    lab.check()
    await lab.run_again()


async def impatient(lab, batch):
    """Yield the outcomes of *batch*, waiting for each with many short time-outs."""
    while True:
        seconds, _ = lab.within(1.5)
        try:
            async with asyncio.timeout(seconds):
                outcome = await anext(batch)
        except TimeoutError:
            lab.hits += 1
        except StopAsyncIteration:
            break
        else:
            yield outcome


@pytest.mark.parametrize("seed", SEEDS)
async def test_failing_siblings_lose_nothing(lab):
    async with lab.open() as session:
        while lab.wants(SIBLINGS):
            await asyncio.gather(*(run_beside_one_that_fails(lab, session) for _ in range(12)))
    lab.check()
    await lab.run_again()


async def run_beside_one_that_fails(lab, session):
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(session.run(lab.job()))
            await lab.instant(5)
            raise ValueError("a sibling")
    except ExceptionGroup:
        lab.hits += 1
