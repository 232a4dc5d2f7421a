"""Jobs that somebody asks for again: what their records say, and what a kill leaves."""

import asyncio
import shutil
import sqlite3
from collections import Counter

import attrs
import pytest
from dying_process import dying, in_child
from job_states import STATES, plan, reach, write

from cometflux import Journal, PollPolicy, Session
from cometflux.account.settle import doubt_of
from cometflux.errors import ConnectError, RejectedError, SessionStoppedError
from cometflux.jobs import Job
from cometflux.journal import codec
from cometflux.journal.attempts import Attempt
from cometflux.journal.header import Account
from cometflux.journal.plan import job_of_record, plan_jobs
from cometflux.journal.redo import is_to_redo, redone, was_planned_as
from cometflux.journal.states import NextStep
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport

ENDED = ("failed", "canceled", "expired", "rejected")


def record(state, folder, **given):
    return reach(state, plan(3, key="fox", **given), folder)


def written_and_read(record):
    return codec.load_record(record.identity, record.index, codec.dump_plan(record), codec.dump_progress(record))


@pytest.mark.parametrize("state", [*ENDED, "saved", "unknown"])
def test_a_job_that_is_asked_for_again_is_planned_and_keeps_its_attempt_and_what_it_cost(state, tmp_path):
    before = record(state, tmp_path)
    after = redone(before)
    assert ("waiting", NextStep.SUBMIT, before.bought) == (after.state_name, after.next_step(), after.bought)
    (attempt,) = after.earlier
    assert (before.kind, before.prediction_id, before.prediction, before.evidence, before.files) == (
        *(attempt.kind, attempt.prediction_id, attempt.prediction, attempt.evidence, attempt.files),
    )
    assert before.prediction_ids == after.prediction_ids
    assert after == written_and_read(after)


@pytest.mark.parametrize("plan", ["x", "{}", "[]", "null", '{"key":"a","model":5}', "[" * 5000])
def test_a_record_whose_earlier_plan_something_else_has_changed_is_refused_as_a_whole(plan, tmp_path):
    """Otherwise each reader of that plan would fail in its own way, long after the journal was read."""
    before = record("saved", tmp_path)
    assert written_and_read(before.redo(codec.dump_plan(before))).earlier[0].plan
    with pytest.raises(ValueError, match=r"in the record of|Expecting value"):
        written_and_read(before.redo(plan))


@pytest.mark.parametrize("state", STATES)
def test_only_jobs_that_are_over_are_meant_by_their_state_and_none_under_way_by_its_key(state, tmp_path):
    it = record(state, tmp_path)
    assert (state in ENDED) == is_to_redo(it, "fox", frozenset(ENDED))
    assert (it.state_name not in ("pending", "detached", "unsaved")) == is_to_redo(it, "fox", frozenset({"fox"}))
    assert not is_to_redo(it, "fox", frozenset({"saved", "unknown", "waiting"}))
    assert not is_to_redo(it, "fox", frozenset())


def test_an_unknown_submission_that_was_given_up_is_not_meant_by_canceled(tmp_path):
    given_up = record("unknown", tmp_path).abandoned()
    assert "canceled" == given_up.state_name
    assert not is_to_redo(given_up, "fox", frozenset({"canceled"}))
    assert is_to_redo(given_up, "fox", frozenset({"fox"}))


@pytest.mark.parametrize("state", [*ENDED, "waiting", "not_sent", "saved"])
def test_a_job_that_is_asked_for_with_another_input_keeps_the_old_one_and_its_identity(state, tmp_path):
    before = record(state, tmp_path)
    new = attrs.evolve(before, model="me/own", input={"prompt": "an owl"}, fingerprint="f" * 64)
    after = redone(before, new)
    assert ("me/own", {"prompt": "an owl"}, before.identity, before.index) == (
        *(after.model, after.input, after.identity, after.index),
    )
    old = codec.load_plan(after.earlier[-1].plan)
    assert (before.model, before.input) == (old["model"], old["input"])
    assert was_planned_as(after, before.fingerprint)
    assert not was_planned_as(after, "0" * 64)
    assert before.bought == after.bought
    assert after == written_and_read(after)


def test_a_waiting_job_that_is_asked_for_is_as_it_was(tmp_path):
    waiting = record("waiting", tmp_path)
    assert waiting == redone(waiting)


