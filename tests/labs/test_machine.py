"""A session as a state machine: in any order of events, nothing is charged twice and nothing is lost.

Hypothesis chooses the steps: jobs are submitted, the service responds or fails, the disk is slow or full, callers
leave, time passes, the session is closed or its process killed, and the next one resumes from its journal. The
invariants are checked after each step.

Nothing here runs concurrently. The session has its own loop, which runs only between two steps, until only timers are
left. Its clock is virtual, its transport is a `fake_transport.FakeTransport`, and its thread work runs on the loop,
one call
after the other. So an example always runs the same way. A failing example is printed as the shortest list of calls. To
run it again, paste the calls into a test of this module, or into ``python`` started in the folder ``tests``::

    state = WithJournal()
    state.begin(max_pending=1, most=None, how="accept")
    state.run_job(key=0, patience=None)
    state.holds()
    state.teardown()

``holds`` may be left out, or called more often.
"""

import asyncio
import contextlib
import gc
import logging
import os
import random
import shutil
import sqlite3
import tempfile
from collections import Counter, deque
from pathlib import Path

import pytest
from fake_transport import DOWNLOADS, ENDS, PNG, POLLS, RETRY_AFTER, SUBMISSIONS, FakeService, FakeTransport
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from virtual_clock import VirtualClockLoop

from cometflux import CometfluxError, Job, Journal, PollPolicy, RetryPolicy, Session, events
from cometflux.journal.header import Account
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind

pytestmark = pytest.mark.slow

