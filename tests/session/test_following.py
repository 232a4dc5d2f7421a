"""Predictions that are submitted in one place and followed in another, by their ids."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from journal_records import record_in
from keyed_jobs import keyed
from virtual_clock import now

from cometflux import Journal, PollPolicy, Session, Status, events, flux, open_session
from cometflux.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    CreditError,
    InputError,
    JournalError,
    LimitError,
    Money,
    PatienceError,
    PredictionCanceledError,
    PredictionExpiredError,
    PredictionFailedError,
    RejectedError,
    SessionClosedError,
    SessionStoppedError,
    UnknownSubmissionError,
)
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.protocol.requests import Response
from cometflux.transport.aiohttp import AiohttpTransport


def opened(service, **options):
    return open_session(api_key=service.key, base_url=service.url, **options)


def polls(service, prediction_id=""):
    return [each for each in service.requests if "GET" == each.method and each.path.endswith(prediction_id)]


async def submitted(service, job="a boat", **options):
    """Submit in a session of its own, as another process does."""
    async with opened(service, **options) as session:
        return await session.submit(job)


async def until(condition):
    while not condition():  # noqa: ASYNC110 - the condition lies with the service
        await asyncio.sleep(0.01)


# ── submit ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_submitting_returns_the_id_when_it_is_durable_and_long_before_the_end(service, tmp_path):
    async with opened(service, journal=tmp_path) as session:
        prediction_id = await session.submit(flux.Schnell(prompt="a lighthouse"), key="order 17")
        assert ("pending", prediction_id, "order 17") == (
            record_in(tmp_path).state_name,
            record_in(tmp_path).prediction_id,
            record_in(tmp_path).key,
        )
        assert now() < 0.2
        assert {prediction_id: "a lighthouse"} == {name: job.prompt for name, job in session.pending.items()}
    assert [prediction_id] == [bill.id for bill in service.bills]


async def test_a_submitted_prediction_is_followed_to_its_end_by_its_session(service, tmp_path):
    seen = []
    async with opened(service, journal=tmp_path, on_event=seen.append, max_pending=1) as session:
        prediction_id = await session.submit("a boat")
        await until(lambda: not session.pending)
        assert 1 == session.accounting["succeeded"]
        await session.submit("the slot is free again")
    assert ["Submitted", "Accepted", "Ended"] == [
        type(each).__name__ for each in seen if 0 == getattr(each, "index", None)
    ]
    assert prediction_id == next(each for each in seen if isinstance(each, events.Ended)).prediction_id


async def test_submissions_wait_for_a_slot_until_an_earlier_prediction_is_over(service):
    async with opened(service, max_pending=1, poll_policy=PollPolicy.every(0.1)) as session:
        first = await session.submit("a")
        second = await session.submit("b")
        assert 1.0 <= now() < 1.2
        assert [second] == list(session.pending)
    assert [first, second] == [bill.id for bill in service.bills]


async def test_closing_detaches_a_submitted_prediction_and_the_next_session_with_the_journal_continues(
    service, tmp_path
):
    prediction_id = await submitted(service, keyed("a"), journal=tmp_path)
    assert "detached" == record_in(tmp_path).state_name
    async with opened(service, journal=tmp_path) as session:
        assert prediction_id == (await session.run(keyed("a"))).id
    assert 1 == len(service.bills)


async def test_a_key_that_the_journal_knows_is_not_paid_for_again(service, tmp_path):
    first = await submitted(service, keyed("a"), journal=tmp_path)
    assert first == await submitted(service, keyed("a"), journal=tmp_path)
    async with opened(service, journal=tmp_path) as session:
        await session.run(keyed("a"))
        assert first == await session.submit(keyed("a"))
    assert 1 == len(service.bills)


async def test_two_submissions_under_one_key_at_the_same_time_are_one(service, tmp_path):
    async with opened(service, journal=tmp_path) as session:
        first, second = await asyncio.gather(session.submit(keyed("a")), session.submit(keyed("a")))
    assert first == second
    assert 1 == len(service.bills)


class AtOnce(AiohttpTransport):
    """Answers a submission with its end."""

    def __init__(self, service, **end):
        super().__init__(service.key, service.url)
        self._end = end

    async def submit(self, request):
        response = await super().submit(request)
        return Response(status=201, body=json.dumps(json.loads(response.body) | self._end).encode())


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ({"status": "succeeded", "output": ["https://x.example/1.webp"]}, OutcomeKind.SUCCEEDED),
        ({"status": "failed", "error": "E005: sensitive"}, OutcomeKind.FAILED),
        ({"status": "canceled"}, OutcomeKind.CANCELED),
    ],
    ids=["succeeded", "failed", "canceled"],
)
async def test_a_submission_that_is_answered_with_its_end_returns_its_id_too(service, end, kind):
    async with Session(AtOnce(service, **end)) as session:
        assert await session.submit("x") == service.bills[0].id
        assert 1 == session.accounting[kind.value]
    assert 1 == len(service.bills)


async def test_a_prediction_whose_id_was_returned_is_not_replaced_by_another(service):
    service.fail("failed-transient")
    async with opened(service, retry_failed=1) as session:
        prediction_id = await session.submit("x")
        with pytest.raises(PredictionFailedError):
            await session.follow(prediction_id)
    assert 1 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "policy"),
    [("failed-transient", {"retry_failed": 1}), ("failed", {"reseed": 1})],
    ids=["retry_failed", "reseed"],
)
async def test_a_message_that_arrives_again_after_its_prediction_failed_gets_the_first_id(
    service, tmp_path, fault, policy
):
    service.fail(fault)
    async with opened(service, journal=tmp_path, **policy) as session:
        first = await session.submit(keyed("a"))
        await until(lambda: not session.pending)
        assert first == await session.submit(keyed("a"))
    assert first == await submitted(service, keyed("a"), journal=tmp_path, **policy)
    assert 1 == len(service.bills)


@pytest.mark.parametrize(
    ("fault", "after", "error", "money"),
    [
        ("422", False, RejectedError, Money.REJECTED),
        ("401", False, AuthenticationError, Money.REJECTED),
        ("402", False, CreditError, Money.REJECTED),
        ("drop", True, UnknownSubmissionError, Money.UNKNOWN),
        ("500", True, UnknownSubmissionError, Money.UNKNOWN),
    ],
)
async def test_a_submission_that_was_not_accepted_raises_as_run_does(service, fault, after, error, money):
    service.fail(fault, after=after)
    async with opened(service) as session:
        with pytest.raises(error) as caught:
            await session.submit("x")
    assert money is caught.value.money
    assert int(after) == len(service.bills)


async def test_a_wrong_job_a_wrong_key_and_a_used_up_limit_send_nothing(service):
    async with opened(service, max_predictions=0) as session:
        with pytest.raises(InputError):
            await session.submit(17)
        with pytest.raises(InputError, match="key"):
            await session.submit("x", key=" ")
        with pytest.raises(LimitError):
            await session.submit("x")
        with pytest.raises(SessionStoppedError):
            await session.submit("x")
    with pytest.raises(SessionClosedError):
        await session.submit("x")
    assert [] == service.bills


async def test_a_submission_that_nobody_can_connect_for_says_that_nothing_was_sent(service):
    async with open_session(api_key="k", base_url="http://127.0.0.1:9") as session:
        with pytest.raises(ConnectError) as caught:
            await session.submit("x")
    assert Money.NOT_SENT is caught.value.money


@pytest.mark.parametrize("moment", [0.0, 0.001, 0.003, 0.01, 0.03])
async def test_cancelling_a_submission_never_loses_what_was_paid_for(service, tmp_path, moment):
    async with opened(service, journal=tmp_path) as session:
        task = asyncio.create_task(session.submit(keyed("a")))
        await asyncio.sleep(moment)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await until(lambda: not session.accounting["waiting"])
        assert [bill.id for bill in service.bills] == list(session.pending)


# ── follow ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_id_of_another_process_is_followed_to_its_end(service):
    prediction_id = await submitted(service, flux.Schnell(prompt="two boats", num_outputs=2))
    async with opened(service) as session:
        prediction = await session.follow(prediction_id)
    assert (prediction_id, Status.SUCCEEDED, 2) == (prediction.id, prediction.status, len(prediction.output))
    assert 1 == len(service.bills)


async def test_a_followed_prediction_is_told_as_any_other(service):
    prediction_id = await submitted(service)
    seen = []
    async with opened(service, on_event=seen.append) as session:
        task = asyncio.create_task(session.follow(prediction_id))
        await until(lambda: session.pending)
        await until(lambda: session.pending[prediction_id].model)
        job = session.pending[prediction_id]
        assert ("black-forest-labs/flux-schnell", "a boat") == (job.model, job.prompt)
        assert (1, 1) == (session.accounting["all"], session.accounting["pending"])
        await task
        assert (1, 1) == (session.accounting["all"], session.accounting["succeeded"])
        assert {} == session.pending
    names = [type(each).__name__ for each in seen]
    assert (["Submitted", "Accepted"], {"Polled"}, "Ended") == (names[:2], {*names[2:-1]}, names[-1])
    assert (True, True) == (seen[1].resumed, seen[-1].resumed)
    assert {prediction_id} == {each.prediction_id for each in seen[1:]}


async def test_an_id_that_this_session_follows_already_is_not_polled_twice(service):
    async with opened(service, poll_policy=PollPolicy.every(0.25)) as session:
        prediction_id = await session.submit("a boat")
        followed = await asyncio.gather(*(session.follow(prediction_id) for _ in range(20)))
        assert [prediction_id] * 20 == [each.id for each in followed]
        assert 1 == session.accounting["all"]
    assert len(polls(service, prediction_id)) <= 5


async def test_many_who_follow_an_id_of_elsewhere_share_its_polls(service):
    prediction_id = await submitted(service)
    before = len(polls(service))
    async with opened(service, poll_policy=PollPolicy.every(0.25)) as session:
        followed = await asyncio.gather(*(session.follow(prediction_id) for _ in range(20)))
        assert [prediction_id] * 20 == [each.id for each in followed]
        assert 1 == session.accounting["all"]
    assert len(polls(service)) - before <= 5


@pytest.mark.parametrize("way", ["run", "generate"])
async def test_the_prediction_of_a_run_and_of_a_batch_can_be_followed(service, tmp_path, way):
    async with opened(service) as session:

        async def make():
            if way == "run":
                return await session.run("a boat")
            return [each async for each in session.generate(["a boat"], save_to=tmp_path)]

        task = asyncio.create_task(make())
        await until(lambda: session.pending)
        (prediction_id,) = session.pending
        assert prediction_id == (await session.follow(prediction_id)).id
        await task
        assert 1 == session.accounting["all"]


async def test_a_batch_whose_images_cannot_be_saved_has_a_prediction_all_the_same(service, tmp_path):
    service.fail("404", on="output", times=10)
    async with opened(service) as session:
        batch = session.generate(["a boat"], save_to=tmp_path)
        task = asyncio.ensure_future(anext(batch))
        await until(lambda: session.pending)
        (prediction_id,) = session.pending
        assert Status.SUCCEEDED is (await session.follow(prediction_id)).status
        assert 1 == session.accounting["saving"]
        assert Status.SUCCEEDED is (await session.follow(prediction_id)).status
        assert not (await task).ok


async def test_a_cancelled_follow_forgets_nothing(service):
    prediction_id = await submitted(service)
    async with opened(service) as session:
        first = asyncio.create_task(session.follow(prediction_id))
        second = asyncio.create_task(session.follow(prediction_id))
        await until(lambda: session.pending)
        first.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await first
        assert [f"the session still follows prediction {prediction_id}"] == caught.value.__notes__
        assert [prediction_id] == list(session.pending)
        assert prediction_id == (await second).id
        assert prediction_id == (await session.follow(prediction_id)).id


async def test_following_needs_no_slot_and_costs_nothing(service):
    ids = [await submitted(service, f"boat {number}") for number in range(3)]
    async with opened(service, max_pending=1, max_predictions=1) as session:
        await session.submit("the only one")
        assert ids == [each.id for each in await asyncio.gather(*map(session.follow, ids))]
        assert now() < 1.6
    assert 4 == len(service.bills)


async def test_a_session_that_submits_nothing_more_still_follows(service):
    prediction_id = await submitted(service)
    service.fail("402")
    async with opened(service) as session:
        with pytest.raises(CreditError):
            await session.submit("x")
        assert prediction_id == (await session.follow(prediction_id)).id


async def test_an_id_that_the_journal_knows_has_its_end_recorded_under_its_job(service, tmp_path):
    prediction_id = await submitted(service, keyed("a"), journal=tmp_path)
    seen = []
    async with opened(service, journal=tmp_path, on_event=seen.append, max_pending=1) as session:
        service.latency = 100
        await session.submit("it has the only slot")
        assert prediction_id == (await session.follow(prediction_id)).id
        assert now() < 2
        assert {"a"} == {each.key for each in seen if getattr(each, "prediction_id", None) == prediction_id}
    with Journal(tmp_path) as journal:
        states = {record.key: record.state_name for record in journal.records()}
    assert "unsaved" == states["a"]
    assert 2 == len(service.bills)


@pytest.mark.parametrize(
    ("fault", "error", "state"),
    [
        (None, None, "unsaved"),
        ("failed", PredictionFailedError, "failed"),
        ("failed-transient", PredictionFailedError, "failed"),
        ("canceled", PredictionCanceledError, "canceled"),
        ("expired", PredictionExpiredError, "expired"),
    ],
)
@pytest.mark.parametrize("has_journal", [True, False], ids=["journal", "no journal"])
async def test_an_end_is_told_as_run_tells_it_and_costs_nothing_again(
    service, tmp_path, has_journal, fault, error, state
):
    if fault:
        service.fail(fault)
    journal = {"journal": tmp_path} if has_journal else {}
    prediction_id = await submitted(service, keyed("a"), **journal)
    for _ in range(2):
        async with opened(service, retry_failed=3, **journal) as session:
            expectation = pytest.raises(error) if error else contextlib.nullcontext()
            with expectation as caught:
                assert prediction_id == (await session.follow(prediction_id)).id
            if error:
                assert prediction_id == caught.value.prediction_id
                assert Money.ACCEPTED is caught.value.money
    if has_journal:
        assert state == record_in(tmp_path).state_name
    assert 1 == len(service.bills)


async def test_an_id_that_the_journal_does_not_know_leaves_it_as_it_is(service, tmp_path):
    prediction_id = await submitted(service)
    async with opened(service, journal=tmp_path) as session:
        await session.follow(prediction_id)
    with Journal(tmp_path) as journal:
        assert [] == list(journal.records())


@pytest.mark.parametrize("is_over", [True, False], ids=["afterwards", "while it is followed"])
async def test_the_images_of_a_followed_prediction_are_saved_without_an_invented_job(service, tmp_path, is_over):
    prediction_id = await submitted(service)
    async with opened(service, journal=tmp_path, poll_policy=PollPolicy.every(5)) as session:
        following = asyncio.create_task(session.follow(prediction_id))
        await asyncio.sleep(6 if is_over else 2)
        assert is_over is following.done()
        (path,) = await session.save(await session.client.get(prediction_id), tmp_path)
        await following
    assert path.stem == prediction_id
    assert None is json.loads(path.with_suffix(".json").read_text())["key"]
    with Journal(tmp_path) as journal:
        assert [] == list(journal.records())


async def test_a_key_that_is_followed_by_its_id_is_not_polled_twice_nor_paid_for(service, tmp_path):
    prediction_id = await submitted(service, keyed("a"), journal=tmp_path)
    before = len(polls(service))
    async with opened(service, journal=tmp_path, poll_policy=PollPolicy.every(0.25)) as session:
        followed, run, again = await asyncio.gather(
            session.follow(prediction_id), session.run(keyed("a")), session.follow(prediction_id)
        )
    assert {prediction_id} == {followed.id, run.id, again.id}
    assert 1 == len(service.bills)
    assert len(polls(service)) - before <= 5


@pytest.mark.parametrize("prediction_id", ["", "a/b", "../x", "a b", "é", "x" * 257, "-x", None, 17, b"abc"])
async def test_an_id_that_no_path_can_have_is_refused_and_nothing_is_sent(service, prediction_id):
    async with opened(service) as session:
        with pytest.raises(InputError, match="prediction id"):
            await session.follow(prediction_id)
    assert [] == service.requests


@pytest.mark.parametrize("patience", [0, -1, float("nan"), float("inf"), True, "1"])
async def test_a_patience_that_is_none_is_refused(service, patience):
    async with opened(service) as session:
        with pytest.raises(ConfigError, match="patience"):
            await session.follow("abc", patience=patience)
    assert [] == service.requests


@pytest.mark.parametrize(("fault", "status"), [("404", 404), ("401", 401), ("403", 403)])
async def test_an_id_of_nobody_is_polled_for_a_while_and_then_named(service, fault, status):
    service.fail(fault, on="get", times=100)
    prediction_id = await submitted(service) if status != 404 else "nobodys-id"
    seen = []
    async with opened(service, on_event=seen.append) as session:
        with pytest.raises(RejectedError, match=prediction_id) as caught:
            await session.follow(prediction_id)
        assert 30 <= now() <= 60
        assert {} == session.pending
    assert (status, prediction_id, Money.UNKNOWN) == (
        caught.value.status,
        caught.value.prediction_id,
        caught.value.money,
    )
    assert OutcomeKind.UNKNOWN is seen[-1].kind


@pytest.mark.parametrize("verb", ["get", "cancel"])
async def test_nothing_is_said_about_the_money_of_an_id_that_the_service_does_not_know(service, verb):
    async with opened(service) as session:
        with pytest.raises(RejectedError) as caught:
            await getattr(session.client, verb)("nobodys-id")
    told = "the service rejected the request with HTTP 404: The requested resource could not be found (id nobodys-id)"
    assert (told, Money.UNKNOWN) == (str(caught.value), caught.value.money)


async def test_a_poll_that_is_rejected_because_the_id_is_not_known_yet_does_not_change_the_money(service):
    service.fail("404", on="get", times=2)
    seen = []
    async with opened(service, on_event=seen.append) as session:
        await session.run("x")
    errors = [event.error for event in seen if isinstance(event, events.Polled) and event.error]
    assert errors
    assert {Money.ACCEPTED} == {error.money for error in errors}
    assert all("the prediction is paid for" in str(error) for error in errors)


async def test_a_prediction_that_the_service_does_not_know_yet_is_followed(service):
    prediction_id = await submitted(service)
    service.fail("404", on="get", times=4)
    async with opened(service) as session:
        assert prediction_id == (await session.follow(prediction_id)).id


async def test_a_prediction_that_was_seen_is_not_lost_to_a_long_404(service):
    service.latency = 40
    prediction_id = await submitted(service)
    async with opened(service) as session:
        task = asyncio.create_task(session.follow(prediction_id))
        await until(lambda: session.pending and session.pending[prediction_id].model)
        service.fail("404", on="get", times=5)
        assert prediction_id == (await task).id


async def test_patience_ends_on_time_and_the_id_can_be_followed_again(service):
    service.latency = 10
    prediction_id = await submitted(service)
    async with opened(service) as session:
        with pytest.raises(PatienceError) as caught:
            await session.follow(prediction_id, patience=3)
        assert (3, prediction_id) == (pytest.approx(now(), abs=0.05), caught.value.prediction_id)
        assert prediction_id == (await session.follow(prediction_id)).id


async def test_the_patience_of_one_who_joins_is_their_own(service):
    service.latency = 10
    prediction_id = await submitted(service)
    async with opened(service) as session:
        shortest = asyncio.create_task(session.follow(prediction_id, patience=3))
        await until(lambda: session.pending)
        longest = asyncio.create_task(session.follow(prediction_id))
        shorter = asyncio.create_task(session.follow(prediction_id, patience=1))
        with pytest.raises(PatienceError) as caught:
            await shorter
        assert (2, prediction_id) == (pytest.approx(now(), abs=0.1), caught.value.prediction_id)
        assert not shortest.done()
        with pytest.raises(PatienceError):
            await shortest
        assert prediction_id == (await longest).id


@pytest.mark.parametrize("joins", [False, True], ids=["the first", "one who joins"])
async def test_patience_does_not_count_the_time_in_which_the_process_stood_still(service, joins):
    service.latency = 3605
    prediction_id = await submitted(service)
    async with opened(service) as session:
        first = asyncio.create_task(session.follow(prediction_id, patience=10000 if joins else 10))
        await until(lambda: session.pending)
        # Whoever joins has no last poll of its own, and polls of such an old prediction are half a minute apart.
        task = asyncio.create_task(session.follow(prediction_id, patience=40)) if joins else first
        await asyncio.sleep(2)
        asyncio.get_running_loop().advance(3600)
        assert prediction_id == (await task).id
        await first


async def test_closing_ends_a_follow_with_the_id_and_the_journal_knows_that_it_is_not_over(service, tmp_path):
    service.latency = 10
    known = await submitted(service, keyed("a"), journal=tmp_path)
    foreign = await submitted(service)
    async with opened(service, journal=tmp_path) as session:
        tasks = [asyncio.create_task(session.follow(each)) for each in (known, foreign)]
        await until(lambda: 2 == len(session.pending))
    for task, prediction_id in zip(tasks, (known, foreign), strict=True):
        with pytest.raises(SessionClosedError) as caught:
            await task
        assert (prediction_id, Money.ACCEPTED) == (caught.value.prediction_id, caught.value.money)
    assert "detached" == record_in(tmp_path).state_name


async def test_a_session_that_is_closed_while_the_journal_is_read_follows_nothing(service, tmp_path):
    prediction_id = await submitted(service, keyed("a"), journal=tmp_path)
    async with opened(service, journal=tmp_path) as session:
        task = asyncio.create_task(session.follow(prediction_id))
        await asyncio.sleep(0)
    with pytest.raises(SessionClosedError, match="paid for") as caught:
        await task
    assert (prediction_id, Money.ACCEPTED) == (caught.value.prediction_id, caught.value.money)
    with pytest.raises(SessionClosedError):
        await session.follow(prediction_id)


async def test_an_id_that_was_retried_under_another_one_failed(service):
    service.fail("failed-transient")
    async with opened(service, retry_failed=1) as session:
        task = asyncio.create_task(session.run("x"))
        await until(lambda: session.pending)
        (first,) = session.pending
        with pytest.raises(PredictionFailedError):
            await session.follow(first)
        assert first != (await task).id
    assert 2 == len(service.bills)


async def test_an_earlier_attempt_in_the_journal_keeps_its_end(service, tmp_path):
    service.fail("failed-transient")
    first = await submitted(service, keyed("a"), journal=tmp_path)
    async with opened(service, journal=tmp_path, retry_failed=1) as session:
        second = await session.run(keyed("a"))
    async with opened(service, journal=tmp_path, retry_failed=1) as session:
        with pytest.raises(PredictionFailedError):
            await session.follow(first)
        assert second.id == (await session.follow(second.id)).id
    assert ("unsaved", second.id) == (record_in(tmp_path).state_name, record_in(tmp_path).prediction_id)
    assert 2 == len(service.bills)


async def test_a_journal_that_cannot_be_read_does_not_keep_an_id_from_being_followed(service, tmp_path, monkeypatch):
    prediction_id = await submitted(service, keyed("a"), journal=tmp_path)
    async with opened(service, journal=tmp_path) as session:

        def broken(*_):
            raise JournalError("the disk is gone")

        monkeypatch.setattr("cometflux.journal.writer.JournalWriter.find_prediction", broken)
        assert prediction_id == (await session.follow(prediction_id)).id


class Filling(AiohttpTransport):
    """Shows one output more with each poll."""

    count = 0

    async def send(self, request):
        response = await super().send(request)
        self.count += 1
        urls = [f"https://x.example/{number}.webp" for number in range(self.count)]
        body = json.loads(response.body) | {"status": "processing", "output": urls}
        return Response(status=200, body=json.dumps(body).encode())


async def test_partial_outputs_of_a_prediction_of_elsewhere_are_waited_for(service):
    """Only the response shows how many were requested."""
    prediction_id = await submitted(service, flux.Schnell(prompt="four boats", num_outputs=4))
    async with Session(Filling(service.key, service.url)) as session:
        assert 4 == len((await session.follow(prediction_id)).output)


async def test_an_input_that_is_echoed_whole_may_be_large(service, monkeypatch):
    monkeypatch.setattr("cometflux.transport.aiohttp.LARGEST_RESPONSE", 2000)
    prediction_id = await submitted(service, keyed("a", "x" * 20_000))
    async with opened(service) as session:
        assert prediction_id == (await session.follow(prediction_id)).id


@pytest.mark.parametrize("is_over", [False, True], ids=["while it is followed", "after that"])
async def test_a_followed_id_can_be_adopted_by_the_unknown_submission_that_it_belongs_to(service, tmp_path, is_over):
    async def adopt(job, error):
        following = asyncio.create_task(session.follow(service.bills[0].id))
        followed.append(following)
        if is_over:
            await following
        else:
            await until(lambda: session.pending)
        return service.bills[0].id

    followed = []
    service.fail("drop", after=True)
    async with opened(service, journal=tmp_path, on_unknown=adopt) as session:
        assert (await session.run(keyed("a"))).id == service.bills[0].id
        assert service.bills[0].id == (await followed[0]).id
    assert "unsaved" == record_in(tmp_path).state_name
    assert 1 == len(service.bills)


async def test_an_id_that_the_disk_does_not_take_is_returned_all_the_same(service, tmp_path, monkeypatch):
    async with opened(service, journal=tmp_path) as session:
        commit = JournalWriter.commit

        def refuse(writer, added, changed=()):
            if any(record.prediction_id for record in (*added, *changed)):
                raise JournalError("the disk is full")
            return commit(writer, added, changed)

        monkeypatch.setattr(JournalWriter, "commit", refuse)
        assert await session.submit("x") == service.bills[0].id
        with pytest.raises(SessionStoppedError):
            await session.submit("y")


class Known:
    """Responds to polls only. A prediction was created at the time that its id says, and takes five seconds."""

    def __init__(self, output):
        self.polls = []
        self._output = output

    async def send(self, request):
        name = request.path.rpartition("/")[2]
        self.polls.append(name)
        age = now() - float(name.partition("-")[0])
        body = {
            "id": name,
            "model": "black-forest-labs/flux-dev",
            "created_at": (datetime.now(UTC) - timedelta(seconds=age)).isoformat(),
            "status": "processing" if age < 5 else "succeeded",
            "output": self._output if age >= 5 else None,
        }
        return Response(status=200, body=json.dumps(body).encode())

    async def submit(self, request):
        raise AssertionError("nothing is submitted here")

    download = submit

    async def aclose(self):
        pass


async def test_the_times_to_poll_are_learned_from_predictions_of_elsewhere():
    transport = Known(["https://x.example/1.webp"])
    async with Session(transport) as session:
        await session.follow("0-alone")
    async with Session(transport) as session:
        created = now() - 0.5
        await asyncio.gather(*(session.follow(f"{created}-{number}") for number in range(20)))
        await asyncio.sleep(2)
        created = now() - 0.5
        await session.follow(f"{created}-last")
        assert created + 5 == pytest.approx(now(), abs=0.5)
    alone, last = transport.polls.count("0-alone"), transport.polls.count(f"{created}-last")
    assert last < 8 < alone


async def test_a_success_without_output_is_expired_if_the_prediction_is_old_enough():
    async with Session(Known(None)) as session:
        await asyncio.sleep(4000)
        with pytest.raises(PredictionExpiredError):
            await session.follow("0-old")
