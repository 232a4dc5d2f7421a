"""When the poller ends a prediction, on the real local service in virtual time."""

import asyncio
import json

import attrs
import pytest
from virtual_clock import now

from cometflux import PollPolicy, RetryPolicy, Session, Status, events, flux, open_session
from cometflux.errors import (
    AuthenticationError,
    OutputError,
    PatienceError,
    PredictionExpiredError,
    PredictionFailedError,
    RejectedError,
    SessionStoppedError,
)
from cometflux.outcomes import OutcomeKind
from cometflux.protocol.requests import Response
from cometflux.transport.aiohttp import AiohttpTransport


def opened(service, **options):
    return open_session(api_key=service.key, base_url=service.url, **options)


class Reshaping:
    """The real service, with each body changed before the session reads it."""

    def __init__(self, service, *, created=dict, polled=dict):
        self._inner = AiohttpTransport(service.key, service.url)
        self._created, self._polled = created, polled
        self.polls = []

    async def submit(self, request):
        return self._change(await self._inner.submit(request), self._created)

    async def send(self, request):
        self.polls.append(now())
        return self._change(await self._inner.send(request), self._polled)

    @staticmethod
    def _change(response, change):
        body = json.loads(response.body)
        return attrs.evolve(response, body=json.dumps(change(body) if "id" in body else body).encode())

    async def download(self, url):
        return await self._inner.download(url)

    async def aclose(self):
        await self._inner.aclose()


# ── outputs and errors end a prediction ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["endless", "no-status", "nested-output", "stale-inner"])
async def test_an_output_that_is_there_ends_the_prediction(service, tmp_path, fault):
    service.fail(fault)
    async with opened(service) as session:
        (outcome,) = [each async for each in session.generate(["a boat"], save_to=tmp_path)]
    assert outcome.ok
    assert (Status.SUCCEEDED, 1) == (outcome.prediction.status, len(outcome.files))
    assert now() < 3


async def test_an_error_that_is_there_ends_the_prediction(service):
    service.fail("error-only")
    async with opened(service) as session:
        with pytest.raises(PredictionFailedError, match="E005") as caught:
            await session.run("a boat")
    assert Status.FAILED is caught.value.prediction.status
    assert now() < 3


async def test_the_end_is_reported_with_its_status(service):
    service.fail("endless")
    seen = []
    async with opened(service, on_event=seen.append) as session:
        await session.run("a boat")
    assert [Status.SUCCEEDED] == [each.status for each in seen if isinstance(each, events.Polled)][-1:]


async def test_missing_outputs_are_waited_for_while_the_status_says_that_it_runs(service):
    """The second picture is a few seconds late."""

    def hold_back(body):
        if body["output"] and now() < 6:
            return {**body, "status": "processing", "output": body["output"][:1]}
        return body

    async with Session(Reshaping(service, polled=hold_back)) as session:
        prediction = await session.run(flux.Schnell(prompt="a boat", num_outputs=2))
    assert 2 == len(prediction.output)
    assert now() < 15


async def test_missing_outputs_are_not_waited_for_longer_than_a_minute(service):
    transport = Reshaping(
        service, polled=lambda body: {**body, "status": "processing", "output": (body["output"] or [])[:1]}
    )
    async with Session(transport) as session:
        prediction = await session.run(flux.Schnell(prompt="a boat", num_outputs=2))
    assert 1 == len(prediction.output)
    assert 60 <= now() <= 63
    assert len(transport.polls) < 15


async def test_missing_outputs_are_waited_for_as_long_as_the_model_usually_takes(service):
    def hold_back(body):
        is_late = body["input"]["prompt"] == "late" and body["output"]
        return {**body, "status": "processing", "output": body["output"][:1]} if is_late else body

    async with Session(Reshaping(service, polled=hold_back)) as session:
        for number in range(10):
            await session.run(f"picture {number}")
        late = now()
        await session.run(flux.Schnell(prompt="late", num_outputs=2))
    assert 1.8 <= now() - late <= 4


