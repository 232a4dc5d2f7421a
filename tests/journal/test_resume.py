"""Sessions with a journal: what a later run finds, goes on with, and never buys again. In virtual time."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import re
import shutil
import sqlite3
import threading
import time

import attrs
import pytest
from journal_records import ids
from keyed_jobs import keyed
from one_pixel import PNG
from slow_transport import SlowTransport
from waiting import PATIENCE

from cometflux import Job, Journal, RetryPolicy, Session, events, flux, open_session
from cometflux.errors import (
    AnswerError,
    ConfigError,
    ConnectError,
    InputError,
    JournalError,
    JournalLockedError,
    JournalMismatchError,
    LimitError,
    OutputError,
    PatienceError,
    PredictionExpiredError,
    PredictionFailedError,
    RejectedError,
    SessionClosedError,
    SessionStoppedError,
    UnknownSubmissionError,
)
from cometflux.journal import plan
from cometflux.journal.header import Account
from cometflux.journal.states import SENDING
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.protocol.requests import Response
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport


@pytest.fixture
def opened(service, tmp_path):
    def open_it(**options):
        options = {"journal": tmp_path, **options}
        return open_session(api_key=service.key, base_url=service.url, **options)

    return open_it


@pytest.fixture
def status(tmp_path):
    def read():
        with Journal(tmp_path) as journal:
            counts = journal.status()
        assert counts["planned"] == sum(counts.values()) - counts["planned"], "the parts add up"
        return {name: count for name, count in counts.items() if count}

    return read


def records(folder):
    with Journal(folder) as journal:
        return list(journal.records())


async def outcomes_of(batch):
    return sorted([outcome async for outcome in batch], key=lambda outcome: outcome.index)


def posts(service):
    return [request for request in service.requests if request.method == "POST"]


class Held:
    """Opens databases whose commits wait for leave, or fail from one on."""

    def __init__(self):
        self.commits = 0
        self.failing = ()
        self.leave = threading.Event()
        self.leave.set()
        held = self

        class Connection(sqlite3.Connection):
            def execute(self, statement, *values):
                if statement == "COMMIT":
                    held.leave.wait(PATIENCE)
                    held.commits += 1
                    if held.commits in held.failing:
                        raise sqlite3.OperationalError("disk I/O error")
                return super().execute(statement, *values)

        self._factory = Connection

    def connect(self, *values, **options):
        return sqlite3.connect(*values, **options, factory=self._factory)

    def fail_from_now_on(self, commits):
        """Fail those of the *commits* to come that are named by their number, from 1."""
        self.commits, self.failing = 0, commits


def held_session(service, folder, held, **options):
    writer = JournalWriter(folder, Account(base_url=service.url, key=service.key), connect=held.connect)
    return Session(AiohttpTransport(service.key, service.url), journal=writer, **options)


class OverAtOnce:
    """A transport whose submissions are answered with a prediction that is over, just when the disk becomes slow."""

    def __init__(self, held):
        self._held = held
        self.answered = asyncio.Event()

    async def submit(self, request):
        self._held.leave.clear()
        self.answered.set()
        return Response(
            status=201, body=b'{"id": "p1", "status": "succeeded", "output": ["https://example.com/a.png"]}'
        )

    async def send(self, request):
        raise AnswerError("no response came")

    async def download(self, url):
        raise OutputError("the output is not found")

    async def aclose(self):
        pass


@pytest.mark.parametrize("refusal", ["422", "429"])
@pytest.mark.parametrize("before", [[], ["failed-transient"]], ids=["first", "retry"])
async def test_a_refusal_is_on_the_disk_at_once(service, opened, tmp_path, refusal, before):
    refused = asyncio.Event()

    def note(event):
        if isinstance(event, events.Throttled) or (isinstance(event, events.Ended) and refusal == "422"):
            refused.set()

    for fault in before:
        service.fail(fault)
    service.fail(refusal, times=100)
    async with opened(retry_failed=1, on_event=note) as session:
        running = asyncio.ensure_future(session.submit(keyed("a")))
        await refused.wait()
        # The next try comes later; what can wait would do so until then.
        await asyncio.sleep(0.2)
        (record,) = records(tmp_path)
        assert SENDING != record.state_name
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_closing_waits_for_a_response_that_is_being_written(tmp_path):
    held = Held()
    session = Session(transport := OverAtOnce(held), journal=JournalWriter(tmp_path, connect=held.connect))
    async with session:
        running = asyncio.ensure_future(session.run(keyed("a")))
        await transport.answered.wait()
        closing = asyncio.ensure_future(session.aclose())
        for _ in range(20):
            await asyncio.sleep(0)
        held.leave.set()
        await closing
    assert "p1" == (await running).id
    assert ["unsaved"] == [record.state_name for record in records(tmp_path)]


# ── the same jobs again ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_batch_that_is_run_again_buys_nothing_and_asks_nothing(service, opened, status, tmp_path):
    async with opened() as session:
        first = await outcomes_of(session.generate(["a", "b", "a"], save_to=tmp_path))
    asked = len(service.requests)
    async with opened() as session:
        second = await outcomes_of(session.generate(["a", "b", "a"], save_to=tmp_path))
    assert asked == len(service.requests)
    assert [False] * 3 == [outcome.resumed for outcome in first]
    assert [True] * 3 == [outcome.resumed for outcome in second]
    assert [outcome.files for outcome in first] == [outcome.files for outcome in second]
    assert [outcome.prediction.id for outcome in first] == [outcome.prediction.id for outcome in second]
    assert all(outcome.ok for outcome in second)
    assert {"planned": 3, "saved": 3} == status()


async def test_a_journal_is_not_asked_for_jobs_that_it_cannot_have(service, tmp_path):
    """Each question is a turn of the disk's thread."""
    asked = []

    class Connection(sqlite3.Connection):
        def execute(self, statement, *values):
            if statement.startswith("SELECT identity, place"):
                asked.append(values)
            return super().execute(statement, *values)

    for runs in (1, 2):
        writer = JournalWriter(tmp_path, connect=lambda *a, **o: sqlite3.connect(*a, factory=Connection, **o))
        async with Session(AiohttpTransport(service.key, service.url), journal=writer) as session:
            async for outcome in session.generate(["a boat", "a boat", "a house"]):
                assert outcome.ok
        assert (runs == 1) == (not asked)
    assert 3 == len(service.bills)


async def test_a_batch_may_be_run_again_in_the_same_session(service, opened, tmp_path):
    async with opened() as session:
        await outcomes_of(session.generate(["a", "b"], save_to=tmp_path))
        again = await outcomes_of(session.generate(["a", "b", "b"], save_to=tmp_path))
    assert [True, True, False] == [outcome.resumed for outcome in again]
    assert 3 == len(service.bills)


async def test_a_saved_file_that_is_gone_or_changed_is_fetched_again_and_not_bought(service, opened, tmp_path):
    async with opened() as session:
        before = await outcomes_of(session.generate(["gone", "cut", "changed", "whole"], save_to=tmp_path))
    contents = [outcome.files[0].read_bytes() for outcome in before]
    before[0].files[0].unlink()
    before[1].files[0].write_bytes(contents[1][:-1])
    before[2].files[0].write_bytes(contents[2][:-1] + b"\0")
    async with opened() as session:
        after = await outcomes_of(session.generate(["gone", "cut", "changed", "whole"], save_to=tmp_path))
    assert contents == [outcome.files[0].read_bytes() for outcome in after]
    assert all(outcome.ok and outcome.resumed for outcome in after)
    assert 4 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize("is_planned", [False, True])