MODEL = "black-forest-labs/flux-schnell"
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""A folder in memory, so that nothing waits for a disk; no test here simulates a power failure."""
A_MOMENT = 1e-6
LEAST_AGE = 6
"""The minimum number of steps of a session; otherwise most would end before anything happens."""
LONG = 10_000.0
ENDED = tuple(kind.value for kind in OutcomeKind)
KEYS = st.integers(0, 3)
PROMPTS = st.integers(0, 2)
WHICH = st.integers(0, 9)
"""Chooses one of the available items, modulo their number."""
SPANS = st.sampled_from([0.1, 0.6, 2.0, 8.0, 25.0, 130.0])


SUBMISSION = st.sampled_from((*SUBMISSIONS, *[None, "accept"] * 6))
WAYS = (
    *(("submission", how) for how in (*SUBMISSIONS, *SUBMISSIONS, *[None, "accept"] * 6)),
    *(("poll", how) for how in (*POLLS, *["found"] * 4)),
    *(("download", how) for how in (*DOWNLOADS, *["whole"] * 2)),
    *(("takes_what_breaks_off", is_taken) for is_taken in (True, False)),
)


def pick(those, which):
    return those[which % len(those)]


class StepLoop(VirtualClockLoop):
    """Runs only on request, and runs thread work itself: at once, or later after `hold`.

    Thread work is done even if nobody waits for it any more.
    """

    def __init__(self):
        super().__init__(looks=0)
        self.complaints = []
        self._work = deque()
        self._is_held = False
        self.set_exception_handler(lambda _, context: self.complaints.append(f"{context['message']}: {context}"))

    def run_in_executor(self, executor, func, *args):
        future = self.create_future()
        self._work.append((future, func, args))
        self.call_soon(self._do_one)
        return future

    def hold(self):
        self._is_held = True

    def let_go(self):
        self._is_held = False
        for _ in self._work:
            self.call_soon(self._do_one)

    def do_all_untold(self):
        """Run the thread work, but deliver its results only after `let_go`."""
        done = [(future, *attempt(func, args)) for future, func, args in self._work]
        self._work = deque((future, tell, told) for future, *told in done)

    def _do_one(self):
        if self._is_held or not self._work:
            return
        future, func, args = self._work.popleft()
        result, error = attempt(func, args)
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    # Between two steps.

    def settle(self, seconds=A_MOMENT):
        """Let time pass, and run until only timers are left."""
        self.run_until_complete(asyncio.sleep(seconds))

    def go(self, steps):
        """Run only *steps* steps of the loop."""

        async def wait():
            for _ in range(steps):
                await asyncio.sleep(0)

        self.run_until_complete(wait())

    def finish(self, work):
        return self.run_until_complete(asyncio.wait_for(work, LONG))


def attempt(func, args):
    """Return the result of *func* and None, or None and its exception, since a thread delivers either."""
    try:
        return func(*args), None
    except Exception as error:  # noqa: BLE001 - as a thread delivers any exception
        return None, error


def tell(result, error):
    if error is not None:
        raise error
    return result


class Disk:
    """Opens databases. While it is full, each commit fails, but may be written nevertheless."""

    def __init__(self):
        self.is_full = False
        self.writes_all_the_same = False
        self.was_full = False
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, statement, *values):
                if statement == "COMMIT" and disk.is_full:
                    if disk.writes_all_the_same:
                        super().execute(statement)
                    raise sqlite3.OperationalError("database or disk is full")
                return super().execute(statement, *values)

        self._factory = Connection

    def fill(self, writes_all_the_same):
        self.is_full = self.was_full = True
        self.writes_all_the_same = writes_all_the_same

    def connect(self, *values, **options):
        return sqlite3.connect(*values, **options, factory=self._factory)


class Consumer:
    """Takes outcomes from a batch: all as they come, or a given number; or leaves."""

    def __init__(self, life, batch, *, is_slow):
        self.taken = []
        self._may_take = asyncio.Semaphore(0)
        self.is_slow = is_slow
        self._is_gone = False
        self._life = life
        self.task = life.loop.create_task(self._consume(batch))

    async def _consume(self, batch):
        with contextlib.suppress(CometfluxError):
            while not self._is_gone:
                if self.is_slow:
                    await self._may_take.acquire()
                if self._is_gone:
                    break
                try:
                    self.taken.append(await anext(batch))
                except StopAsyncIteration:
                    break

    def take(self, number):
        for _ in range(number):
            self._may_take.release()

    def hurry(self):
        self.is_slow = False
        self._may_take.release()

    def leave(self):
        """Leave the batch: a slow consumer by ``break``, another by a cancel while it waits."""
        self._is_gone = True
        if self.is_slow and self._may_take.locked():
            self._may_take.release()
        else:
            self.task.cancel()


class Life:
    """One process: a loop with a session, its callers, and everything observed of it.

    Violations are added to ``wrongs``.
    """

    def __init__(self, service_state, allowed, folder, *, is_kept, **options):
        self.service_state, self.allowed, self.folder, self.is_kept = service_state, allowed, folder, is_kept
        self.loop = StepLoop()
        self.disk = Disk()
        self.line = FakeTransport(service_state, self)
        self.events = []
        self.wrongs = []
        self.callers = []
        self.batches = []
        """The consumer and the drawn jobs of each batch."""
        self.is_doomed = False
        self.quiet_until = 0.0
        self.age = 0
        """The number of its steps."""
        self.is_closing = False
        self._known = set()
        self.max_pending = options["max_pending"]
        self._options = options

    def open(self):
        journal = None
        if self.is_kept:
            account = Account(base_url="https://example.org", key="k")
            journal = JournalWriter(self.folder, account, connect=self.disk.connect)
        self.session = Session(
            self.line,
            journal=journal,
            on_event=self.events.append,
            poll_policy=PollPolicy.every(1.0, patience=40.0),
            retry_policy=RetryPolicy(tries=3, throttled_for=60.0),
            **self._options,
        )
        self.loop.finish(self.session.__aenter__())

    # Calls of the session.

    def run(self, job, patience=None):
        async def call():
            with contextlib.suppress(CometfluxError):
                await self.session.run(job, patience=patience)

        self.callers.append(self.loop.create_task(call()))

    def generate(self, jobs, *, is_slow, is_list, is_saved):
        drawn = []
        lazily = (drawn.append(job) or job for job in jobs)
        folder = self.folder if is_saved else None

        async def begin():
            with contextlib.suppress(CometfluxError):
                batch = self.session.generate(jobs if is_list else lazily, save_to=folder)
                self.batches.append((Consumer(self, batch, is_slow=is_slow), drawn))

        self.loop.finish(begin())

    # Callbacks of the line.

    def submission(self, prompt):
        now = self.loop.time()
        if self.is_doomed:
            self.wrongs.append(f"{prompt} was sent after the key was refused, or credit was")
        if now < self.quiet_until - 0.001:
            self.wrongs.append(f"{prompt} was sent at {now}, before the end of the pause at {self.quiet_until}")
        intents = [record for record in self.records() if record.input["prompt"] == prompt]
        under_way = sum(call.prompt == prompt for call in self.line.calls)
        if self.service_state.spent[prompt] + under_way > self.allowed[prompt]:
            self.wrongs.append(f"{prompt} was sent, though it is paid for, or may be")
        if self.is_kept and under_way > sum(record.state_name == "sending" for record in intents):
            self.wrongs.append(f"{prompt} was sent, and the disk has no intent of it")

    def poll(self, name):
        if name not in self._known:
            self._known = {each for record in self.records() for each in ids_of(record)}
        if self.is_kept and name not in self._known and not self.disk.was_full:
            self.wrongs.append(f"{name} was polled before it was on the disk")

    def answer(self, how):
        # The session gets a moment to receive it; a submission sent in that moment is allowed.
        self.loop.call_later(0.001, self._note_answer, how, self.loop.time())

    def _note_answer(self, how, at):
        if how in ("401", "402"):
            self.is_doomed = True
        if how == "429":
            self.quiet_until = max(self.quiet_until, at + RETRY_AFTER)

    def give_up(self, prompt):
        if not self.is_closing:
            self.wrongs.append(f"the answer to {prompt} was not waited for")

    def records(self):
        """The records on the disk at this moment."""
        if not self.is_kept:
            return []
        with Journal(self.folder) as journal:
            return list(journal.records())

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    # The end.

    def close(self, *, is_hurried=False):
        """Close the session, with a slow disk and any work in flight; return the violations."""
        self.is_closing = True
        self.was_refused_at_the_end = self.disk.is_full
        closing = self.loop.create_task(self.session.aclose())
        self.loop.settle(0.1)
        if is_hurried:
            closing.cancel()
            self.loop.settle()
        self.loop.let_go()
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.finish(closing)
        self.loop.finish(self.session.aclose())
        for consumer, _ in self.batches:
            consumer.hurry()
        self.loop.settle()
        counts = self.session.accounting
        wrongs = [f"{name} {counts[name]}" for name in ("waiting", "pending", "saving") if counts[name]]
        wrongs += [f"still running: {task}" for task in asyncio.all_tasks(self.loop)]
        wrongs += [f"ended {n} times less: {key}" for key, n in (self.handed_over() - self.ended()).items()]
        return wrongs + self.bury()

    def kill(self, *, has_written):
        """End the process as a kill does. Only a copy of its folder, made now, remains."""
        if has_written:
            self.loop.do_all_untold()
        self.line.cut()

    def bury(self):
        """Release the resources of this process, and return the errors of the loop."""
        self.loop.let_go()
        self.disk.is_full = False
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.settle()
        self.loop.finish(self.session.aclose())
        self.loop.settle()
        self.callers.clear()
        self.batches.clear()
        del self.session
        # An error that was not retrieved is logged when its task is collected.
        gc.collect()
        self.loop.close()
        return self.loop.complaints

    def handed_over(self):
        return Counter((event.key, event.index) for event in self.of(events.Submitted))

    def ended(self):
        return Counter((event.key, event.index) for event in self.of(events.Ended))


def ids_of(record):
    """Return the ids of predictions in a record."""
    known = [record.prediction_id, record.evidence and record.evidence.prediction_id]
    return {each for each in (*known, *(attempt.prediction_id for attempt in record.earlier)) if each}


class Errors(logging.Handler):
    """Keeps the errors that the package logs."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.seen = []

    def emit(self, record):
        # The message about an id that could not be written is expected.
        if not record.msg.startswith("the journal could not record"):
            self.seen.append(record.getMessage())