@pytest.mark.parametrize("fault", [None, "missing-image"])
async def test_a_success_may_have_fewer_images_than_requested(service, tmp_path, fault):
    if fault:
        service.fail(fault)
    async with opened(service) as session:
        job = flux.Schnell(prompt="a boat", num_outputs=3)
        (outcome,) = [each async for each in session.generate([job], save_to=tmp_path)]
    assert (2 if fault else 3) == len(outcome.files)
    assert now() < 3


# ── a success without output ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_success_without_output_ends_after_two_more_polls(service, tmp_path):
    service.fail("no-output")
    seen = []
    async with opened(service, on_event=seen.append, poll_policy=PollPolicy.every(1.5)) as session:
        (outcome,) = [each async for each in session.generate(["a boat"], save_to=tmp_path)]
    assert (OutcomeKind.SUCCEEDED, False, ()) == (outcome.kind, outcome.ok, outcome.files)
    assert isinstance(outcome.error, OutputError)
    assert "the service returned no output" in str(outcome.error)
    assert 3 * [Status.SUCCEEDED] == [each.status for each in seen if isinstance(each, events.Polled)]


async def test_an_output_that_comes_after_the_success_is_taken(service):
    transport = Reshaping(service, polled=lambda body: body | ({"output": None} if now() < 2 else {}))
    async with Session(transport) as session:
        assert 1 == len((await session.run("a boat")).output)


async def test_a_removed_output_is_gone_and_not_polled_again(service):
    service.fail("expired")
    transport = Reshaping(service)
    async with Session(transport, poll_policy=PollPolicy.every(1.5)) as session:
        with pytest.raises(PredictionExpiredError):
            await session.run("a boat")
    assert 1 == len(transport.polls)


# ── the response to the submission ───────────────────────────────────────────────────────────────────────────────────

NEAR_ENDS = {
    "output": {"status": "processing", "output": ["https://example.com/a.png"]},
    "output without status": {"status": None, "output": ["https://example.com/a.png"]},
    "error": {"status": "starting", "error": "E005"},
}


@pytest.mark.parametrize("near", NEAR_ENDS.values(), ids=NEAR_ENDS)
async def test_an_end_in_the_response_to_a_submission_is_confirmed_by_one_poll(service, near):
    """The confirming poll decides, and it comes at once."""
    service.latency = 0
    transport = Reshaping(service, created=lambda body: body | near)
    async with Session(transport, poll_policy=PollPolicy.every(5)) as session:
        prediction = await session.run("a boat")
    assert Status.SUCCEEDED is prediction.status
    assert prediction.output[0].startswith(service.origin)
    assert [0.0] == pytest.approx(transport.polls, abs=0.01)


async def test_an_empty_success_in_the_response_to_a_submission_is_polled_twice(service):
    service.latency = 0
    service.fail("no-output")
    transport = Reshaping(service, created=lambda body: {**body, "status": "succeeded"})
    async with Session(transport) as session:
        with pytest.raises(OutputError, match="the service returned no output"):
            await session.run("a boat")
    assert 2 == len(transport.polls)


@pytest.mark.parametrize("fault", ["id-in-data", "id-in-task"])
async def test_an_id_alone_is_confirmed_by_a_poll(service, fault):
    service.fail(fault, after=True)
    async with opened(service) as session:
        prediction = await session.run("a boat")
    assert [prediction.id] == [bill.id for bill in service.bills]


@pytest.mark.parametrize("fault", ["id-in-data", "id-in-task"])
async def test_an_id_alone_that_the_service_does_not_know_proves_nothing(service, fault):
    service.fail(fault, after=True)
    service.fail("404", on="get", times=100)
    async with opened(service) as session:
        (outcome,) = [each async for each in session.generate(["a boat"])]
    assert OutcomeKind.UNKNOWN is outcome.kind
    assert service.bills[0].id == outcome.error.prediction_id, "the id is a hint"
    assert 1 == len(service.bills)


# ── the end of patience ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_output_that_is_there_when_patience_ends_is_taken(service):
    """The poll before came too early, and the next one would come too late."""
    service.latency = 8
    async with opened(service, poll_policy=PollPolicy.every(7)) as session:
        assert Status.SUCCEEDED is (await session.run("a boat", patience=10)).status
        assert 10 == pytest.approx(now(), abs=0.01)