@pytest.mark.parametrize("others", [[], ["another boat"]])
@pytest.mark.parametrize("count", [1, 3])
async def test_an_image_that_is_saved_and_not_in_the_journal_is_found_when_its_output_has_expired(
    tmp_path, count, others, is_planned
):
    """Also if the job has another place in the batch by now: the names of files begin with the place."""
    held, own = Held(), keyed("a", num_outputs=count)
    async with LocalService(pixels=4096, latency=1.0, lifetime=60.0) as brief:
        held.fail_from_now_on(range(4, 1000))
        async with held_session(brief, tmp_path, held) as session:
            (before,) = await outcomes_of(session.generate([own], save_to=tmp_path))
        (record,) = records(tmp_path)
        assert ("pending", True, count) == (record.state_name, before.ok, len(before.files))
        await asyncio.sleep(120)
        jobs = [*map(keyed, others), own]
        if is_planned:
            # As the command does with a prompt file.
            with contextlib.closing(JournalWriter(tmp_path)) as writer:
                writer.open()
                writer.plan(plan.plan_jobs(jobs))
        async with open_session(api_key=brief.key, base_url=brief.url, journal=tmp_path) as session:
            *_, after = sorted(await outcomes_of(session.generate(jobs, save_to=tmp_path)), key=lambda each: each.index)
        assert (OutcomeKind.SUCCEEDED, before.files, True) == (after.kind, after.files, after.resumed)
        assert "saved" == records(tmp_path)[0].state_name
        assert len(jobs) == len(brief.bills)


async def test_a_file_that_is_gone_from_the_service_as_well_is_told(service, tmp_path):
    async with LocalService(pixels=4096, latency=1.0, lifetime=60.0) as brief:
        options = {"api_key": brief.key, "base_url": brief.url, "journal": tmp_path}
        async with open_session(**options) as session:
            (before,) = await outcomes_of(session.generate(["a"], save_to=tmp_path))
            await asyncio.sleep(120)
        before.files[0].unlink()
        async with open_session(**options) as session:
            (after,) = await outcomes_of(session.generate(["a"], save_to=tmp_path))
        assert (OutcomeKind.EXPIRED, True) == (after.kind, after.resumed)
        assert isinstance(after.error, PredictionExpiredError)
        assert 1 == len(brief.bills)


@pytest.mark.slow
async def test_a_saved_job_needs_no_task_of_its_own(opened, tmp_path):
    prompts = [f"boat {number}" for number in range(75)]
    async with opened() as session:
        await outcomes_of(session.generate(prompts, save_to=tmp_path))
    made = []

    def make(loop, work, **options):
        made.append(work)
        return asyncio.Task(work, loop=loop, **options)

    asyncio.get_running_loop().set_task_factory(make)
    async with opened() as session:
        again = await outcomes_of(session.generate(prompts, save_to=tmp_path))
    assert prompts == [outcome.job.prompt for outcome in again if outcome.ok and outcome.resumed]
    assert len(made) < len(prompts) / 5


@pytest.mark.slow
async def test_saved_jobs_are_drawn_no_further_than_slots_and_outcomes_have_room(opened, tmp_path):
    prompts, drawn, ahead = [f"boat {number}" for number in range(20)], [], []

    def draw():
        for prompt in prompts:
            drawn.append(prompt)
            yield prompt

    async with opened(max_pending=4) as session:
        await outcomes_of(session.generate(prompts, save_to=tmp_path))
    async with opened(max_pending=4) as session:
        async for _ in session.generate(draw(), save_to=tmp_path):
            await asyncio.sleep(0.1)
            ahead.append(len(drawn) - len(ahead))
    assert max(ahead) <= 2 * 4 + 1


async def test_the_jobs_drawn_before_the_iterable_raised_end(service, opened, tmp_path):
    def draw():
        yield from ["a", "b", "new"]
        raise LookupError("no more")

    async with opened() as session:
        await outcomes_of(session.generate(["a", "b"], save_to=tmp_path))
    ended = []
    async with opened() as session:
        with pytest.raises(LookupError):
            async for outcome in session.generate(draw(), save_to=tmp_path):
                ended.append((outcome.job.prompt, outcome.resumed, outcome.ok))
    assert [("a", True, True), ("b", True, True), ("new", False, True)] == sorted(ended)
    assert 3 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize("steps", range(0, 24, 2))
async def test_a_session_that_is_closed_while_saved_jobs_are_looked_up_ends_each_once(
    steps, service, opened, tmp_path, status
):
    prompts = [f"boat {number}" for number in range(6)]
    async with opened() as session:
        await outcomes_of(session.generate(prompts[:4], save_to=tmp_path))
    ended = []

    async def take(batch):
        with contextlib.suppress(SessionClosedError):
            async for outcome in batch:
                ended.append(outcome)

    async with opened() as session:
        taking = asyncio.ensure_future(take(session.generate(prompts, save_to=tmp_path)))
        for _ in range(steps):
            await asyncio.sleep(0)
        await session.aclose()
        await taking
        assert session.accounting["all"] == len(ended) == len({outcome.index for outcome in ended})
        assert all(outcome.ok and outcome.resumed for outcome in ended if outcome.index < 4)
    assert 4 == status()["saved"]
    assert len(service.bills) <= 6


async def test_a_damaged_row_hides_no_other_job_that_is_saved(service, opened, tmp_path):
    prompts = [f"boat {number}" for number in range(6)]
    async with opened() as session:
        await outcomes_of(session.generate(prompts, save_to=tmp_path))
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as database, database:
        database.execute("UPDATE jobs SET progress = 'damaged' WHERE place = 3")
    ended = []
    async with opened() as session:
        with pytest.raises(SessionStoppedError, match="damaged"):
            async for outcome in session.generate(prompts, save_to=tmp_path):
                ended.append((outcome.index, outcome.ok))
    assert [(number, number != 3) for number in range(6)] == sorted(ended)
    assert 6 == len(service.bills)


