"""Jobs whose images the service withheld, submitted again with another seed."""

import asyncio
import shutil
import sqlite3

import pytest
from dying_process import dying, in_child
from journal_records import record_in
from keyed_jobs import keyed, make

from cometflux import Job, PollPolicy, Session, open_session
from cometflux.errors import ConfigError, InputError, PredictionFailedError, SessionStoppedError
from cometflux.journal import codec
from cometflux.journal.header import Account
from cometflux.journal.writer import JournalWriter
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport


def seeds(service):
    return [bill.input.get("seed") for bill in service.bills]


@pytest.mark.slow
@pytest.mark.parametrize("given", [{}, {"seed": 7}], ids=["without a seed", "with a seed"])
@pytest.mark.parametrize("fault", ["failed", "missing-image"])
async def test_a_withheld_image_is_tried_again_with_a_new_seed_that_is_recorded(
    fault, given, service, opened, tmp_path
):
    service.fail(fault, times=2)
    async with opened(reseed=3) as session:
        (outcome,) = (await make(session, keyed(**given), save_to=tmp_path)).values()
    assert outcome.ok
    assert 3 == len(set(seeds(service)))
    assert given.get("seed") == seeds(service)[0]
    assert seeds(service)[-1] == outcome.job.input["seed"] == record_in(tmp_path).input["seed"]
    assert all(0 <= seed < 2**31 for seed in seeds(service)[1:])
    before = [codec.load_plan(each.plan)["input"].get("seed") for each in record_in(tmp_path).earlier]
    assert seeds(service)[:-1] == before
    assert (3, 3) == (record_in(tmp_path).bought, len(record_in(tmp_path).prediction_ids))


async def test_the_same_batch_again_finds_it_saved_under_its_first_seed(service, opened, tmp_path):
    service.fail("failed")
    for _ in range(2):
        async with opened(reseed=1) as session:
            outcome = (await make(session, keyed(seed=7), save_to=tmp_path))["a"]
            assert outcome.ok
    assert 2 == len(service.bills)
    assert outcome.resumed
    assert seeds(service)[1] == outcome.job.input["seed"]


@pytest.mark.parametrize("most", [0, 1, 2])
async def test_it_is_tried_again_that_often_over_all_runs(most, service, opened, tmp_path):
    service.fail("failed", times=9)
    for _ in range(2):
        async with opened(reseed=most) as session:
            outcome = (await make(session, keyed(), save_to=tmp_path))["a"]
        assert isinstance(outcome.error, PredictionFailedError)
    assert 1 + most == len(service.bills)
    assert "failed" == record_in(tmp_path).state_name


async def test_a_later_run_that_allows_it_tries_again_what_an_earlier_one_left(service, opened, tmp_path):
    service.fail("failed")
    async with opened() as session:
        await make(session, keyed(), save_to=tmp_path)
    async with opened(reseed=1) as session:
        outcome = (await make(session, keyed(), save_to=tmp_path))["a"]
    assert outcome.ok
    assert 2 == len(service.bills)


async def test_a_transient_failure_keeps_its_seed(service, opened, tmp_path):
    service.fail("failed-transient")
    async with opened(reseed=1) as session:
        assert not (await make(session, keyed(seed=7)))["a"].ok
    assert 1 == len(service.bills)
    async with opened(reseed=1, retry_failed=1) as session:
        assert (await make(session, keyed(seed=7)))["a"].ok
    assert [7, 7] == seeds(service)


async def test_someone_who_asks_for_it_again_gets_all_tries_again(service, opened, tmp_path):
    service.fail("failed", times=3)
    async with opened(reseed=1) as session:
        await make(session, keyed())
    async with opened(reseed=1) as session:
        assert (await make(session, keyed(), redo={"failed"}))["a"].ok
    assert 4 == len(service.bills)


async def test_a_limit_holds_and_a_higher_one_goes_on_with_the_new_seed(service, opened, tmp_path):
    service.fail("failed")
    outcomes = []
    with pytest.raises(SessionStoppedError, match="the limit of 1 prediction is reached"):
        async with opened(reseed=1, max_predictions=1) as session:
            async for outcome in session.generate([keyed()], save_to=tmp_path):
                outcomes.append(outcome)
    assert ["failed"] == [outcome.kind for outcome in outcomes]
    assert 1 == len(service.bills)
    async with opened(reseed=1, max_predictions=2) as session:
        assert (await make(session, keyed(), save_to=tmp_path))["a"].ok
    assert 2 == len(service.bills)


async def test_a_refusal_of_speed_keeps_the_new_seed(service, opened, tmp_path):
    service.fail("failed")
    async with opened(reseed=1, on_event=lambda _: refuse()) as session:

        def refuse():
            if len(service.bills) == 1 and not refused:
                refused.append(service.fail("429", times=2))

        refused = []
        outcome = (await make(session, keyed(), save_to=tmp_path))["a"]
    assert outcome.ok
    assert 2 == len(service.bills)
    assert 2 == record_in(tmp_path).bought


async def test_without_a_journal_it_is_the_same(service, opened):
    service.fail("failed")
    async with opened(journal=None, reseed=1) as session:
        prediction = await session.run(keyed(seed=7))
    assert 2 == len(service.bills)
    assert seeds(service)[1] == prediction.input["seed"]


async def test_a_job_whose_model_is_not_known_to_take_a_seed_is_not_sent(service, opened):
    async with opened(reseed=1) as session:
        with pytest.raises(InputError, match="reseed needs a model with a seed, and none is known of me/own"):
            await session.run(Job(model="me/own", input={"prompt": "a boat"}))
    assert [] == service.bills


@pytest.mark.parametrize("reseed", [-1, 1.5, "2", None])
def test_what_is_no_count_is_refused(reseed):
    with pytest.raises(ConfigError, match="reseed"):
        open_session(api_key="k", reseed=reseed)


@pytest.mark.hard
@pytest.mark.parametrize("fault", ["failed", "black"])
def test_killed_at_any_statement_it_is_never_bought_twice(fault, tmp_path):
    with LocalService.in_thread(latency=0.0, pixels=1024) as service:

        def run(folder, connect=sqlite3.connect):
            async def work():
                writer = JournalWriter(folder, Account(base_url=service.url, key=service.key), connect=connect)
                transport = AiohttpTransport(service.key, service.url)
                async with Session(transport, journal=writer, poll_policy=PollPolicy.every(0.01), reseed=1) as session:
                    return (await make(session, keyed(seed=7), save_to=folder))["a"].kind

            return asyncio.run(work())

        first, number, ended, seen = tmp_path / "a", 0, None, set()
        first.mkdir()
        while ended != 0:
            number += 1
            folder = shutil.copytree(first, tmp_path / f"killed-{number}")
            before = len(service.bills)
            service.fail(fault)
            ended = in_child(lambda: run(folder, dying(number)) and 0)  # noqa: B023 - run at once
            at_kill = len(service.bills) - before
            run(folder)
            bills = service.bills[before:]
            seen.add(at_kill)
            assert len(bills) <= 2, "it was bought twice"
            assert len(bills) >= at_kill
            assert record_in(folder).bought <= 2
        assert {0, 1, 2} == seen