class Machine(RuleBasedStateMachine):
    """The common part of the two machines below."""

    is_kept = True

    def __init__(self):
        super().__init__()
        # Existing objects do not have to be collected again after each session.
        gc.freeze()
        # The jitter of waits is the same each time; within a test, hypothesis seeds it.
        random.seed(0)
        self.service_state = FakeService()
        self.errors = Errors()
        logging.getLogger("cometflux").addHandler(self.errors)
        self.folders = Path(tempfile.mkdtemp(prefix="cometflux-machine-", dir=MEMORY))
        self.lives = 0
        self.life = None
        self.allowed = Counter()
        """The maximum number of charges for each prompt."""
        self.is_sound = False
        self.options = {}

    @initialize(max_pending=st.integers(1, 3), most=st.sampled_from([None] * 3 + [4]), how=SUBMISSION)
    def begin(self, max_pending, most, how):
        self.service_state.submission = how
        self.options = {"max_pending": max_pending, "max_predictions": most}
        self.folder(1).mkdir()
        self.go_on()

    def folder(self, number):
        return self.folders / str(number)

    def go_on(self, **options):
        self.lives += 1
        life = Life(
            self.service_state, self.allowed, self.folder(self.lives), is_kept=self.is_kept, **(self.options | options)
        )
        life.open()
        self.life = life

    def settle(self, seconds=A_MOMENT):
        self.is_sound = False
        self.life.age += 1
        self.life.loop.settle(seconds)

    def sending(self):
        """The prompts with a submission in flight according to the disk."""
        return {record.input["prompt"] for record in self.life.records() if record.state_name == "sending"}

    def new_prompt(self):
        return f"once {len(self.allowed)}"

    def job(self, key):
        """Create the job of *key*. Without a journal, which would find it again, or without a key, it is a new job."""
        name = f"key {key}" if self.is_kept and key is not None else self.new_prompt()
        self.allowed[name] = 1
        return Job(model=MODEL, input={"prompt": name}, key=name if name.startswith("key") else None)

    def plain(self, prompts):
        """Create the jobs of a batch that are identified by their occurrence number."""
        if not self.is_kept:
            return [self.job(None) for _ in prompts]
        names = [f"plain {number}" for number in prompts]
        self.allowed.update(Counter(names) - self.allowed)
        return names

    # ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(patience=st.sampled_from([None, None, 3.0]))
    def run_new_job(self, patience):
        self.life.run(self.job(None), patience)
        self.settle()

    @rule(key=KEYS, patience=st.sampled_from([None, None, 3.0]))
    def run_job(self, key, patience):
        self.life.run(self.job(key), patience)
        self.settle()

    @rule(
        keys=st.lists(KEYS, max_size=2, unique=True),
        prompts=st.lists(PROMPTS, min_size=1, max_size=3) | st.lists(PROMPTS, min_size=7, max_size=9),
        is_slow=st.booleans(),
        is_list=st.booleans(),
        is_saved=st.booleans(),
    )
    def run_batch(self, keys, prompts, is_slow, is_list, is_saved):
        jobs = [*map(self.job, keys), *self.plain(prompts)]
        self.life.generate(jobs, is_slow=is_slow, is_list=is_list, is_saved=is_saved)
        self.settle()

    @precondition(lambda self: self.waiting())
    @rule(which=WHICH)
    def cancel_a_caller(self, which):
        pick(self.waiting(), which).cancel()
        self.settle()

    @precondition(lambda self: self.consumers(is_slow=True))
    @rule(which=WHICH, number=st.integers(1, 4))
    def take_outcomes(self, which, number):
        pick(self.consumers(is_slow=True), which).take(number)
        self.settle()

    @precondition(lambda self: self.consumers())
    @rule(which=WHICH)
    def leave_a_batch(self, which):
        pick(self.consumers(), which).leave()
        self.settle()

    def waiting(self):
        return [task for task in self.life.callers if not task.done()]

    def consumers(self, *, is_slow=False):
        found = [consumer for consumer, _ in self.life.batches if not consumer.task.done()]
        return [consumer for consumer in found if consumer.is_slow or not is_slow]

    # ── the service ──────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(how=st.sampled_from(WAYS))
    def the_service_does(self, how):
        """Respond to submissions with *how* from now on; None holds them until `answer_a_submission`."""
        kind, way = how
        setattr(self.service_state, kind, way)

    @precondition(lambda self: self.open_calls())
    @rule(
        which=WHICH,
        how=st.sampled_from((*SUBMISSIONS, *["accept"] * 5)),
        meets_a_slow_disk=st.sampled_from([False, False, True]),
    )
    def answer_a_submission(self, which, how, meets_a_slow_disk):
        if meets_a_slow_disk:
            self.life.loop.hold()
        pick(self.open_calls(), which).how.set_result(how)
        self.settle()

    @precondition(lambda self: self.running())
    @rule(which=WHICH, status=st.sampled_from(("processing", "expired", *ENDS, *["succeeded"] * 4)))
    def a_prediction_goes_on(self, which, status):
        bill = pick(self.running(), which)
        bill.is_expired = status == "expired"
        bill.status = "succeeded" if bill.is_expired else status
        self.settle()

    def open_calls(self):
        return [call for call in self.life.line.calls if not call.how.done()]

    def running(self):
        return [bill for bill in self.service_state.bills if bill.status not in ENDS]

    @rule(seconds=SPANS)
    def time_passes(self, seconds):
        self.settle(seconds)

    # ── the disk and the process ─────────────────────────────────────────────────────────────────────────────────────

    @rule(how=st.sampled_from(["well", "slow", "full", "full and writes all the same"]))
    def the_disk_is(self, how):
        self.life.disk.is_full = False
        if how.startswith("full"):
            self.life.disk.fill(how != "full")
        if how == "slow":
            self.life.loop.hold()
        else:
            self.life.loop.let_go()
        self.settle()

    @precondition(lambda self: self.life.age >= LEAST_AGE)
    @rule(is_hurried=st.booleans())
    def close_and_open_again(self, is_hurried):
        self.is_sound = False
        before = self.life.folder
        assert [] == self.life.close(is_hurried=is_hurried)
        self.check_money()
        if self.life.was_refused_at_the_end:
            self.service_state.unanswered |= self.sending()
        assert set() == self.sending() - self.service_state.unanswered, "closing left a submission open"
        self.life = None
        before.rename(self.folder(self.lives + 1))
        self.go_on()

    # ── what holds after every step ──────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def holds(self):
        self.is_sound = False
        if self.life is not None:
            self.check_money()
            self.check_accounting()
            self.check_bounds()
            assert [] == self.life.wrongs
            assert [] == self.life.loop.complaints
        assert [] == self.errors.seen
        self.is_sound = True

    def check_money(self):
        bills = Counter(bill.prompt for bill in self.service_state.bills)
        assert Counter() == bills - self.allowed, "it was paid for twice"
        if not self.is_kept:
            return
        if self.options["max_predictions"] is not None:
            assert len(self.service_state.bills) <= self.options["max_predictions"]
        records = self.life.records()
        known = {each for record in records for each in ids_of(record)}
        lost = Counter(bill.prompt for bill in self.service_state.bills if bill.id not in known)
        in_doubt = Counter(record.input["prompt"] for record in records if record.state_name in ("sending", "unknown"))
        assert Counter() == lost - in_doubt, "it is paid for, and the journal neither knows its id nor doubts it"

    def check_accounting(self):
        life = self.life
        counts = dict(life.session.accounting)
        assert counts.pop("all") == sum(counts.values()) == life.handed_over().total()
        assert Counter() == life.ended() - life.handed_over(), "a job ended twice"
        kinds = Counter(event.kind.value for event in life.of(events.Ended))
        assert {kind: counts[kind] for kind in ENDED} == {kind: kinds[kind] for kind in ENDED}
        for consumer, _ in life.batches:
            assert len(consumer.taken) == len({outcome.index for outcome in consumer.taken}), "an outcome came twice"
        if self.is_kept:
            with Journal(life.folder) as journal:
                status = journal.status()
            assert status.pop("planned") == sum(status.values())

    def check_bounds(self):
        life = self.life
        assert len(life.line.calls) + len(life.session.pending) <= life.max_pending
        for consumer, drawn in life.batches:
            assert len(drawn) <= len(consumer.taken) + 2 * life.max_pending

    # ── the end of an example ────────────────────────────────────────────────────────────────────────────────────────

    def teardown(self):
        try:
            # If a step has failed already, report only that failure.
            if self.is_sound and self.life is not None:
                self.check_end()
        finally:
            logging.getLogger("cometflux").removeHandler(self.errors)
            if self.life is not None:
                self.life.line.cut()
                self.life.bury()
            shutil.rmtree(self.folders)

    def check_end(self):
        """Close, and submit all jobs again with a working disk and service: each ends, and none is paid twice."""
        self.close_and_open_again(is_hurried=False)
        assert [] == self.life.close()
        self.life = None
        if not self.is_kept:
            return
        self.service_state.heal()
        self.service_state.submission = "accept succeeded"
        for bill in self.service_state.bills:
            bill.status = bill.status if bill.status in ENDS else "succeeded"
        doubted = set(self.service_state.unanswered)
        self.folder(self.lives).rename(self.folder(self.lives + 1))
        self.options = {"max_pending": 3, "max_predictions": None}
        self.go_on()
        outcomes = self.life.loop.finish(self.run_all_again())
        assert sorted(self.allowed_again().elements()) == sorted(outcome.job.prompt for outcome in outcomes)
        for outcome in outcomes:
            self.check_outcome(outcome, doubted)
        self.check_money()
        bills = Counter(bill.prompt for bill in self.service_state.bills)
        ends = Counter(outcome.job.prompt for outcome in outcomes if outcome.kind is not OutcomeKind.UNKNOWN)
        assert Counter() == ends - bills, "it ended, and was never bought"
        assert [] == self.errors.seen

    def allowed_again(self):
        return Counter({prompt: n for prompt, n in self.allowed.items() if not prompt.startswith("once")})

    async def run_all_again(self):
        jobs = []
        for prompt in self.allowed_again().elements():
            key = prompt if prompt.startswith("key") else None
            jobs.append(Job(model=MODEL, input={"prompt": prompt}, key=key))
        return [outcome async for outcome in self.life.session.generate(jobs, save_to=self.life.folder)]

    def check_outcome(self, outcome, doubted):
        bill = {bill.id: bill for bill in self.service_state.bills}.get(outcome.prediction and outcome.prediction.id)
        if outcome.kind is OutcomeKind.UNKNOWN:
            assert outcome.job.prompt in doubted, "nobody doubts it but the session"
            return
        assert outcome.job.prompt == bill.prompt
        if outcome.ok:
            assert PNG == outcome.files[0].read_bytes()
        expected = "expired" if bill.is_expired else bill.status.replace("aborted", "canceled")
        assert expected == outcome.kind.value