async def test_the_folder_may_be_moved(service, opened, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    async with opened(journal=here / "journal.sqlite3") as session:
        await outcomes_of(session.generate(["a"], save_to=here))
    shutil.move(here, there)
    asked = len(service.requests)
    async with opened(journal=there) as session:
        (outcome,) = await outcomes_of(session.generate(["a"], save_to=there))
    assert (there / "00000-a.webp",) == outcome.files
    assert asked == len(service.requests)


async def test_jobs_are_known_again_in_another_order_and_beside_new_ones(service, opened, tmp_path):
    async with opened() as session:
        before = await outcomes_of(session.generate(["a", "b", "c"], save_to=tmp_path))
    async with opened() as session:
        after = await outcomes_of(session.generate(["d", "c", "a", "a"], save_to=tmp_path))
    assert [False, True, True, False] == [outcome.resumed for outcome in after]
    assert [before[2].prediction.id, before[0].prediction.id] == [outcome.prediction.id for outcome in after[1:3]]
    assert 5 == len(service.bills)


async def test_a_number_means_the_same_however_it_is_written(service, opened):
    def job(guidance):
        return Job(model="black-forest-labs/flux-dev", input={"prompt": "a", "guidance": guidance})

    async with opened() as session:
        await outcomes_of(session.generate([job(3)]))
    async with opened() as session:
        (outcome,) = await outcomes_of(session.generate([job(3.0)]))
    assert outcome.resumed


async def test_an_image_is_the_same_as_path_as_bytes_and_as_data_uri(service, opened, tmp_path):
    path = tmp_path / "in.png"
    path.write_bytes(PNG)
    async with opened() as session:
        await outcomes_of(session.generate([flux.KontextPro(prompt="red", input_image=path)]))
    async with opened() as session:
        (outcome,) = await outcomes_of(session.generate([flux.KontextPro(prompt="red", input_image=PNG)]))
    assert outcome.resumed
    assert 1 == len(service.bills)


async def test_another_image_under_the_same_path_is_another_job(service, opened, tmp_path):
    path = tmp_path / "in.png"
    job = flux.KontextPro(prompt="red", input_image=path)
    path.write_bytes(PNG)
    async with opened() as session:
        await outcomes_of(session.generate([job]))
    path.write_bytes(PNG + b"\0")
    async with opened() as session:
        (outcome,) = await outcomes_of(session.generate([job]))
    assert not outcome.resumed
    assert 2 == len(service.bills)


async def test_an_image_that_cannot_be_read_ends_its_job_only(service, opened, status, tmp_path):
    async with opened() as session:
        jobs = [flux.KontextPro(prompt="red", input_image=tmp_path / "none.png"), "a"]
        outcomes = await outcomes_of(session.generate(jobs))
    assert [OutcomeKind.NOT_SENT, OutcomeKind.SUCCEEDED] == [outcome.kind for outcome in outcomes]
    assert isinstance(outcomes[0].error, InputError)


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_job_without_a_key_that_is_run_is_always_new(service, opened):
    async with opened() as session:
        await session.run("a")
        await session.run("a")
    assert 2 == len(service.bills)


@pytest.mark.slow
async def test_jobs_that_were_run_are_gone_on_with_from_the_journal_and_are_not_bought_again(
    service, opened, tmp_path, status
):
    async with opened() as session:
        await session.run("a", save_to=tmp_path)
        await session.run("b")
        service.latency = 300
        with pytest.raises(PatienceError):
            await session.run("c", patience=5)
    assert {"planned": 3, "saved": 1, "unsaved": 1, "detached": 1} == status()
    with Journal(tmp_path) as journal:
        jobs = list(journal.jobs())
    async with opened() as session:
        outcomes = await outcomes_of(session.generate(jobs, save_to=tmp_path))
    assert [(True, True, None)] * 3 == [(each.ok, each.resumed, each.error) for each in outcomes]
    assert {"planned": 3, "saved": 3} == status()
    assert 3 == len(service.bills)


async def test_a_job_with_a_key_that_is_run_again_is_not_bought_again(service, opened):
    async with opened() as session:
        first = await session.run(keyed("one"))
    async with opened() as session:
        second = await session.run(keyed("one"))
    assert first.id == second.id
    assert 1 == len(service.bills)


async def test_a_key_that_is_under_way_is_waited_for(service, opened):
    async with opened(max_pending=1) as session:
        first, second = await asyncio.gather(session.run(keyed("one")), session.run(keyed("one")))
    assert first.id == second.id
    assert 1 == len(service.bills)


async def test_a_key_under_way_in_a_batch_is_waited_for_with_a_single_slot(service, opened):
    async with opened(max_pending=1) as session:
        running = asyncio.ensure_future(session.run(keyed("one")))
        (outcome,) = await outcomes_of(session.generate([keyed("one")]))
        assert outcome.prediction.id == (await running).id
    assert 1 == len(service.bills)


async def test_after_a_timeout_the_same_key_finds_the_same_picture(service, opened):
    async with opened() as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.7):
                await session.run(keyed("order 17"))
        prediction = await session.run(keyed("order 17"))
    assert [prediction.id] == [bill.id for bill in service.bills]


async def test_a_key_that_was_refused_may_be_run_again(service, opened):
    service.fail("422")
    async with opened() as session:
        with pytest.raises(RejectedError):
            await session.run(keyed("one"))
        await session.run(keyed("one"))
    assert 1 == len(service.bills)


async def test_an_old_key_for_another_input_is_an_error(service, opened):
    async with opened() as session:
        await session.run(keyed("one", "a boat"))
        with pytest.raises(InputError) as raised:
            await session.run(keyed("one", "a ship"))
        (outcome,) = await outcomes_of(session.generate([keyed("one", "a ship")]))
    assert "key" == raised.value.field
    assert (OutcomeKind.NOT_SENT, InputError) == (outcome.kind, type(outcome.error))
    assert 1 == len(service.bills)


# ── what a dead process leaves ───────────────────────────────────────────────────────────────────────────────────────


async def copy_at(condition, source, target):
    """Copy a journal in the middle of the work, as a crash would leave it."""
    while not condition():  # noqa: ASYNC110 - the condition lies with the service
        await asyncio.sleep(0.01)
    target.mkdir()
    for path in source.iterdir():
        shutil.copy(path, target)