@pytest.mark.parametrize("error", [None, ConnectError("down"), RejectedError("slow down", 429)])
def test_a_redo_that_was_not_accepted_stays_planned(error, tmp_path):
    planned = redone(record("failed", tmp_path))
    closed = planned.sending(9.0, "b", 1).withdrawn(error)
    assert ("waiting", planned.earlier, 1) == (closed.state_name, closed.earlier, closed.bought)


def test_a_retry_of_a_redo_goes_back_to_the_redo_and_not_further(tmp_path):
    again = redone(record("failed", tmp_path)).sending(9.0, "b", 1)
    failed = again.accepted(Prediction(id="p2", status=Status.STARTING), 9.5)
    failed = failed.ended(OutcomeKind.FAILED, Prediction(id="p2", status=Status.FAILED, error="interrupted"), None)
    assert 0 == failed.failures
    back = failed.sending(10.0, "b", 1).withdrawn(None)
    assert ("failed", "p2", 2) == (back.state_name, back.prediction_id, back.bought)
    assert ("p00003", "p2") == back.prediction_ids


# ── in the file ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def writer(tmp_path):
    writer = JournalWriter(tmp_path)
    writer.open()
    yield writer
    writer.close()


def test_the_ids_of_attempts_that_are_over_stay_known(writer, tmp_path):
    writer.commit([redone(record("failed", tmp_path))])
    writer.close()
    assert {"p00003"} == writer.take().ids


def test_each_attempt_is_counted_with_the_model_and_the_images_of_its_time(writer, tmp_path):
    first = record("failed", tmp_path, num_outputs=4)
    new = attrs.evolve(first, model="me/own", input={"prompt": "an owl"}, fingerprint="f" * 64)
    second = redone(first, new).sending(9.0, "b", 1).accepted(Prediction(id="p2", status=Status.STARTING), 9.5)
    refused = attrs.evolve(redone(reach("rejected", plan(4, key="owl"), tmp_path), new), identity="key:owl")
    other = reach("failed", plan(5, key="newt", num_outputs=4), tmp_path)
    writer.commit([second, refused, other])
    writer.close()
    opened = writer.take(counts_cost=True)
    assert [("black-forest-labs/flux-schnell", {"num_outputs": 4}, 2), ("me/own", {}, 1)] == sorted(
        opened.purchases, key=str
    )
    assert 3 == opened.bought


def test_an_attempt_that_was_refused_costs_nothing():
    assert [False, False, True, True] == [
        Attempt(number=1, kind=kind).is_paid
        for kind in (OutcomeKind.REJECTED, OutcomeKind.NOT_SENT, OutcomeKind.UNKNOWN, OutcomeKind.FAILED)
    ]


def states(folder):
    with Journal(folder) as journal:
        return {record.key: record.state_name for record in journal.records()}


def test_a_redo_that_is_killed_at_any_statement_is_written_for_all_jobs_or_for_none(tmp_path):
    write(tmp_path, *(reach("failed", plan(number, key=f"k{number}"), tmp_path) for number in range(3)))
    number, seen = 0, set()
    while True:
        number += 1
        folder = shutil.copytree(tmp_path, tmp_path.with_name(f"killed-{number}"))

        def redo_and_die(folder=folder, number=number):
            writer = JournalWriter(folder, connect=dying(number))
            writer.open()
            with Journal(folder) as journal:
                writer.commit([redone(each) for each in journal.records("failed")])
            writer.close()

        ended = in_child(redo_and_die)
        found = set(states(folder).values())
        assert 1 == len(found), "some of them"
        seen |= found
        if not ended:
            break
        writer = JournalWriter(folder)
        writer.open()
        assert 3 == writer.bought
        writer.close()
    assert {"failed", "waiting"} == seen
    assert {"waiting"} == found


# ── in a session that is killed ──────────────────────────────────────────────────────────────────────────────────────


def make(folder, service, redo=(), connect=sqlite3.connect):
    """Run the jobs of *folder*, with a redo of *redo* before, in a session of its own; return how they ended."""

    async def work():
        writer = JournalWriter(folder, Account(base_url=service.url, key=service.key), connect=connect)
        if redo:
            writer.open()
            with Journal(folder) as journal:
                found = [each for each in journal.records() if is_to_redo(each, each.key, frozenset(redo))]
            writer.commit([redone(each) for each in found])
        transport = AiohttpTransport(service.key, service.url)
        async with Session(transport, journal=writer, poll_policy=PollPolicy.every(0.01)) as session:
            with Journal(folder) as journal:
                jobs = [job_of_record(each) for each in journal.records()]
            return {outcome.key: str(outcome.kind) async for outcome in session.generate(jobs, save_to=folder)}

    return asyncio.run(work())