class WithoutJournal(Machine):
    """A session without a journal."""

    is_kept = False


class WithJournal(Machine):
    """A session with a journal, whose disk may be full and whose process may be killed."""

    @precondition(lambda self: self.life.age >= LEAST_AGE)
    @rule(steps=st.none() | st.integers(0, 30), has_written=st.booleans())
    def kill_and_start_again(self, steps, has_written):
        """Kill the process: when it is idle, or some steps after the responses to all exchanges in flight."""
        self.is_sound = False
        life = self.life
        if steps is not None:
            for call in self.open_calls():
                call.how.set_result("accept")
            life.loop.go(steps)
        life.kill(has_written=has_written)
        shutil.copytree(life.folder, self.folder(self.lives + 1))
        # The progress and the responses of these are lost.
        self.service_state.unanswered |= self.sending()
        wrongs = list(life.wrongs)
        self.life = None
        life.bury()
        assert [] == wrongs
        self.go_on()


@pytest.mark.parametrize(
    ("machine", "examples"),
    [
        pytest.param(WithJournal, 25, id="journal"),
        pytest.param(WithoutJournal, 60, id="no journal"),
        pytest.param(WithJournal, 700, id="journal, many", marks=pytest.mark.hard),
        pytest.param(WithoutJournal, 1500, id="no journal, many", marks=pytest.mark.hard),
    ],
)
def test_in_any_order_of_events_nothing_is_charged_twice_and_nothing_is_lost(machine, examples):
    effort = settings(max_examples=examples, stateful_step_count=40, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=effort)