async def test_an_accepted_id_is_asked_after_by_the_next_run(service, opened, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    async with opened(journal=here / "journal.sqlite3") as session:
        running = asyncio.ensure_future(session.run(keyed("one")))
        await copy_at(lambda: session.pending, here, there)
        prediction = await running
    with Journal(there) as journal:
        assert 1 == journal.status()["pending"]
    told = []
    async with opened(journal=there, on_event=told.append) as session:
        (outcome,) = await outcomes_of(session.generate([keyed("one")], save_to=there))
    assert (True, True, prediction.id) == (outcome.ok, outcome.resumed, outcome.prediction.id)
    assert 1 == len(service.bills)
    assert [True] == [event.resumed for event in told if isinstance(event, events.Accepted)]


async def test_an_intent_without_an_answer_is_unknown_and_never_bought_by_itself(service, opened, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    service.fail("hang", after=True)
    async with opened(journal=here / "journal.sqlite3") as session:
        batch = session.generate([keyed("one")])
        running = asyncio.ensure_future(outcomes_of(batch))
        await copy_at(lambda: service.bills, here, there)
        await running
    with Journal(there) as journal:
        assert (1, 0) == (journal.status()["unknown"], journal.status()["pending"])
    for _ in range(2):
        async with opened(journal=there) as session:
            (outcome,) = await outcomes_of(session.generate([keyed("one")]))
        assert (OutcomeKind.UNKNOWN, True) == (outcome.kind, outcome.resumed)
        assert "the process ended while it waited for the response to the submission" in str(outcome.error)
    assert 1 == len(service.bills)


class Late(AiohttpTransport):
    """Hands an answer to a submission over only when it has been here for a while."""

    async def submit(self, request):
        response = await super().submit(request)
        await asyncio.sleep(5)
        return response


@pytest.mark.parametrize("is_billed", [True, False], ids=["billed", "not billed"])
@pytest.mark.parametrize("fault", ["redirect", "html"])
async def test_a_redirect_and_a_page_are_never_sent_again_by_later_runs(service, opened, status, fault, is_billed):
    """They do not prove a refusal: a 303 even says that the POST was carried out."""
    service.fail(fault, after=is_billed, times=100)
    for _ in range(3):
        async with opened() as session:
            with contextlib.suppress(SessionStoppedError):
                await outcomes_of(session.generate([keyed("a")]))
        assert {"planned": 1, "unknown": 1} == status()
    assert 1 == len(posts(service))
    assert int(is_billed) == len(service.bills)


async def saved_behind_a_copy(service, tmp_path):
    """Save a picture, with a copy of the journal made while its submission was not answered yet."""
    here, there, images = tmp_path / "here", tmp_path / "there", tmp_path / "images"
    writer = JournalWriter(here / "journal.sqlite3", Account(base_url=service.url, key=service.key))
    async with Session(Late(service.key, service.url), journal=writer) as session:
        running = asyncio.ensure_future(outcomes_of(session.generate([keyed("one")], save_to=images)))
        await copy_at(lambda: service.bills, here, there)
        ((saved,),) = [outcome.files for outcome in await running]
    (intent,) = records(there)
    assert (SENDING, None) == (intent.state_name, intent.prediction_id)
    return there, intent, saved


@pytest.mark.parametrize("is_older", [False, True], ids=["of this hour", "with the time of an older file"])
async def test_an_image_tells_the_id_that_the_journal_could_not_take_in(is_older, service, opened, tmp_path):
    """A disk may refuse the journal and take the image. The record next to the image names the submission."""
    there, intent, saved = await saved_behind_a_copy(service, tmp_path)
    if is_older:
        os.utime(saved, (intent.began - 60, intent.began - 60))

    async with opened(journal=there) as session:
        (outcome,) = await outcomes_of(session.generate([keyed("one")], save_to=saved.parent))
    assert (OutcomeKind.SUCCEEDED, True) == (outcome.kind, outcome.resumed)
    assert (saved,) == outcome.files
    assert (1, 2) == (len(service.bills), len(list(saved.parent.iterdir())))


def another(name, value):
    def change(record):
        return {**record, "submission": {**record["submission"], name: value}}

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(another("journal", "0" * 32), id="another journal"),
        pytest.param(another("job", "key:two"), id="another job"),
        pytest.param(another("attempt", 2), id="another attempt"),
        pytest.param(another("body", "0" * 64), id="another body"),
        pytest.param(lambda record: {**record, "submission": None}, id="no submission"),
        pytest.param(
            lambda record: {name: record[name] for name in record if name != "submission"}, id="an old record"
        ),
    ],
)
async def test_an_image_that_another_submission_made_tells_no_id(change, service, opened, tmp_path):
    """The same model, input and name are no proof: another command may have made the same image in this folder."""
    there, _, saved = await saved_behind_a_copy(service, tmp_path)
    beside = saved.with_suffix(".json")
    beside.write_text(json.dumps(change(json.loads(beside.read_text()))))
    async with opened(journal=there) as session:
        (outcome,) = await outcomes_of(session.generate([keyed("one")], save_to=saved.parent))
    assert (OutcomeKind.UNKNOWN, ()) == (outcome.kind, outcome.files)
    assert 1 == len(service.bills)