async def test_the_outputs_that_are_there_when_patience_ends_are_taken(service):
    transport = Reshaping(
        service, polled=lambda body: {**body, "status": "processing", "output": (body["output"] or [])[:1]}
    )
    async with Session(transport) as session:
        prediction = await session.run(flux.Schnell(prompt="a boat", num_outputs=2), patience=10)
        assert (Status.SUCCEEDED, 1) == (prediction.status, len(prediction.output))
        assert 10 == pytest.approx(now(), abs=0.01)


async def test_an_output_of_the_submission_is_taken_if_no_poll_is_answered(service, tmp_path):
    service.latency = 0
    service.fail("500", on="get", times=1000)
    output = []

    def finish(body):
        output.append(f"{service.origin}/outputs/{body['id']}/out-0.webp")
        return {**body, "status": "processing", "output": output}

    async with Session(Reshaping(service, created=finish)) as session:
        prediction = await session.run("a boat", patience=10)
        assert tuple(output) == prediction.output
        assert 1 == len(await session.save(prediction, tmp_path))


async def test_the_last_poll_takes_a_second_at_most(service):
    service.latency = 100
    async with opened(service, poll_policy=PollPolicy.every(7)) as session:
        running = asyncio.ensure_future(session.run("a boat", patience=10))
        await asyncio.sleep(9)
        service.fail("hang", on="get", times=10)
        with pytest.raises(PatienceError):
            await running
        assert 11 == pytest.approx(now(), abs=0.01)


# ── a process that stood still ───────────────────────────────────────────────────────────────────────────────────────


def stand_still(seconds):
    asyncio.get_running_loop().advance(seconds)


async def test_patience_does_not_count_the_time_in_which_the_process_stood_still(service):
    service.latency = 3605
    async with opened(service) as session:
        running = asyncio.ensure_future(session.run("a boat", patience=10))
        await asyncio.sleep(2)
        stand_still(3600)
        assert Status.SUCCEEDED is (await running).status


async def test_patience_is_not_longer_than_the_time_in_which_the_process_ran(service):
    service.latency = 1e6
    async with opened(service) as session:
        running = asyncio.ensure_future(session.run("a boat", patience=10))
        for _ in range(3):
            await asyncio.sleep(2)
            stand_still(3600)
        with pytest.raises(PatienceError):
            await running
        # A poll may have been due a little after the process stopped.
        assert 3 * 3600 + 10 == pytest.approx(now(), abs=5)


async def test_a_prediction_that_is_accepted_afterwards_has_its_own_patience(service):
    service.latency = 1e6
    async with opened(service) as session:
        first = asyncio.ensure_future(session.run("a boat", patience=100))
        await asyncio.sleep(2)
        stand_still(3600)
        with pytest.raises(PatienceError):
            await session.run("a ship", patience=10)
        assert 3612 == pytest.approx(now(), abs=1)
        with pytest.raises(PatienceError):
            await first


@pytest.mark.parametrize("patience", [3, 30])
async def test_a_process_that_stands_still_within_a_poll_polls_again(service, patience):
    """The response has come, and the timers are due in the same turn of the loop."""
    stood = []

    def stand(body):
        if not stood:
            stood.append(stand_still(3600))
        return body

    class Late(Reshaping):
        async def send(self, request):
            response = await super().send(request)
            # The poll is in flight for two turns more.
            await asyncio.sleep(0)
            await asyncio.sleep(0.5)
            return response

    service.latency = 2.5
    async with Session(Late(service, polled=stand)) as session:
        assert Status.SUCCEEDED is (await session.run("a boat", patience=patience)).status


async def test_a_prediction_that_waits_for_its_turn_keeps_its_patience(service):
    paused = []

    class Pausing(Reshaping):
        async def send(self, request):
            if not paused:
                paused.append(now())
                return Response(status=429, headers={"retry-after": "20"}, body=b"{}")
            return await super().send(request)

    service.latency = 200
    async with Session(Pausing(service)) as session:
        running = [asyncio.ensure_future(session.run(text, patience=30)) for text in ("a boat", "a ship")]
        await asyncio.sleep(10)
        stand_still(200)
        assert [Status.SUCCEEDED] * 2 == [each.status for each in await asyncio.gather(*running)]