@pytest.fixture
def failed(tmp_path):
    """A service, and a folder with a failed job and a saved one."""
    with LocalService.in_thread(latency=0.0, pixels=1024) as service:
        folder = tmp_path / "a"
        writer = JournalWriter(folder, Account(base_url=service.url, key=service.key))
        writer.open()
        writer.plan(plan_jobs([keyed("fox"), keyed("owl")]))
        writer.close()
        service.fail("failed")
        ends = make(folder, service)
        assert ["failed", "succeeded"] == sorted(ends.values())
        yield service, folder, next(key for key, kind in ends.items() if kind == "failed")


def keyed(key):
    return Job(model="black-forest-labs/flux-schnell", input={"prompt": key}, key=key)


def test_a_redo_that_is_given_again_after_it_succeeded_does_nothing(failed):
    service, folder, key = failed
    for _ in range(2):
        assert {"succeeded"} == set(make(folder, service, redo=["failed"]).values())
    assert 3 == len(service.bills)
    with Journal(folder) as journal:
        assert {"planned": 2, "saved": 2} == {name: count for name, count in journal.status().items() if count}
        (again,) = [each for each in journal.records() if each.key == key]
    assert (2, 2) == (again.bought, len(again.prediction_ids))
    assert "failed" == again.earlier[0].kind


@pytest.mark.hard
def test_a_redo_that_is_killed_at_any_statement_goes_on_and_nothing_is_bought_twice(failed):
    service, first, key = failed
    number, seen, ended = 0, Counter(), None
    while ended != 0:
        number += 1
        folder = shutil.copytree(first, first.with_name(f"killed-{number}"))
        before = len(service.bills)
        ended = in_child(lambda: make(folder, service, ["failed"], dying(number)) and 0)  # noqa: B023 - run at once
        seen[states(folder)[key]] += 1
        # Plain: with no redo. If the redo had not begun, it is given again.
        make(folder, service)
        if states(folder)[key] == "failed":
            make(folder, service, ["failed"])
        bills = service.bills[before:]
        assert {key} >= {bill.input["prompt"] for bill in bills}
        assert len(bills) <= 1, "it was bought twice"
        with Journal(folder) as journal:
            (record,) = [each for each in journal.records() if each.key == key]
        assert (2, "failed") == (record.bought, record.earlier[0].kind)
        if record.state_name != "unknown":
            assert ("saved", bills[0].id) == (record.state_name, record.prediction_id)
    assert {"failed", "waiting", "sending", "saved"} <= set(seen)


def test_a_limit_counts_the_attempts_that_are_over(failed):
    service, folder, _ = failed

    async def work():
        account = Account(base_url=service.url, key=service.key)
        writer = JournalWriter(folder, account)
        writer.open()
        with Journal(folder) as journal:
            writer.commit([redone(each) for each in journal.records("failed")])
            jobs = [job_of_record(each) for each in journal.records()]
        async with Session(AiohttpTransport(service.key, service.url), journal=writer, max_predictions=2) as session:
            return [outcome async for outcome in session.generate(jobs, save_to=folder)]

    with pytest.raises(SessionStoppedError, match="the limit of 2 predictions is reached"):
        asyncio.run(work())
    assert 2 == len(service.bills)
    assert {"waiting", "saved"} == set(states(folder).values()), "it goes on with a higher limit"
    assert {"succeeded"} == set(make(folder, service).values())


def test_the_account_is_not_asked_for_an_attempt_at_another_input(tmp_path):
    unknown = record("unknown", tmp_path)
    assert 1 == len(doubt_of(redone(unknown)).times)
    other = redone(unknown, attrs.evolve(unknown, input={"prompt": "an owl"}, fingerprint="f" * 64))
    assert doubt_of(other) is None
    lost = other.sending(9.0, "b", 1)
    assert (None, "p9") == tuple(each.prediction_id for each in (lost.settled(["p9"]).earlier[0], lost.settled(["p9"])))