async def test_what_ended_meanwhile_is_asked_after_at_once(service, opened, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    async with opened(journal=here / "journal.sqlite3") as session:
        running = asyncio.ensure_future(session.run(keyed("one")))
        await copy_at(lambda: session.pending, here, there)
        await running
    began = asyncio.get_running_loop().time()
    async with opened(journal=there) as session:
        await session.run(keyed("one"))
    assert began == asyncio.get_running_loop().time()


async def test_a_bought_job_that_waits_for_its_slot_is_not_given_up(service, opened, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    async with opened(journal=here / "journal.sqlite3") as session:
        running = [asyncio.ensure_future(session.run(keyed(key))) for key in "ab"]
        await copy_at(lambda: 2 == len(session.pending), here, there)
        await asyncio.gather(*running)
    told = []
    async with opened(journal=there, max_pending=1, on_event=told.append) as session:
        running = [asyncio.ensure_future(session.run(keyed(key))) for key in "ab"]
        await asyncio.sleep(0.001)
        for task in running:
            task.cancel()
        await asyncio.sleep(5)
    assert [OutcomeKind.SUCCEEDED] * 2 == [event.kind for event in told if isinstance(event, events.Ended)]


async def test_a_file_that_changes_between_planning_and_sending_is_not_sent(service, opened, tmp_path):
    path = tmp_path / "in.png"
    path.write_bytes(PNG)
    drawn = [row.to_job() for row in plan.plan_jobs([Job.of(flux.KontextPro(prompt="r", input_image=path))])]
    path.write_bytes(PNG + b"\0")
    async with opened() as session:
        (outcome,) = await outcomes_of(session.generate(drawn))
    assert str(outcome.error).startswith("input_image: '")
    assert "in.png' was given; a file has changed since the job was planned; put the earlier file" in str(outcome.error)
    assert [] == service.bills


async def test_an_image_that_was_given_as_bytes_has_to_be_given_again(service, opened, tmp_path):
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        writer.plan(plan.plan_jobs([Job.of(flux.KontextPro(prompt="red", input_image=PNG))]))
    async with opened() as session:
        (outcome,) = await outcomes_of(session.generate(map(plan.job_of_record, records(tmp_path))))
        assert "the journal does not keep bytes" in str(outcome.error)
        (outcome,) = await outcomes_of(session.generate([flux.KontextPro(prompt="red", input_image=PNG)]))
    assert outcome.ok
    assert 1 == len(service.bills)


async def test_an_id_in_a_torn_answer_is_on_the_disk_before_it_is_confirmed(service, opened, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    service.fail("torn", after=True)
    service.fail("404", on="get", times=3)
    async with opened(journal=here / "journal.sqlite3") as session:
        running = asyncio.ensure_future(session.run(keyed("one")))
        await copy_at(lambda: 2 == len(service.requests), here, there)
        await running
    (record,) = records(there)
    assert ("sending", service.bills[0].id) == (record.state_name, record.evidence.prediction_id)
    async with opened(journal=there) as session:
        prediction = await session.run(keyed("one"))
    assert [prediction.id] == [bill.id for bill in service.bills]


async def test_an_id_in_a_torn_answer_that_nobody_knew_is_asked_after_by_the_next_run(service, opened, tmp_path):
    service.fail("torn", after=True)
    service.fail("404", on="get", times=5)
    async with opened() as session:
        (before,) = await outcomes_of(session.generate(["a"], save_to=tmp_path))
    async with opened() as session:
        (after,) = await outcomes_of(session.generate(["a"], save_to=tmp_path))
    assert (OutcomeKind.UNKNOWN, True) == (before.kind, after.ok)
    assert 1 == len(service.bills)


async def test_an_ended_prediction_that_is_not_saved_is_saved_by_the_next_run(service, opened, status, tmp_path):
    service.fail("output-404")
    async with opened() as session:
        (before,) = await outcomes_of(session.generate(["a"], save_to=tmp_path))
    assert isinstance(before.error, OutputError)
    assert {"planned": 1, "unsaved": 1} == status()
    async with opened() as session:
        (after,) = await outcomes_of(session.generate(["a"], save_to=tmp_path))
    assert (True, True) == (after.ok, after.resumed)
    assert {"planned": 1, "saved": 1} == status()
    assert 1 == len(service.bills)


async def test_a_picture_saved_just_before_the_crash_is_found_and_not_written_twice(service, opened, tmp_path):
    async with opened() as session:
        (before,) = await outcomes_of(session.generate(["a"], save_to=tmp_path))
    (record,) = records(tmp_path)
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        writer.open()
        writer.commit(
            [], [record.ended(OutcomeKind.SUCCEEDED, record.prediction, None).saved((), OutputError("cut off"))]
        )
    asked = len(service.requests)
    async with opened() as session:
        (after,) = await outcomes_of(session.generate(["a"], save_to=tmp_path))
    assert before.files == after.files
    assert asked == len(service.requests)
    assert 1 == len(list(tmp_path.glob("*.webp")))


def give_earlier_names(folder, *, in_the_journal):
    """Name the files of the only job as if its prompt had no letters, as earlier releases named them."""
    for path in [*folder.glob("00000*.json")]:
        facts = json.loads(path.read_text(encoding="utf-8"))
        name = facts["file"]
        facts["file"] = re.sub(r"^00000-船", "00000", name)
        (folder / name).rename(folder / facts["file"])
        path.unlink()
        (folder / facts["file"]).with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
    (record,) = records(folder)
    files = [attrs.evolve(each, name=re.sub(r"^00000-船", "00000", each.name)) for each in record.files]
    ended = record.ended(OutcomeKind.SUCCEEDED, record.prediction, None)
    saved = ended.saved(files, None) if in_the_journal else ended.saved((), OutputError("cut off"))
    with contextlib.closing(JournalWriter(folder)) as writer:
        writer.open()
        writer.commit([], [saved])


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("in_the_journal", [True, False], ids=["named in the journal", "found by name"])
async def test_images_under_the_names_of_an_earlier_release_are_known_as_saved(
    in_the_journal, count, service, opened, tmp_path
):
    jobs = [flux.Schnell(prompt="船", num_outputs=count)]
    async with opened() as session:
        await outcomes_of(session.generate(jobs, save_to=tmp_path))
    give_earlier_names(tmp_path, in_the_journal=in_the_journal)
    before = sorted(tmp_path.glob("00000*"))
    asked = len(service.requests)
    async with opened() as session:
        (after,) = await outcomes_of(session.generate(jobs, save_to=tmp_path))
    assert ["00000.webp"] * (count == 1) + ["00000-1.webp", "00000-2.webp"] * (count == 2) == [
        path.name for path in after.files
    ]
    assert (True, asked, before) == (after.ok, len(service.requests), sorted(tmp_path.glob("00000*")))


async def test_only_the_image_that_an_earlier_release_did_not_save_is_fetched(service, opened, tmp_path):
    jobs = [flux.Schnell(prompt="船", num_outputs=2)]
    async with opened() as session:
        await outcomes_of(session.generate(jobs, save_to=tmp_path))
    give_earlier_names(tmp_path, in_the_journal=False)
    for ending in ("webp", "json"):
        (tmp_path / f"00000-2.{ending}").unlink()
    async with opened() as session:
        (after,) = await outcomes_of(session.generate(jobs, save_to=tmp_path))
    assert (True, ["00000-1.webp", "00000-船-2.webp"]) == (after.ok, [path.name for path in after.files])
    assert (1, 2) == (len(service.bills), len(list(tmp_path.glob("*.webp"))))


async def test_what_ended_without_a_picture_is_told_again_and_not_bought_again(service, opened, tmp_path):
    for fault in ("failed", "failed-transient", "canceled", "aborted", "expired"):
        service.fail(fault)
    async with opened(max_pending=1) as session:
        before = await outcomes_of(session.generate(list("abcde"), save_to=tmp_path))
    asked = len(service.requests)
    async with opened() as session:
        after = await outcomes_of(session.generate(list("abcde"), save_to=tmp_path))
    assert asked == len(service.requests)
    assert [outcome.kind for outcome in before] == [outcome.kind for outcome in after]
    assert [str(outcome.error) for outcome in before] == [str(outcome.error) for outcome in after]
    assert [outcome.prediction.status for outcome in before] == [outcome.prediction.status for outcome in after]


async def test_what_was_refused_or_not_sent_is_sent_by_the_next_run(service, opened, status):
    service.fail("422")
    async with opened(max_pending=1) as session:
        (before,) = await outcomes_of(session.generate(["a"]))
    assert {"planned": 1, "rejected": 1} == status()
    async with opened() as session:
        (after,) = await outcomes_of(session.generate(["a"]))
    assert (OutcomeKind.REJECTED, OutcomeKind.SUCCEEDED) == (before.kind, after.kind)
    assert not after.resumed


async def test_a_detached_prediction_is_asked_after_again(service, opened, status):
    async with opened() as session:
        with pytest.raises(Exception, match="patience"):
            await session.run(keyed("one"), patience=0.1)
    assert {"planned": 1, "detached": 1} == status()
    async with opened() as session:
        prediction = await session.run(keyed("one"))
    assert [prediction.id] == [bill.id for bill in service.bills]


async def test_an_output_that_came_as_a_data_uri_is_asked_for_again(service, opened, tmp_path):
    service.fail("data-uri")
    async with opened() as session:
        (before,) = await outcomes_of(session.generate(["a"], save_to=tmp_path))
    before.files[0].unlink()
    async with opened() as session:
        (after,) = await outcomes_of(session.generate(["a"], save_to=tmp_path))
    assert after.ok
    assert 1 == len(service.bills)


# ── the order of every await ─────────────────────────────────────────────────────────────────────────────────────────


async def test_nothing_leaves_before_its_intent_is_on_the_disk(service, tmp_path):
    held = Held()
    async with held_session(service, tmp_path, held) as session:
        held.leave.clear()
        running = asyncio.ensure_future(session.run("a"))
        await real_moment()
        assert [] == posts(service)
        held.leave.set()
        await running
    assert 1 == len(service.bills)


async def test_nothing_is_asked_before_the_id_is_on_the_disk(service, tmp_path):
    held = Held()
    async with held_session(service, tmp_path, held) as session:
        running = asyncio.ensure_future(session.run("a"))
        while not posts(service):  # noqa: ASYNC110 - the condition lies with the service
            await asyncio.sleep(0)
        held.leave.clear()
        await real_moment()
        assert ["POST"] == [request.method for request in service.requests]
        held.leave.set()
        await running


async def real_moment():
    """Wait for real: the virtual clock stands still while the journal's thread does."""
    for _ in range(50):
        await asyncio.sleep(0)
        time.sleep(0.001)  # noqa: ASYNC251 - a moment for the thread


async def test_a_job_given_up_while_its_intent_is_written_is_not_sent(service, tmp_path, status):
    held = Held()
    async with held_session(service, tmp_path, held) as session:
        held.leave.clear()
        running = asyncio.ensure_future(session.run(keyed("one")))
        await real_moment()
        running.cancel()
        await asyncio.sleep(0)
        held.leave.set()
    assert [] == posts(service)
    assert {"planned": 1, "waiting": 1} == status()


# ── a journal that cannot be written ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 13))
async def test_when_the_journal_cannot_be_written_nothing_is_sent_and_what_is_paid_is_saved(number, service, tmp_path):
    held, told = Held(), []
    async with held_session(service, tmp_path, held, max_pending=3, on_event=told.append) as session:
        held.fail_from_now_on(range(number, 1000))
        outcomes = []
        with pytest.raises(SessionStoppedError) as raised:
            async for outcome in session.generate([str(n) for n in range(40)], save_to=tmp_path / "out"):
                outcomes.append(outcome)
    assert isinstance(raised.value.cause, JournalError)
    assert "disk I/O error" in str(raised.value)
    bought = [outcome for outcome in outcomes if outcome.prediction]
    assert sorted(bill.id for bill in service.bills) == sorted(outcome.prediction.id for outcome in bought)
    assert all(outcome.ok for outcome in bought)
    assert all(outcome.files[0].exists() for outcome in bought)
    assert {OutcomeKind.NOT_SENT, OutcomeKind.SUCCEEDED} >= {outcome.kind for outcome in outcomes}
    assert len(service.bills) <= number * 3


async def test_what_the_disk_refused_is_written_when_the_session_is_closed(service, tmp_path):
    held = Held()
    async with held_session(service, tmp_path, held, max_pending=4) as session:
        held.fail_from_now_on(range(3, 100))
        with pytest.raises(SessionStoppedError):
            await outcomes_of(session.generate([str(n) for n in range(20)], save_to=tmp_path))
        held.failing = ()
    assert sorted(bill.id for bill in service.bills) == ids(tmp_path)
    assert {"saved"} == {record.state_name for record in records(tmp_path) if record.bought}


async def test_an_id_that_the_journal_could_not_take_in_is_logged(service, tmp_path, caplog):
    held = Held()
    async with held_session(service, tmp_path, held) as session:
        held.fail_from_now_on([2])
        prediction = await session.run(keyed("one"))
    assert prediction.id in caplog.text
    # The disk took what came later.
    assert [prediction.id] == [record.prediction_id for record in records(tmp_path)]


async def test_a_second_session_is_told_at_once_that_the_journal_is_in_use(service, opened):
    async with opened() as session:
        with pytest.raises(JournalLockedError, match="by another session of this process; wait for it, or close it"):
            async with opened():
                pass
        await session.run("a")


async def test_a_journal_of_another_key_is_refused_unless_the_key_is_new(service, opened, tmp_path):
    async with opened() as session:
        await session.run(keyed("one"))
    with pytest.raises(JournalMismatchError, match="new_key=True"):
        async with open_session(api_key="another", base_url=service.url, journal=tmp_path):
            pass
    async with open_session(api_key="another", base_url=service.url, journal=tmp_path, new_key=True):
        pass
    with pytest.raises(JournalMismatchError):
        async with opened():
            pass


async def test_a_journal_that_is_no_path_is_refused(opened):
    for journal in ("", 17, b"bytes"):
        with pytest.raises(ConfigError, match="journal"):
            opened(journal=journal)


# ── unknowns ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_evidence_of_an_unknown_is_kept(service, opened, tmp_path):
    service.fail("502", after=True)
    async with opened() as session:
        with pytest.raises(UnknownSubmissionError) as raised:
            await session.run(keyed("one"))
    (record,) = records(tmp_path)
    assert "unknown" == record.state_name
    assert raised.value.evidence == record.evidence.evidence
    assert (502, 1, 64) == (record.evidence.status, record.attempt, len(record.body))
    assert record.began is not None


async def test_resending_an_unknown_needs_a_limit(opened):
    with pytest.raises(ConfigError, match="max_resends"):
        opened(on_unknown="resend")
    with pytest.raises(ConfigError, match="no meaning"):
        opened(max_resends=3)
    with pytest.raises(ConfigError, match="on_unknown"):
        opened(on_unknown="retry")


async def test_unknowns_are_sent_again_up_to_the_limit(service, opened, status):
    service.fail("drop", times=4, after=True)
    told = []
    async with opened(on_unknown="resend", max_resends=3, max_pending=1, on_event=told.append) as session:
        outcomes = await outcomes_of(session.generate(["a", "b"]))
    assert [OutcomeKind.UNKNOWN, OutcomeKind.SUCCEEDED] == [outcome.kind for outcome in outcomes]
    assert 5 == len(service.bills)
    assert 3 == sum(isinstance(event, events.Retried) for event in told)
    assert {"planned": 2, "saved": 0, "unsaved": 1, "unknown": 1} == {"saved": 0, **status()}


async def test_a_function_that_always_resends_has_a_limit_for_one_job(service, opened, caplog):
    async def resend(*_):
        # Longer than the time in which several unknown submissions stop the session.
        await asyncio.sleep(1000)
        return "resend"

    service.fail("drop", times=30, after=True)
    async with opened(on_unknown=resend) as session:
        with pytest.raises(UnknownSubmissionError):
            await session.run(keyed("one"))
    assert 11 == len(service.bills)
    assert "one was sent again 10 times, the most without max_resends" in caplog.text


async def test_every_attempt_stands_in_the_journal(service, opened, tmp_path):
    service.fail("drop", after=True)
    async with opened(on_unknown="resend", max_resends=1) as session:
        await session.run(keyed("one"))
    (record,) = records(tmp_path)
    assert (2, 2, [(1, OutcomeKind.UNKNOWN)]) == (
        record.attempt,
        record.bought,
        [(a.number, a.kind) for a in record.earlier],
    )


async def test_when_sending_again_comes_to_nothing_the_job_stays_unknown(service, opened, status):
    service.fail("drop", after=True)
    service.fail("422")
    async with opened(on_unknown="resend", max_resends=1) as session:
        with pytest.raises(UnknownSubmissionError):
            await session.run(keyed("one"))
    assert {"planned": 1, "unknown": 1} == status()


@pytest.mark.parametrize("when", ["at once", "in the next run"])
async def test_a_function_decides_about_an_unknown(when, service, opened, tmp_path):
    asked = []

    async def decide(job, error):
        asked.append((job.prompt, error.key, error.money))
        await asyncio.sleep(3600)
        return service.bills[0].id

    service.fail("drop", after=True)
    if when == "at once":
        async with opened(on_unknown=decide) as session:
            (outcome,) = await outcomes_of(session.generate([keyed("one")], save_to=tmp_path))
    else:
        async with opened() as session:
            await outcomes_of(session.generate([keyed("one")], save_to=tmp_path))
        async with opened(on_unknown=decide) as session:
            (outcome,) = await outcomes_of(session.generate([keyed("one")], save_to=tmp_path))
    assert outcome.ok
    assert service.bills[0].id == outcome.prediction.id
    assert [("a boat", "one", "unknown")] == asked
    assert 1 == len(service.bills)


@pytest.mark.parametrize(("fault", "most"), [("html", 1), ("drop", 5)], ids=["a web page", "the fifth in a row"])
async def test_a_function_decides_also_about_the_unknown_that_stops_the_session(fault, most, service, opened):
    async def decide(job, error):
        await asyncio.sleep(60)
        return next(bill.id for bill in service.bills if bill.input["prompt"] == job.prompt)

    service.fail(fault, after=True, times=most)
    outcomes = []
    async with opened(on_unknown=decide) as session:
        with pytest.raises(SessionStoppedError):
            async for outcome in session.generate(iter([str(number) for number in range(most)])):
                outcomes.append(outcome)
            await session.run("one more")
    assert [OutcomeKind.SUCCEEDED] * most == [outcome.kind for outcome in outcomes]
    assert most == len(service.bills)


@pytest.mark.parametrize("answer", ["hold", "no-such-prediction", "../evil", None, 17, RuntimeError("broken")])
async def test_whatever_a_function_answers_an_unknown_is_not_bought_again_unless_it_says_so(answer, service, opened):
    async def decide(job, error):
        if isinstance(answer, Exception):
            raise answer
        return answer

    service.fail("drop", after=True)
    async with opened(on_unknown=decide) as session:
        with pytest.raises(UnknownSubmissionError):
            await session.run("a")
    assert 1 == len(service.bills)


async def test_a_function_that_is_cut_off_leaves_the_submission_unknown(service, opened, status):
    async def decide(job, error):
        await asyncio.sleep(3600)

    service.fail("drop", after=True)
    async with opened(on_unknown=decide) as session:
        running = asyncio.ensure_future(session.run(keyed("one")))
        await asyncio.sleep(10)
        running.cancel()
    assert {"planned": 1, "unknown": 1} == status()


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("is_journalled", [True, False])
@pytest.mark.parametrize("most", [0, 1, 7])
async def test_no_more_is_bought_than_allowed_and_no_less(most, is_journalled, service, opened):
    service.fail("422", times=2)
    service.fail("429", times=3)
    options = {} if is_journalled else {"journal": None}
    async with opened(max_pending=5, max_predictions=most, **options) as session:
        with pytest.raises(SessionStoppedError) as raised:
            await outcomes_of(session.generate([str(n) for n in range(30)]))
    assert isinstance(raised.value.cause, LimitError)
    assert most == len(service.bills)


async def test_the_limit_counts_what_earlier_runs_bought(service, opened, tmp_path):
    jobs = [str(n) for n in range(10)]
    for most in (3, 5, 5, 8):
        async with opened(max_pending=4, max_predictions=most) as session:
            with pytest.raises(SessionStoppedError):
                await outcomes_of(session.generate(jobs, save_to=tmp_path))
        assert most == len(service.bills)
    async with opened(max_predictions=10) as session:
        outcomes = await outcomes_of(session.generate(jobs, save_to=tmp_path))
    assert 10 == len(service.bills)
    assert all(outcome.ok for outcome in outcomes)


async def test_an_unknown_counts_towards_the_limit(service, opened):
    service.fail("drop", after=True)
    async with opened(max_pending=1, max_predictions=2) as session:
        with pytest.raises(SessionStoppedError):
            await outcomes_of(session.generate(["a", "b", "c"]))
    assert 2 == len(service.bills)


@pytest.mark.parametrize(
    "option", [{"max_predictions": -1}, {"max_predictions": True}, {"retry_failed": -1}, {"retry_failed": 1.5}]
)
async def test_a_wrong_limit_is_refused(option, opened):
    with pytest.raises(ConfigError, match=next(iter(option))):
        opened(**option)


# ── buying again what failed for a passing reason ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("allowed", "bills"), [(0, 1), (1, 2), (2, 3), (5, 3)])
async def test_a_passing_failure_is_bought_again_as_often_as_allowed(allowed, bills, service, opened, tmp_path):
    service.fail("failed-transient", times=2)
    async with opened(retry_failed=allowed) as session:
        (outcome,) = await outcomes_of(session.generate(["a"], save_to=tmp_path))
    assert bills == len(service.bills)
    assert (allowed >= 2) == outcome.ok
    (record,) = records(tmp_path)
    assert bills == record.bought == record.attempt
    earlier = [(each.kind, each.prediction_id) for each in record.earlier]
    assert [(OutcomeKind.FAILED, bill.id) for bill in service.bills[:-1]] == earlier


async def test_a_passing_failure_is_bought_again_without_a_journal_too(service, opened):
    service.fail("failed-transient")
    async with opened(retry_failed=1, journal=None) as session:
        await session.run("a")
    assert 2 == len(service.bills)


async def test_what_was_refused_for_its_content_is_never_bought_again(service, opened):
    service.fail("failed")
    async with opened(retry_failed=3) as session:
        with pytest.raises(PredictionFailedError):
            await session.run("a")
    assert 1 == len(service.bills)


async def test_what_the_caller_has_left_is_not_bought_again(service, opened):
    service.fail("failed-transient")
    async with opened(retry_failed=3) as session:
        running = asyncio.ensure_future(session.run("a"))
        await asyncio.sleep(0.6)
        running.cancel()
        await asyncio.sleep(5)
    assert 1 == len(service.bills)


async def test_when_buying_again_is_refused_the_job_stays_failed(service, opened, status):
    service.fail("failed-transient")
    async with opened(retry_failed=1) as session:
        running = asyncio.ensure_future(session.run(keyed("one")))
        await asyncio.sleep(0.5)
        service.fail("422")
        with pytest.raises(PredictionFailedError):
            await running
    assert {"planned": 1, "failed": 1} == status()
    assert 1 == len(service.bills)


async def test_a_later_run_may_buy_again_what_failed_for_a_passing_reason(service, opened, status, tmp_path):
    service.fail("failed-transient")
    service.fail("failed")
    async with opened(max_pending=1) as session:
        await outcomes_of(session.generate(["a", "b"], save_to=tmp_path))
    async with opened(retry_failed=1) as session:
        after = await outcomes_of(session.generate(["a", "b"], save_to=tmp_path))
    assert [(OutcomeKind.SUCCEEDED, False), (OutcomeKind.FAILED, True)] == [
        (outcome.kind, outcome.resumed) for outcome in after
    ]
    assert {"planned": 2, "saved": 1, "failed": 1} == status()


# ── nothing is lost ──────────────────────────────────────────────────────────────────────────────────────────────────


def slow_session(service, folder, **options):
    writer = JournalWriter(folder, Account(base_url=service.url, key=service.key))
    return Session(SlowTransport(service.key, service.url), journal=writer, **options)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_a_batch_that_is_left_and_run_again_is_complete_and_bought_once(seed, service, tmp_path, status):
    chance = random.Random(seed)
    jobs = [str(number) for number in range(30)]
    for _ in range(4):
        left = chance.randrange(1, 8)
        async with slow_session(service, tmp_path, max_pending=5) as session:
            async for _ in session.generate(jobs, save_to=tmp_path):
                if not (left := left - 1):
                    break
            await asyncio.sleep(chance.uniform(0, 2))
    async with slow_session(service, tmp_path, max_pending=5) as session:
        outcomes = await outcomes_of(session.generate(jobs, save_to=tmp_path))
    assert all(outcome.ok for outcome in outcomes)
    assert 30 == len(service.bills)
    assert {"planned": 30, "saved": 30} == status()


async def test_a_session_closed_without_patience_leaves_ids_for_the_next(service, tmp_path, status):
    async with slow_session(service, tmp_path, max_pending=5, grace=0.2) as session:
        batch = session.generate([str(number) for number in range(10)], save_to=tmp_path)
        await anext(batch)
    async with slow_session(service, tmp_path, max_pending=5) as session:
        outcomes = await outcomes_of(session.generate([str(number) for number in range(10)], save_to=tmp_path))
    unknown = [outcome for outcome in outcomes if outcome.kind is OutcomeKind.UNKNOWN]
    assert sorted(bill.id for bill in service.bills) == ids(tmp_path) or unknown
    assert 10 >= len(service.bills)


async def test_a_submission_that_never_left_is_repeated_and_counted(service, tmp_path):
    told = []
    policy = RetryPolicy(tries=3)
    port = await free_port()
    options = {"journal": tmp_path, "retry_policy": policy, "on_event": told.append}
    async with open_session(api_key="k", base_url=f"http://127.0.0.1:{port}/replicate/v1", **options) as session:
        with pytest.raises(ConnectError):
            await session.run(keyed("one"))
    assert 2 == sum(isinstance(event, events.Retried) for event in told)
    (record,) = records(tmp_path)
    assert ("not_sent", 3, 3, 0) == (record.state_name, record.attempt, record.unsent, record.bought)


async def free_port():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_accounting_adds_up_with_what_is_resumed(service, opened, tmp_path):
    async with opened() as session:
        await outcomes_of(session.generate(["a", "b"], save_to=tmp_path))
    async with opened() as session:
        await outcomes_of(session.generate(["a", "b", "c"], save_to=tmp_path))
        counts = dict(session.accounting)
    assert 3 == counts.pop("all") == sum(counts.values())


# ── what a hostile reader found ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("jobs", [[keyed("k", "p"), "p"], ["p", keyed("k", "p")], ["p"]])
async def test_a_job_with_a_key_changes_nothing_for_a_like_one_without(jobs, service, opened):
    async with opened() as session:
        await outcomes_of(session.generate(jobs))
    async with opened() as session:
        await outcomes_of(session.generate([keyed("k", "p"), "p"]))
        await outcomes_of(session.generate(["p", keyed("k", "p")]))
    assert 2 == len(service.bills)


@pytest.mark.parametrize("journal", [None, "kept"])
async def test_what_the_caller_has_left_is_not_sent_again_after_a_refusal(journal, service, opened, tmp_path):
    service.fail("429")
    options = {"journal": journal and tmp_path / journal}
    async with opened(**options) as session:
        running = asyncio.ensure_future(session.run("a"))
        while not posts(service):  # noqa: ASYNC110 - the condition lies with the service
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.sleep(60)
    assert [] == service.bills
    assert 1 == len(posts(service))


async def test_a_pause_is_kept_by_those_who_wait_for_the_limit(service, opened):
    service.fail("429-date", times=2)
    began = asyncio.get_running_loop().time()
    async with opened(max_predictions=1, max_pending=12) as session:
        with pytest.raises(SessionStoppedError):
            await outcomes_of(session.generate([str(n) for n in range(12)]))
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(posts(service))]
    assert all(gap >= 1 for gap in gaps), (began, gaps)
    assert 1 == len(service.bills)


async def test_an_id_in_a_torn_answer_is_kept_when_the_session_is_closed_meanwhile(service, tmp_path):
    service.fail("torn", after=True)
    service.fail("hang", on="get", times=9)
    told = []
    async with held_session(service, tmp_path, Held(), grace=1.0, on_event=told.append) as session:
        running = asyncio.ensure_future(session.run(keyed("one")))
        await asyncio.sleep(3)
        running.cancel()
    (ended,) = [event for event in told if isinstance(event, events.Ended)]
    (record,) = records(tmp_path)
    assert service.bills[0].id == ended.error.prediction_id == record.evidence.prediction_id


async def test_input_that_changes_after_the_job_was_made_is_not_the_job_s(service, opened):
    images = ["https://example.org/1.png"]
    job = Job(model="acme/model", input={"images": images})
    images.append("https://example.org/2.png")
    assert ["https://example.org/1.png"] == job.input["images"]


async def test_what_was_saved_elsewhere_stays_saved_when_the_service_has_forgotten_it(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    async with LocalService(pixels=4096, latency=1.0, lifetime=60.0) as brief:
        options = {"api_key": brief.key, "base_url": brief.url, "journal": tmp_path / "j.sqlite3"}
        async with open_session(**options) as session:
            await outcomes_of(session.generate(["a"], save_to=here))
            await asyncio.sleep(120)
        async with open_session(**options) as session:
            (gone,) = await outcomes_of(session.generate(["a"], save_to=there))
        async with open_session(**options) as session:
            (kept,) = await outcomes_of(session.generate(["a"], save_to=here))
    assert (OutcomeKind.EXPIRED, True) == (gone.kind, kept.ok)


async def test_what_is_paid_for_is_saved_although_nothing_more_may_be_bought(service, opened, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    jobs = [str(number) for number in range(20)]
    async with opened(journal=here / "journal.sqlite3", max_pending=20) as session:
        running = asyncio.ensure_future(outcomes_of(session.generate(jobs[5:])))
        await copy_at(lambda: 15 == len(session.pending), here, there)
        await running
    async with opened(journal=there, max_predictions=15, max_pending=3) as session:
        outcomes = []
        with pytest.raises(SessionStoppedError):
            async for outcome in session.generate(jobs, save_to=there):
                outcomes.append(outcome)
    assert 15 == len(service.bills) == sum(outcome.ok for outcome in outcomes)
    assert 20 == len(outcomes)


async def test_a_key_is_known_though_its_reference_image_is_gone(service, opened, tmp_path):
    path = tmp_path / "in.png"
    path.write_bytes(PNG)
    job = Job.of(flux.KontextPro(prompt="red", input_image=path), key="one")
    async with opened() as session:
        before = await session.run(job)
    path.unlink()
    async with opened() as session:
        after = await session.run(job)
    assert before.id == after.id


async def test_an_intent_of_a_dead_process_stays_unknown_when_sending_it_again_comes_to_nothing(
    service, opened, tmp_path
):
    here, there = tmp_path / "here", tmp_path / "there"
    service.fail("hang", after=True)
    async with opened(journal=here / "journal.sqlite3") as session:
        running = asyncio.ensure_future(outcomes_of(session.generate([keyed("one")])))
        await copy_at(lambda: service.bills, here, there)
        await running
    limited = {"on_unknown": "resend", "max_resends": 1, "max_predictions": 1}
    for options in (limited, {}):
        async with opened(journal=there, **options) as session:
            with pytest.raises(UnknownSubmissionError):
                await session.run(keyed("one"))
    assert 1 == len(service.bills)


async def test_what_a_killed_run_left_half_written_is_removed_when_the_journal_is_opened(opened, tmp_path):
    left = tmp_path / ".cometflux-0123456789abcdef"
    left.write_bytes(b"half a picture")
    async with opened():
        assert not left.exists()


async def test_a_batch_leaves_alone_what_another_one_of_the_session_is_writing(opened, tmp_path):
    async with opened() as session:
        being_written = tmp_path / ".cometflux-0123456789abcdef"
        being_written.write_bytes(b"half a picture")
        assert [True] == [outcome.ok async for outcome in session.generate(["a boat"], save_to=tmp_path)]
        assert being_written.exists()