def test_an_id_in_a_torn_response_is_on_a_slow_disk_before_it_is_polled():
    """Hypothesis found this. The disk is slower than the time until the first poll."""
    state = WithJournal()
    try:
        state.begin(max_pending=1, most=None, how=None)
        state.run_new_job(patience=None)
        state.answer_a_submission(how="torn billed", meets_a_slow_disk=True, which=0)
        state.time_passes(seconds=0.6)
        state.holds()
    finally:
        state.teardown()


def test_a_job_whose_refusal_did_not_fit_on_the_disk_is_not_unknown_to_a_job_that_waits_for_it():
    """Hypothesis found this. Only the intent was on the disk."""
    state = WithJournal()
    try:
        state.begin(max_pending=1, most=None, how=None)
        state.run_job(key=1, patience=None)
        state.run_job(key=1, patience=None)
        state.the_disk_is(how="full")
        state.answer_a_submission(how="429", meets_a_slow_disk=False, which=0)
        state.the_disk_is(how="well")
        state.holds()
    finally:
        state.teardown()


def test_a_429_to_the_poll_of_the_id_in_a_torn_response_makes_all_wait():
    """Hypothesis found this."""
    state = WithoutJournal()
    try:
        state.begin(max_pending=2, most=None, how="torn billed")
        state.the_service_does(how=("poll", "429"))
        state.run_new_job(patience=None)
        state.time_passes(seconds=0.6)
        state.run_new_job(patience=None)
        state.holds()
    finally:
        state.teardown()