async def test_patience_ends_on_a_loop_that_always_computes(service):
    service.latency = 1e6
    async with opened(service) as session:
        running = asyncio.ensure_future(session.run("a boat", patience=10))
        while not running.done():
            await asyncio.sleep(0.5)
            stand_still(2)
            assert now() < 600
        assert isinstance(running.exception(), PatienceError)


async def test_missing_outputs_are_waited_for_after_a_standstill(service):
    """The response that came meanwhile is as old as the standstill."""
    polls = []

    def hold_back(body):
        if not body["output"]:
            return body
        polls.append(now())
        if len(polls) == 2:
            stand_still(600)
        return {**body, "status": "processing", "output": body["output"][:1]} if len(polls) < 3 else body

    class Late(Reshaping):
        async def send(self, request):
            response = await super().send(request)
            await asyncio.sleep(0.1)
            return response

    async with Session(Late(service, polled=hold_back)) as session:
        prediction = await session.run(flux.Schnell(prompt="a boat", num_outputs=2))
    assert 2 == len(prediction.output)


async def test_refused_submissions_are_repeated_for_as_long_as_the_process_ran(service):
    service.fail("429", times=4)
    async with opened(service, retry_policy=RetryPolicy(throttled_for=60)) as session:
        running = asyncio.ensure_future(session.run("a boat"))
        await asyncio.sleep(0.1)
        stand_still(3600)
        assert Status.SUCCEEDED is (await running).status


async def test_a_minute_of_refused_polls_does_not_count_the_time_in_which_the_process_stood_still(service):
    service.fail("401", on="get", times=3)
    async with opened(service) as session:
        running = asyncio.ensure_future(session.run("a boat"))
        await asyncio.sleep(0.7)
        stand_still(600)
        assert Status.SUCCEEDED is (await running).status
        assert Status.SUCCEEDED is (await session.run("a ship")).status


# ── refused polls ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "error"), [("401", AuthenticationError), ("403", AuthenticationError), ("404", RejectedError)]
)
async def test_a_minute_of_refused_polls_stops_submitting(service, fault, error):
    """What is bought after that could not be fetched."""
    service.fail(fault, on="get", rate=1.0)
    async with opened(service, max_pending=4, poll_policy=PollPolicy(patience=100)) as session:
        batch = session.generate(f"picture {number}" for number in range(100))
        with pytest.raises(SessionStoppedError) as caught:
            async with asyncio.timeout(4000):
                async for _ in batch:
                    pass
    assert type(caught.value.cause) is error
    assert f"HTTP {fault}" in str(caught.value)
    assert 4 == len(service.bills)


async def test_the_predictions_that_were_refused_are_polled_on(service):
    service.fail("401", on="get", times=8)
    async with opened(service, max_pending=1) as session:
        batch = session.generate(["one", "two"])
        assert (await anext(batch)).ok
        assert now() > 60
        with pytest.raises(SessionStoppedError):
            await anext(batch)
    assert 1 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["500", "drop", "garbage"])
async def test_polls_that_fail_otherwise_do_not_stop_submitting(service, fault):
    service.fail(fault, on="get", times=40)
    async with opened(service, max_pending=2) as session:
        assert 4 == len([each async for each in session.generate([*"abcd"]) if each.ok])


async def test_a_prediction_of_an_earlier_run_that_is_forgotten_does_not_stop_submitting(service, tmp_path):
    service.fail("404", on="get", rate=1.0, prompt="lost")
    for patience in (1, 100):
        async with opened(service, journal=tmp_path, poll_policy=PollPolicy(patience=patience)) as session:
            assert [OutcomeKind.DETACHED] == [each.kind async for each in session.generate(["lost"])]


@pytest.mark.slow
async def test_one_answered_poll_is_enough_to_go_on(service):
    service.fail("404", on="get", times=1000, prompt="lost")
    async with opened(service, max_pending=2, poll_policy=PollPolicy(patience=90)) as session:
        kinds = [each.kind async for each in session.generate(["lost", *(f"picture {n}" for n in range(80))])]
    assert (80, 1) == (kinds.count(OutcomeKind.SUCCEEDED), kinds.count(OutcomeKind.DETACHED))
