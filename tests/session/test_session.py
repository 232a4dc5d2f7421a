"""The session on the real local service, in virtual time."""

import asyncio
import base64
import collections
import contextlib
import functools
import gc
import itertools
import json
import logging
import shutil
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from one_pixel import PNG
from virtual_clock import now

from cometflux import CometfluxError, Job, PollPolicy, RetryPolicy, Session, Status, events, flux, open_session
from cometflux.errors import (
    AuthenticationError,
    ConfigError,
    CreditError,
    InputError,
    Money,
    OutputError,
    PatienceError,
    PredictionFailedError,
    SessionClosedError,
    SessionStoppedError,
    UnknownSubmissionError,
)
from cometflux.outcomes import OutcomeKind
from cometflux.protocol.requests import Request, Response
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport


def opened(service, **options):
    return open_session(api_key=service.key, base_url=service.url, **options)


EVERY_HALF_SECOND = PollPolicy.every(0.5)


def prompts(count):
    return [f"picture {number}" for number in range(count)]


async def outcomes_of(batch):
    return [outcome async for outcome in batch]


class Slow:
    """A transport that takes its time before and after each submission really happens."""

    def __init__(self, service, before=1.0, after=1.0):
        self._inner = AiohttpTransport(service.key, service.url)
        self._before, self._after = before, after

    async def submit(self, request):
        await asyncio.sleep(self._before)
        response = await self._inner.submit(request)
        await asyncio.sleep(self._after)
        return response

    async def send(self, request):
        return await self._inner.send(request)

    async def download(self, url):
        return await self._inner.download(url)

    async def aclose(self):
        await self._inner.aclose()


# ── one prediction ───────────────────────────────────────────────────────────────────────────────────────────────────


class Timed:
    """Answers without a socket; each prediction takes its time."""

    def __init__(self, lengths):
        self.lengths = lengths
        self.ends = []

    async def submit(self, request):
        self.ends.append(now() + self.lengths[len(self.ends)])
        return Response(status=201, body=b'{"id": "p%d", "status": "starting"}' % (len(self.ends) - 1))

    async def send(self, request):
        name = request.path.rpartition("/")[2]
        is_over = now() >= self.ends[int(name[1:])]
        body = {"id": name} | ({"status": "succeeded", "output": "https://x"} if is_over else {"status": "processing"})
        return Response(status=200, body=json.dumps(body).encode())

    async def aclose(self):
        pass

    async def download(self, url):
        raise AssertionError("nothing is saved here")


async def test_one_job_is_awaited_and_billed_once(service):
    async with opened(service) as session:
        prediction = await session.run(flux.Schnell(prompt="a lighthouse"))
    assert Status.SUCCEEDED is prediction.status
    assert 1 == len(prediction.output)
    assert [prediction.id] == [bill.id for bill in service.bills]


async def test_a_prompt_alone_is_a_job(service):
    async with opened(service) as session:
        await session.run("a lighthouse")
    assert ("black-forest-labs/flux-schnell", {"prompt": "a lighthouse"}) == (
        service.bills[0].model,
        service.bills[0].input,
    )


async def test_an_end_is_noticed_within_one_interval(service):
    async with opened(service, poll_policy=PollPolicy.every(0.3)) as session:
        await session.run("x")
        assert 1.2 == pytest.approx(now(), abs=0.05)


async def test_what_the_first_ends_teach_is_of_use_to_those_that_are_pending():
    """They were put off when nothing was known; none of them is asked as late as that."""
    async with Session(Timed([0.2] * 8 + [0.5] * 8)) as session:
        runs = [asyncio.create_task(session.run(prompt)) for prompt in prompts(16)]
        await asyncio.gather(*runs[:8])
        assert not any(run.done() for run in runs[8:])
        await asyncio.wait(runs[8:], return_when=asyncio.FIRST_COMPLETED)
        assert now() < 0.7
        await asyncio.gather(*runs)


@pytest.mark.slow
async def test_thousands_of_slots_are_not_thousands_of_tasks():
    """A task for each job that waits, or for each question that is due, would take ten times the memory."""
    transport, most, looked = Timed([0.5] * 2000), 0, collections.Counter()

    async def slowly(request, answer, seconds):
        nonlocal most
        # To count them takes a while: ten times at one moment.
        looked[now()] += 1
        if looked[now()] % 200 == 1:
            most = max(most, len(asyncio.all_tasks()))
        await asyncio.sleep(seconds)
        return await answer(request)

    transport.submit = functools.partial(slowly, answer=transport.submit, seconds=0.1)
    transport.send = functools.partial(slowly, answer=transport.send, seconds=1.0)
    async with Session(transport, max_pending=2000, poll_policy=PollPolicy.every(5.0)) as session:
        assert 2000 == len(await outcomes_of(session.generate(prompts(2000))))
    assert most < 1000


@pytest.mark.slow
async def test_hundreds_of_tasks_may_await_one_session(service):
    async with opened(service, max_pending=150) as session:
        predictions = await asyncio.gather(*(session.run(prompt) for prompt in prompts(300)))
    assert 300 == len({prediction.id for prediction in predictions}) == len(service.bills)


async def test_a_failed_prediction_is_raised_with_what_the_service_said(service):
    service.fail("failed")
    async with opened(service) as session:
        with pytest.raises(PredictionFailedError, match="E005") as caught:
            await session.run("x")
    assert Status.FAILED is caught.value.prediction.status
    assert Money.ACCEPTED is caught.value.money
    assert not caught.value.is_transient


async def test_patience_detaches_and_the_id_stays_known(service):
    async with opened(service) as session:
        with pytest.raises(PatienceError, match="not over when patience ended") as caught:
            await session.run("x", patience=0.7)
        assert 0.7 == pytest.approx(now(), abs=0.01)
    assert service.bills[0].id == caught.value.prediction_id


async def test_patience_ends_on_time_while_a_question_hangs(service):
    service.fail("hang", on="get", times=100)
    async with opened(service) as session:
        with pytest.raises(PatienceError):
            await session.run("x", patience=30)
        assert 30 == pytest.approx(now(), abs=0.01)


@pytest.mark.parametrize("patience", [0, -1, float("nan"), float("inf"), True, "1"])
async def test_a_patience_that_is_none_is_refused_before_anything_is_sent(service, patience):
    async with opened(service) as session:
        with pytest.raises(ConfigError, match="patience"):
            await session.run("x", patience=patience)
    assert [] == service.bills


async def test_images_come_as_bytes_and_as_files(service, tmp_path):
    async with opened(service) as session:
        prediction = await session.run(flux.Schnell(prompt="a boat", num_outputs=2, output_format="png"))
        images = await session.download(prediction)
        files = await session.save(prediction, tmp_path / "new" / "folder", "boat")
    assert ["boat-1.png", "boat-2.png"] == [path.name for path in files]
    assert images == tuple(path.read_bytes() for path in files)
    record = json.loads((tmp_path / "new/folder/boat-1.json").read_text())
    assert ("boat-1.png", "a boat", prediction.id) == (
        record["file"],
        record["input"]["prompt"],
        record["prediction"]["id"],
    )


async def test_an_image_file_is_sent_as_a_data_uri(service, tmp_path):
    async with opened(service) as session:
        made = await session.run(flux.KontextPro(prompt="x", output_format="png"))
        (path,) = await session.save(made, tmp_path)
        await session.run(flux.KontextPro(prompt="edit it", input_image=path))
    assert service.bills[1].input["input_image"].startswith("data:image/png;base64,")


@pytest.mark.parametrize("keeps", [False, True], ids=["no journal", "journal"])
async def test_a_relative_image_file_is_the_one_of_the_moment_in_which_it_was_given(
    service, tmp_path, monkeypatch, keeps
):
    for name, content in [("first", PNG), ("second", PNG + b"\0")]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "in.png").write_bytes(content)
    monkeypatch.chdir(tmp_path / "first")
    async with opened(service, max_pending=1, **({"journal": tmp_path} if keeps else {})) as session:
        await session.submit("it has the only slot")
        waiting = asyncio.ensure_future(session.run(flux.KontextPro(prompt="red", input_image=Path("in.png"))))
        await asyncio.sleep(0.1)
        monkeypatch.chdir(tmp_path / "second")
        await waiting
    assert PNG == base64.b64decode(service.bills[1].input["input_image"].partition(",")[2])


async def test_an_image_file_that_is_missing_costs_nothing(service, tmp_path):
    async with opened(service) as session:
        with pytest.raises(InputError, match=r"input_image.*cannot be read") as caught:
            await session.run(flux.KontextPro(prompt="x", input_image=tmp_path / "missing.png"))
    assert Money.NOT_SENT is caught.value.money
    assert [] == service.bills


# ── a batch ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_batch_yields_every_outcome_once_and_as_they_end():
    jobs = [flux.Dev(prompt="slow"), *prompts(5)]
    async with LocalService(pixels=4096, latency=lambda model: 5.0 if model.endswith("dev") else 1.0) as service:
        async with opened(service) as session:
            outcomes = await outcomes_of(session.generate(jobs))
    assert (list(range(6)), 0) == (sorted(outcome.index for outcome in outcomes), outcomes[-1].index)
    assert all(outcome.ok for outcome in outcomes)
    assert 6 == len(service.bills)


async def test_a_batch_is_saved_as_it_ends(service, tmp_path):
    jobs = [Job.of(flux.Schnell(prompt="Paper boat, at sunrise!", aspect_ratio="16:9"), key="boat"), "b"]
    async with opened(service) as session:
        outcomes = await outcomes_of(session.generate(jobs, save_to=tmp_path / "images"))
    files = sorted(path.name for path in (tmp_path / "images").iterdir())
    expected = ["00000-paper-boat-at-sunrise.json", "00000-paper-boat-at-sunrise.webp", "00001-b.json", "00001-b.webp"]
    assert expected == files
    assert {"boat", "#00001"} == {outcome.key for outcome in outcomes}
    assert all(outcome.ok and len(outcome.files) == 1 for outcome in outcomes)


async def test_no_file_that_was_there_is_replaced(service, tmp_path):
    async with opened(service) as session:
        await outcomes_of(session.generate(["boat"], save_to=tmp_path))
        first = (tmp_path / "00000-boat.webp").read_bytes()
        await outcomes_of(session.generate([flux.Schnell(prompt="boat", seed=99)], save_to=tmp_path))
    assert first == (tmp_path / "00000-boat.webp").read_bytes()
    assert first != (tmp_path / "00000-boat+1.webp").read_bytes()


async def test_no_more_are_pending_than_there_are_slots(service):
    pending = []
    async with opened(service, max_pending=3, on_event=lambda _: pending.append(len(session.pending))) as session:
        await outcomes_of(session.generate(prompts(10)))
    assert 3 == max(pending)


async def test_jobs_are_drawn_no_further_ahead_than_there_are_slots(service):
    drawn = []

    def jobs():
        for prompt in prompts(1000):
            drawn.append(prompt)
            yield prompt

    async with opened(service, max_pending=4) as session, session.generate(jobs()) as batch:
        await anext(batch)
        assert 4 <= len(drawn) <= 9


async def test_a_slow_consumer_slows_submission(service):
    async with opened(service, max_pending=4) as session:
        batch = session.generate(prompts(1000))
        await anext(batch)
        await asyncio.sleep(1000)
        assert len(service.bills) <= 1 + 2 * 4


async def test_the_body_of_the_loop_may_run_another_job_even_with_one_slot(service):
    async with opened(service, max_pending=1) as session:
        async for outcome in session.generate(prompts(4)):
            await session.run(f"again {outcome.index}")
    assert 8 == len(service.bills)


async def test_an_async_iterable_may_take_its_time_without_holding_a_slot(service):
    async def jobs():
        yield "first"
        await asyncio.sleep(100)
        yield "second"

    async with opened(service, max_pending=1) as session:
        batch = session.generate(jobs())
        await anext(batch)
        await session.run("meanwhile")
        assert now() < 10
        await anext(batch)
        assert now() > 100


async def test_where_the_iterable_raises_the_pending_ones_finish_first(service):
    def jobs():
        yield from prompts(3)
        raise RuntimeError("the caller's own")

    seen = []
    async with opened(service) as session:
        with pytest.raises(RuntimeError, match="the caller's own"):
            async for outcome in session.generate(jobs()):
                seen.append(outcome.ok)
    assert [True] * 3 == seen


@pytest.mark.parametrize("odd", [42, None, b"bytes", "", {"prompt": "x"}], ids=repr)
async def test_what_is_no_job_is_raised_behind_the_outcomes_before_it(service, odd):
    seen = []
    async with opened(service) as session:
        with pytest.raises(InputError):
            async for outcome in session.generate(["fine", odd, "never drawn"]):
                seen.append(outcome.ok)
    assert [True] == seen
    assert 1 == len(service.bills)


async def test_a_repeated_key_is_an_error(service):
    jobs = [Job.of("a", key="k"), Job.of("b", key="k")]
    async with opened(service) as session:
        with pytest.raises(InputError, match="an earlier job of this batch has this key"):
            await outcomes_of(session.generate(jobs))
    assert 1 == len(service.bills)


@pytest.mark.parametrize(
    "jobs", ["a prompt", b"bytes", 42, None, flux.Schnell(prompt="x"), Job.of("x"), {"prompt": "x"}], ids=repr
)
async def test_one_job_instead_of_many_is_refused(service, jobs):
    async with opened(service) as session:
        with pytest.raises(InputError, match="run"):
            session.generate(jobs)


async def test_two_consumers_share_a_batch_and_each_outcome_goes_to_one(service):
    async with opened(service, max_pending=8) as session:
        batch = session.generate(prompts(20))
        shares = await asyncio.gather(outcomes_of(batch), outcomes_of(batch))
    assert list(range(20)) == sorted(outcome.index for share in shares for outcome in share)


@pytest.mark.slow
async def test_cancelling_the_wait_for_an_outcome_loses_none(service):
    indexes = []
    async with opened(service) as session:
        batch = session.generate(prompts(10))
        while True:
            try:
                async with asyncio.timeout(0.01):
                    indexes.append((await anext(batch)).index)
            except TimeoutError:
                continue
            except StopAsyncIteration:
                break
    assert list(range(10)) == sorted(indexes)


@pytest.mark.parametrize("ticks", range(8))
async def test_a_wait_that_is_cancelled_just_as_the_outcome_comes_loses_none(service, ticks):
    def cancel_in(count):
        if count:
            asyncio.get_running_loop().call_soon(cancel_in, count - 1)
        else:
            task.cancel()

    def watch(event):
        if isinstance(event, events.Ended):
            cancel_in(ticks)

    async with opened(service, on_event=watch) as session:
        batch = session.generate(["x"])
        task = asyncio.ensure_future(anext(batch))
        (first,) = await asyncio.gather(task, return_exceptions=True)
        outcome = first if not isinstance(first, BaseException) else await anext(batch)
    assert outcome.ok


async def test_leaving_the_loop_stops_drawing_and_saves_what_is_paid_for(service, tmp_path):
    drawn = []

    def jobs():
        for prompt in prompts(1000):
            drawn.append(prompt)
            yield prompt

    async with opened(service, max_pending=8) as session:
        async for _ in session.generate(jobs(), save_to=tmp_path):
            break
        await asyncio.sleep(0)
        at_break = len(drawn)
        await asyncio.sleep(100)
    assert at_break == len(drawn)
    assert len(service.bills) == len(list(tmp_path.glob("*.webp")))


async def test_an_iterable_that_swallows_its_cancellation_is_not_drawn_from_again(service):
    async def jobs():
        for prompt in prompts(100):
            yield prompt
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    async with opened(service, max_pending=4) as session:
        async with session.generate(jobs()):
            await asyncio.sleep(1.5)
        at_leaving = len(service.bills)
        await asyncio.sleep(100)
    assert at_leaving == len(service.bills) == 2


async def test_an_iterable_that_raises_a_cancellation_of_its_own_is_not_taken_for_finished(service):
    async def jobs():
        yield "first"
        raise asyncio.CancelledError("the caller's own")

    async with opened(service) as session:
        batch = session.generate(jobs())
        assert (await anext(batch)).ok
        with pytest.raises(asyncio.CancelledError, match="the caller's own"):
            await anext(batch)


async def test_a_batch_that_is_never_iterated_sends_nothing(service):
    async with opened(service) as session:
        session.generate(prompts(10))
        gc.collect()
        await asyncio.sleep(10)
    assert [] == service.bills


async def test_a_folder_that_cannot_be_written_to_is_refused_before_money_is_spent(service, tmp_path):
    (tmp_path / "file").write_text("")
    async with opened(service) as session:
        for folder in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(ConfigError, match=r"cannot be written to|is a file"):
                await outcomes_of(session.generate(["x"], save_to=folder))
    assert [] == service.bills


# ── saving ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_one_image_of_several_missing_is_saved_as_what_is_there(service, tmp_path):
    service.fail("missing-image")
    async with opened(service) as session:
        (outcome,) = await outcomes_of(session.generate([flux.Schnell(prompt="x", num_outputs=3)], save_to=tmp_path))
    assert outcome.ok
    assert 2 == len(outcome.files)


async def test_an_output_that_is_gone_is_paid_and_not_saved(service, tmp_path):
    service.fail("output-404")
    async with opened(service) as session:
        (outcome,) = await outcomes_of(session.generate(["x"], save_to=tmp_path))
    assert (OutcomeKind.SUCCEEDED, False, ()) == (outcome.kind, outcome.ok, outcome.files)
    assert isinstance(outcome.error, OutputError)
    assert Money.ACCEPTED is outcome.error.money
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", ["output-500", "truncated-output", "not-an-image"])
async def test_an_output_that_comes_wrong_is_fetched_again(service, tmp_path, fault):
    service.fail(fault, times=2)
    async with opened(service) as session:
        (outcome,) = await outcomes_of(session.generate(["x"], save_to=tmp_path))
    assert outcome.ok
    assert 1 == len(service.bills)


async def test_a_disk_that_refuses_stops_the_buying(service, tmp_path):
    """What cannot be kept is not to be bought."""
    folder = tmp_path / "images"

    async def jobs():
        for number, prompt in enumerate(prompts(100)):
            if number == 5:
                await asyncio.sleep(30)
                shutil.rmtree(folder)
                folder.write_text("in the way")
            yield prompt

    seen = []
    async with opened(service, max_pending=4) as session:
        with pytest.raises(SessionStoppedError) as caught:
            async for outcome in session.generate(jobs(), save_to=folder):
                seen.append(outcome)
    assert isinstance(caught.value.cause, OutputError)
    assert caught.value.cause.is_disk
    assert 5 == sum(1 for outcome in seen if outcome.ok)
    assert len(service.bills) <= 5 + 2 * 4, "those under way, and those that took their slots while they were saved"


@pytest.mark.slow
async def test_large_images_that_the_service_repeats_are_no_trouble(service):
    """Every answer carries the input again: here more than answers are usually allowed to have."""
    large = PNG.ljust(8 * 1024 * 1024, b"\0")
    async with opened(service) as session:
        prediction = await session.run(flux.Flux2Pro(prompt="x", input_images=[large, large]))
    assert [prediction.id] == [bill.id for bill in service.bills]
    assert [{"type": "image/png", "bytes": len(large)}] * 2 == [
        {name: image[name] for name in ("type", "bytes")} for image in prediction.input["input_images"]
    ]


async def test_an_id_that_is_known_can_be_asked_after(service, tmp_path):
    async with opened(service) as session:
        with pytest.raises(PatienceError) as caught:
            await session.run("a boat", patience=0.3)
        await asyncio.sleep(5)
        prediction = await session.client.get(caught.value.prediction_id)
        assert 1 == len(await session.save(prediction, tmp_path))
    assert 1 == len(service.bills)


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["404", "500", "502", "garbage", "html", "drop", "wrong-id", "429", "list", "hang"])
async def test_questions_that_fail_change_nothing_for_the_prediction(service, fault):
    service.fail(fault, on="get", times=3)
    async with opened(service) as session:
        prediction = await session.run("x")
    assert Status.SUCCEEDED is prediction.status
    assert 1 == len(service.bills)


async def test_a_question_refused_for_the_key_does_not_lose_the_prediction(service):
    service.fail("401", on="get", times=2)
    async with opened(service) as session:
        assert Status.SUCCEEDED is (await session.run("x")).status


@pytest.mark.slow
async def test_hanging_questions_do_not_hold_up_the_others(service):
    service.fail("hang", on="get", times=50)
    async with opened(service, max_pending=100) as session:
        ended = []
        async for _ in session.generate(prompts(100)):
            ended.append(now())
    assert 50 == sum(1 for moment in ended if moment < 5)


async def test_a_prediction_may_be_filed_under_one_id_and_answer_by_another(service):
    """The gateway's envelope tells its own task id beside the prediction's."""

    class Filed(Slow):
        async def submit(self, request):
            response = await super().submit(request)
            inner = json.loads(response.body)
            self.inner_id = inner["id"]
            body = json.dumps({"code": "success", "data": {"id": 7, "task_id": "task-1", "data": inner}}).encode()
            return Response(status=200, body=body)

        async def send(self, request):
            assert "/predictions/task-1" == request.path
            return await super().send(Request("GET", f"/predictions/{self.inner_id}"))

    async with Session(Filed(service, 0, 0)) as session:
        prediction = await session.run("x")
    assert ("task-1", Status.SUCCEEDED) == (prediction.id, prediction.status)


async def test_a_wrapped_answer_is_read_like_a_flat_one(service):
    service.fail("wrapped", times=100)
    async with opened(service) as session:
        prediction = await session.run("x")
    assert 1 == len(prediction.output)


# ── torn answers ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_id_in_a_torn_answer_is_asked_after_and_kept(service):
    service.fail("torn", after=True)
    async with opened(service) as session:
        prediction = await session.run("x")
    assert [prediction.id] == [bill.id for bill in service.bills]


async def test_an_id_in_a_torn_answer_that_the_service_does_not_know_proves_nothing(service):
    service.fail("torn", after=True)
    service.fail("404", on="get", times=100)
    async with opened(service) as session:
        with pytest.raises(UnknownSubmissionError) as caught:
            await session.run("x")
    assert service.bills[0].id == caught.value.prediction_id, "the id is told all the same"
    assert 1 == len(service.bills)


# ── the pace ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refusal_for_speed_pauses_every_task_for_the_time_named(service):
    pauses = []
    service.fail("429", times=1)
    async with opened(service, on_event=lambda event: pauses.append((now(), event))) as session:
        await outcomes_of(session.generate(prompts(5)))
    accepted = [moment for moment, event in pauses if isinstance(event, events.Accepted)]
    throttled = [event.seconds for _, event in pauses if isinstance(event, events.Throttled)]
    assert 1 == len(throttled)
    assert 5 == len(service.bills)
    assert max(accepted) >= throttled[0]


@pytest.mark.slow
async def test_a_storm_of_refusals_ends_no_job(service):
    service.fail("429", times=60)
    async with opened(service) as session:
        outcomes = await outcomes_of(session.generate(prompts(20)))
    assert all(outcome.ok for outcome in outcomes)
    assert 20 == len(service.bills)


@pytest.mark.slow
async def test_refusals_without_end_are_given_up_after_the_time_for_it(service):
    service.fail("429", times=100_000)
    async with opened(service, retry_policy=RetryPolicy(throttled_for=60)) as session:
        with pytest.raises(CometfluxError, match="429") as caught:
            await session.run("x")
        assert 60 <= now() < 150
    assert Money.REJECTED is caught.value.money


async def test_what_provably_was_not_sent_is_sent_again():
    """A refused connection is tried again, with growing waits."""
    async with open_session(api_key="k", base_url="http://127.0.0.1:1/replicate/v1") as session:
        with pytest.raises(CometfluxError, match="cannot connect") as caught:
            await session.run("x")
        assert now() > 0.5 + 1 + 2 + 4
    assert Money.NOT_SENT is caught.value.money


async def test_one_pause_is_told_once_however_many_were_refused(service):
    pauses = []
    service.fail("429", times=10)
    async with opened(service, on_event=pauses.append) as session:
        await outcomes_of(session.generate(prompts(10)))
    assert 1 == sum(isinstance(event, events.Throttled) for event in pauses)


async def test_a_pause_of_submissions_and_questions_holds_no_download(service, tmp_path):
    async with opened(service) as session:
        prediction = await session.run("first")
        service.fail("429-date", times=3)
        service.fail("429-date", on="get", times=3)
        under_way = [asyncio.ensure_future(session.run(prompt)) for prompt in prompts(3)]
        await asyncio.sleep(0.3)
        start = now()
        assert 1 == len(await session.save(prediction, tmp_path))
        assert start == now(), "saved while all else pauses"
        assert 1 == len(service.bills)
        await asyncio.gather(*under_way)


@pytest.mark.slow
async def test_those_that_are_given_up_at_the_gate_leave_no_place_taken(service):
    again = []
    async with opened(service, max_pending=20, creates_per_minute=600) as session:
        given_up = [asyncio.ensure_future(session.run(prompt)) for prompt in prompts(60)]
        await asyncio.sleep(1)
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        again += await asyncio.gather(*(session.run(prompt) for prompt in prompts(20)))
    assert 20 == len(again)


@pytest.mark.slow
async def test_a_known_limit_of_submissions_is_kept_from_the_start(service):
    transport = Watched(service)
    async with Session(transport, max_pending=75, creates_per_minute=30) as session:
        await outcomes_of(session.generate(prompts(75)))
    assert all(later - earlier >= 59.9 for earlier, later in zip(transport.sent, transport.sent[30:], strict=False))
    assert 160 > transport.sent[-1], "and it is used"


@pytest.mark.slow
async def test_submissions_leave_in_the_order_in_which_they_came(service):
    async with opened(service, creates_per_minute=60, max_pending=50) as session:
        await outcomes_of(session.generate(prompts(50)))
    assert prompts(50) == [bill.input["prompt"] for bill in service.bills]


@pytest.mark.slow
async def test_where_a_limit_of_questions_binds_all_are_asked_less_often_and_none_is_forgotten():
    asked = collections.defaultdict(list)

    class Endless:
        """Accepts everything, and ends nothing."""

        async def submit(self, request):
            return Response(status=201, body=json.dumps({"id": f"p{len(asked)}", "status": "starting"}).encode())

        async def send(self, request):
            asked[request.path].append(now())
            body = {"id": request.path.rpartition("/")[2], "status": "processing"}
            return Response(status=200, body=json.dumps(body).encode())

        async def download(self, url):
            raise AssertionError("nothing ends")

        async def aclose(self):
            pass

    class Numbered(Endless):
        numbers = itertools.count()

        async def submit(self, request):
            body = {"id": f"p{next(self.numbers)}", "status": "starting"}
            return Response(status=201, body=json.dumps(body).encode())

    async with Session(Numbered(), max_pending=60, polls_per_minute=180, poll_policy=EVERY_HALF_SECOND) as session:
        async with session.generate(prompts(60)):
            await asyncio.sleep(200)
    moments = sorted(itertools.chain.from_iterable(asked.values()))
    assert all(later - earlier >= 59.9 for earlier, later in zip(moments, moments[180:], strict=False))
    assert 560 < len(moments), "and it is used"
    counts = [len(each) for each in asked.values()]
    assert 60 == len(counts)
    assert min(counts) > 0.8 * max(counts)
    gaps = [later - earlier for each in asked.values() for earlier, later in itertools.pairwise(each)]
    assert max(gaps) < 60, "twenty seconds each, one after the other"


async def test_patience_is_kept_while_questions_wait_for_their_turn(service):
    async with opened(service, polls_per_minute=6, max_pending=20) as session:
        crowd = [asyncio.ensure_future(session.run(prompt, patience=500)) for prompt in prompts(10)]
        await asyncio.sleep(2)
        start = now()
        with pytest.raises(PatienceError):
            await session.run("x", patience=3)
        assert 3 == pytest.approx(now() - start, abs=0.1)
        await asyncio.gather(*crowd)


@pytest.mark.slow
async def test_where_answers_tell_that_nothing_remains_no_refusal_is_earned(service):
    told = []

    class Telling(Watched):
        """Twenty within ten seconds, as the headers say."""

        def __init__(self, service):
            super().__init__(service)
            self.began, self.left, self.refused = 0.0, 20, 0

        async def submit(self, request):
            if now() >= self.began + 10:
                self.began, self.left = now(), 20
            self.left -= 1
            reset = str(int(self.began + 10 - now()) + 1)
            headers = {"ratelimit-remaining": str(max(self.left, 0)), "ratelimit-reset": reset}
            if self.left < 0:
                self.refused += 1
                return Response(status=429, headers=headers, body=b"{}")
            await asyncio.sleep(0.1)
            answer = await super().submit(request)
            return Response(status=answer.status, headers=headers, body=answer.body)

    transport = Telling(service)
    async with Session(transport, max_pending=100, on_event=told.append) as session:
        outcomes = await outcomes_of(session.generate(prompts(100)))
    assert all(outcome.ok for outcome in outcomes)
    assert 0 == transport.refused
    assert not any(isinstance(event, events.Throttled) for event in told)
    assert 60 > transport.sent[-1], "and what remains is used"


async def test_a_refusal_that_also_tells_that_nothing_remains_is_a_refusal(service):
    told = []

    class Refusing(Watched):
        async def submit(self, request):
            if not self.sent:
                self.sent.append(now())
                headers = {"ratelimit-remaining": "0", "ratelimit-reset": "7"}
                return Response(status=429, headers=headers, body=b"{}")
            return await super().submit(request)

    transport = Refusing(service)
    async with Session(transport, on_event=told.append) as session:
        await session.run("x")
    assert [7.0] == [event.seconds for event in told if isinstance(event, events.Throttled)]
    assert 7.0 == pytest.approx(transport.sent[1], abs=0.01)


# ── the latch ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refused_key_stops_the_session_once(service):
    drawn = []

    def jobs():
        for prompt in prompts(1000):
            drawn.append(prompt)
            yield prompt

    service.fail("401", times=100_000)
    kinds = []
    async with opened(service, max_pending=4) as session:
        with pytest.raises(SessionStoppedError) as caught:
            async for outcome in session.generate(jobs()):
                kinds.append(outcome.kind)
        assert isinstance(caught.value.cause, AuthenticationError)
        with pytest.raises(SessionStoppedError):
            await session.run("x")
        with pytest.raises(SessionStoppedError):
            session.generate(["x"])
    assert [] == service.bills
    assert len(drawn) == len(kinds) <= 4
    assert {OutcomeKind.REJECTED, OutcomeKind.NOT_SENT} >= set(kinds)


async def test_what_is_pending_when_the_session_stops_is_still_saved(service, tmp_path):
    async def jobs():
        for prompt in prompts(3):
            yield prompt
        await asyncio.sleep(0.5)
        service.fail("402", times=100_000)
        for prompt in prompts(1000):
            yield prompt

    kinds = []
    async with opened(service, max_pending=4) as session:
        with pytest.raises(SessionStoppedError):
            async for outcome in session.generate(jobs(), save_to=tmp_path):
                kinds.append(outcome.kind)
    assert 3 == len(service.bills) == kinds.count(OutcomeKind.SUCCEEDED) == len(list(tmp_path.glob("*.webp")))


async def test_the_only_job_of_a_batch_refused_for_the_key_raises_as_well(service):
    service.fail("401")
    async with opened(service) as session:
        batch = session.generate(["x"])
        assert OutcomeKind.REJECTED is (await anext(batch)).kind
        with pytest.raises(SessionStoppedError):
            await anext(batch)


@pytest.mark.parametrize(("fault", "after"), [("redirect", False), ("html", False), ("html", True)])
async def test_an_answer_of_something_else_stops_the_session(service, fault, after):
    service.fail(fault, times=100, after=after)
    async with opened(service, max_pending=1) as session:
        with pytest.raises(SessionStoppedError):
            await outcomes_of(session.generate(prompts(10)))
    assert len(service.bills) <= 1


async def test_several_unknowns_in_a_row_stop_the_session(service):
    service.fail("drop", after=True, times=100)
    kinds = []
    async with opened(service, max_pending=1) as session:
        with pytest.raises(SessionStoppedError) as caught:
            async for outcome in session.generate(prompts(100)):
                kinds.append(outcome.kind)
    assert isinstance(caught.value.cause, UnknownSubmissionError)
    assert [OutcomeKind.UNKNOWN] * 5 == kinds
    assert 5 == len(service.bills)


async def test_unknowns_among_answers_do_not_stop_the_session(service):
    async with opened(service, max_pending=1) as session:
        kinds = []
        for number in range(20):
            if number % 2:
                service.fail("drop", after=True)
            try:
                await session.run("x")
                kinds.append("ok")
            except UnknownSubmissionError:
                kinds.append("unknown")
    assert ["ok", "unknown"] * 10 == kinds
    assert 20 == len(service.bills)


async def test_the_first_cause_stays_the_cause(service):
    service.fail("402")
    service.fail("401")
    async with opened(service) as session:
        with pytest.raises(SessionStoppedError) as caught:
            await outcomes_of(session.generate(prompts(2)))
    assert isinstance(caught.value.cause, CreditError)


async def test_what_waits_for_a_pause_is_not_sent_once_the_session_has_stopped(service):
    service.fail("429")
    service.fail("401")
    async with opened(service) as session:
        with pytest.raises(SessionStoppedError):
            await outcomes_of(session.generate(prompts(2)))
    assert [] == service.bills
    assert 2 == sum(1 for request in service.requests if request.method == "POST")


# ── leaving around a submission in flight ────────────────────────────────────────────────────────────────────────────

INSTANTS = [0.0, 0.5, 1.0, 1.5, 2.0, 2.2]


def accepted_ids(seen):
    return {event.prediction_id for event in seen if isinstance(event, events.Accepted)}


@pytest.mark.parametrize("instant", INSTANTS)
async def test_cancelling_the_wait_never_loses_an_accepted_id(service, instant):
    seen = []
    async with Session(Slow(service), on_event=seen.append) as session:
        task = asyncio.ensure_future(session.run("x"))
        await asyncio.sleep(instant)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert {bill.id for bill in service.bills} == accepted_ids(seen)


@pytest.mark.parametrize("instant", INSTANTS)
async def test_a_timeout_never_loses_an_accepted_id(service, instant):
    seen = []
    async with Session(Slow(service), on_event=seen.append) as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(instant):
                await session.run("x")
    assert {bill.id for bill in service.bills} == accepted_ids(seen)


@pytest.mark.parametrize("instant", INSTANTS)
async def test_a_siblings_failure_never_loses_an_accepted_id(service, instant):
    async def fail():
        await asyncio.sleep(instant)
        raise RuntimeError("sibling")

    seen = []
    async with Session(Slow(service), on_event=seen.append) as session:
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                for prompt in prompts(5):
                    group.create_task(session.run(prompt))
    assert {bill.id for bill in service.bills} == accepted_ids(seen)


@pytest.mark.parametrize("instant", INSTANTS)
async def test_leaving_a_batch_never_loses_an_accepted_id(service, instant, tmp_path):
    seen = []
    async with Session(Slow(service), on_event=seen.append, max_pending=4) as session:
        async with session.generate(prompts(100), save_to=tmp_path):
            await asyncio.sleep(instant)
    ids = {bill.id for bill in service.bills}
    assert ids == accepted_ids(seen)
    assert len(ids) == len(list(tmp_path.glob("*.webp"))), "what is paid for is saved before the session closes"


async def test_an_exception_in_the_body_closes_the_session_without_losing_an_id(service):
    seen = []
    with pytest.raises(RuntimeError, match="body"):
        async with Session(Slow(service), on_event=seen.append) as session:
            task = asyncio.ensure_future(session.run("x"))
            await asyncio.sleep(1.5)
            raise RuntimeError("body")
    assert {bill.id for bill in service.bills} == accepted_ids(seen)
    with pytest.raises(SessionClosedError) as caught:
        await task
    assert (Money.ACCEPTED, service.bills[0].id) == (caught.value.money, caught.value.prediction_id)


async def test_a_job_given_up_before_it_is_sent_costs_nothing(service):
    async with opened(service, max_pending=1) as session:
        first = asyncio.ensure_future(session.run("first"))
        second = asyncio.ensure_future(session.run("second"))
        await asyncio.sleep(0.5)
        second.cancel()
        await first
    assert 1 == len(service.bills)
    assert 1 == session.accounting["not_sent"]


async def test_closing_does_not_wait_longer_than_its_grace(service):
    service.fail("hang", after=True)
    async with open_session(api_key=service.key, base_url=service.url) as session:
        task = asyncio.ensure_future(session.run("x"))
        await asyncio.sleep(1)
    assert 31 == pytest.approx(now(), abs=0.1)
    with pytest.raises(UnknownSubmissionError):
        await task


async def test_closing_sends_nothing_more(service):
    async with opened(service, max_pending=2) as session:
        tasks = [asyncio.ensure_future(session.run(prompt)) for prompt in prompts(10)]
        await asyncio.sleep(0.1)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert 2 == len(service.bills)
    assert {SessionClosedError} == {type(result) for result in results}
    assert 8 == sum(1 for result in results if result.money is Money.NOT_SENT)


# ── what a transport of the caller's may do ──────────────────────────────────────────────────────────────────────────


class Watched(Slow):
    """Notes when questions and submissions leave, and may hold up downloads."""

    def __init__(self, service, download=0.0):
        super().__init__(service, 0, 0)
        self._download = download
        self.asked, self.sent = [], []

    async def submit(self, request):
        self.sent.append(now())
        return await super().submit(request)

    async def send(self, request):
        self.asked.append(now())
        return await super().send(request)

    async def download(self, url):
        await asyncio.sleep(self._download)
        return await super().download(url)


async def test_a_slot_is_free_when_the_prediction_ends_and_not_when_it_is_saved(service, tmp_path):
    async with Session(Watched(service, download=100), max_pending=1, grace=300) as session:
        async with session.generate(prompts(2), save_to=tmp_path) as batch:
            await asyncio.sleep(10)
            assert 2 == len(service.bills)
            assert {} == session.pending, "what is being saved is over"
            assert 2 == session.accounting["saving"]
            assert [True, True] == [(await anext(batch)).ok, (await anext(batch)).ok]


async def test_what_is_not_saved_yet_counts_as_drawn_ahead(service, tmp_path):
    async with Session(Watched(service, download=1000), max_pending=2) as session:
        async with session.generate(prompts(1000), save_to=tmp_path):
            await asyncio.sleep(500)
            assert 4 == len(service.bills)


@pytest.mark.slow
async def test_saving_comes_before_submitting(service, tmp_path):
    transport = Watched(service, download=50)
    async with Session(transport, max_pending=100, grace=3000, poll_policy=EVERY_HALF_SECOND) as session:
        outcomes = await outcomes_of(session.generate(prompts(150), save_to=tmp_path))
    assert all(outcome.ok for outcome in outcomes)
    # Submissions stop once 32 are ended and not saved.
    assert 100 <= len([moment for moment in transport.sent if moment < 50]) <= 100 + 32


async def test_a_pause_holds_questions_and_submissions_alike(service):
    service.fail("429-date", on="get")
    transport = Watched(service)
    async with Session(transport, max_pending=3, poll_policy=EVERY_HALF_SECOND) as session:
        pauses = []

        async def jobs():
            yield from_first
            await asyncio.sleep(0.6)
            for prompt in prompts(2):
                yield prompt

        from_first = "first"
        session_outcomes = await outcomes_of(session.generate(jobs()))
        pauses += [later - earlier for earlier, later in itertools.pairwise(sorted(transport.asked))]
    assert all(outcome.ok for outcome in session_outcomes)
    assert 1.0 <= max(pauses)
    assert not any(0.5 < moment < 1.5 for moment in transport.sent + transport.asked)


@pytest.mark.slow
async def test_questions_do_not_all_leave_at_once_behind_a_pause(service):
    service.fail("429", on="get", times=1)
    transport = Watched(service)
    async with Session(transport, max_pending=50) as session:
        await outcomes_of(session.generate(prompts(50)))
    first_after = [moment for moment in transport.asked if moment > 0.6]
    assert max(collections.Counter(round(moment, 3) for moment in first_after).values()) < 10


@pytest.mark.slow
async def test_patience_is_kept_while_hundreds_of_questions_hang(service):
    service.fail("hang", on="get", times=10_000)
    async with opened(service, max_pending=400) as session:
        crowd = [asyncio.ensure_future(session.run(prompt)) for prompt in prompts(300)]
        await asyncio.sleep(5)
        start = now()
        with pytest.raises(PatienceError):
            await session.run("x", patience=1)
        assert 1 == pytest.approx(now() - start, abs=0.01)
    await asyncio.gather(*crowd, return_exceptions=True)


@pytest.mark.slow
async def test_no_more_questions_are_in_flight_than_an_ordinary_machine_has_sockets_for(service):
    class Crowded(Watched):
        in_flight = most = 0

        async def send(self, request):
            self.in_flight += 1
            self.most = max(self.most, self.in_flight)
            try:
                await asyncio.sleep(5)
                return await super().send(request)
            finally:
                self.in_flight -= 1

    transport = Crowded(service)
    async with Session(transport, max_pending=250) as session:
        outcomes = await outcomes_of(session.generate(prompts(250)))
    assert all(outcome.ok for outcome in outcomes)
    assert 200 == transport.most


async def test_a_transport_that_gives_a_question_up_is_asked_again(service):
    class GivesUp(Watched):
        async def send(self, request):
            response = await super().send(request)
            if len(self.asked) == 1:
                raise asyncio.CancelledError
            return response

    async with Session(GivesUp(service)) as session:
        assert Status.SUCCEEDED is (await session.run("x")).status


@pytest.mark.parametrize("fault", ["403", "404", "500"])
async def test_many_failed_questions_in_a_row_lose_nothing(service, fault):
    service.fail(fault, on="get", times=12)
    async with opened(service) as session:
        assert Status.SUCCEEDED is (await session.run("x")).status


# ── misuse ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_session_that_is_not_open_says_so(service):
    session = opened(service)
    with pytest.raises(SessionClosedError, match="async with"):
        await session.run("x")
    async with session:
        pass
    with pytest.raises(SessionClosedError, match="closed"):
        await session.run("x")
    with pytest.raises(SessionClosedError, match="entered once"):
        async with session:
            pass
    await session.aclose()


async def test_a_session_in_another_loop_says_so(service):
    async with opened(service) as session:

        def elsewhere():
            asyncio.run(session.run("x"))

        with pytest.raises(ConfigError, match="belongs to the event loop"):
            await asyncio.to_thread(elsewhere)


async def test_a_session_that_was_closed_before_it_was_opened_stays_closed(service):
    session = opened(service)
    await session.aclose()
    with pytest.raises(SessionClosedError):
        async with session:
            pass


async def test_closing_twice_at_once_closes_once_and_both_wait(service):
    async with opened(service) as session:
        task = asyncio.ensure_future(session.run("x"))
        await asyncio.sleep(0.1)
        await asyncio.gather(session.aclose(), session.aclose())
        assert task.done()
    with pytest.raises(SessionClosedError):
        await task


async def test_a_close_that_is_cancelled_leaves_nobody_waiting(service):
    service.fail("hang", after=True)
    session = await opened(service).__aenter__()
    runs = [asyncio.ensure_future(session.run(prompt)) for prompt in prompts(3)]
    await asyncio.sleep(1)
    closing = asyncio.ensure_future(session.aclose())
    await asyncio.sleep(1)
    closing.cancel()
    await asyncio.gather(closing, *runs, return_exceptions=True)
    assert all(run.done() for run in runs)


@pytest.mark.parametrize("options", [{"poll_policy": 5}, {"retry_policy": "x"}, {"on_event": 5}], ids=repr)
def test_settings_of_the_wrong_type_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        open_session(api_key="k", **options)


@pytest.mark.parametrize("save_to", ["", " ", 5, b"x"], ids=repr)
async def test_a_folder_that_is_no_path_is_refused(service, save_to):
    async with opened(service) as session:
        with pytest.raises(ConfigError, match="save_to"):
            session.generate(["x"], save_to=save_to)


@pytest.mark.parametrize("max_pending", [0, -1, True, float("nan"), 1.5, "8", None], ids=repr)
def test_max_pending_is_a_whole_number_from_1(max_pending):
    with pytest.raises(ConfigError, match="max_pending"):
        open_session(api_key="k", max_pending=max_pending)


async def test_an_observer_that_raises_is_logged_once_and_stops_nothing(service, caplog):
    def broken(event):
        raise RuntimeError("observer")

    with caplog.at_level(logging.ERROR, "cometflux"):
        async with opened(service, on_event=broken) as session:
            await outcomes_of(session.generate(prompts(5)))
    assert 1 == len(caplog.records)
    assert 5 == len(service.bills)


async def test_an_observer_is_told_the_whole_life_of_a_job(service, tmp_path):
    seen = []
    async with opened(service, on_event=seen.append) as session:
        await outcomes_of(session.generate(["x"], save_to=tmp_path))
    names = [type(event).__name__ for event in seen]
    assert ["Submitted", "Accepted", *["Polled"] * names.count("Polled"), "Saved", "Ended"] == names


@pytest.mark.parametrize("moment", ["submit", "send", "download"])
async def test_a_transport_that_breaks_ends_the_job_in_a_named_way(service, tmp_path, moment, caplog):
    class Broken(Slow):
        def __init__(self, service):
            super().__init__(service, 0, 0)
            self.count = 0

    async def broken(self, *_):
        self.count += 1
        raise ZeroDivisionError("a bug")

    setattr(Broken, moment, broken)
    async with Session(Broken(service), poll_policy=PollPolicy(patience=10)) as session:
        (outcome,) = await outcomes_of(session.generate(["x"], save_to=tmp_path))
    expected = {"submit": OutcomeKind.UNKNOWN, "send": OutcomeKind.DETACHED, "download": OutcomeKind.SUCCEEDED}
    assert expected[moment] is outcome.kind
    assert not outcome.ok
    assert "ZeroDivisionError" in str(outcome.error)


async def test_the_accounting_adds_up_after_everything_went_wrong(service, tmp_path):
    for fault in ["failed", "canceled", "aborted", "expired", "422", "output-404"]:
        service.fail(fault)
    service.fail("drop", after=True)
    async with opened(service) as session:
        outcomes = await outcomes_of(session.generate(prompts(20), save_to=tmp_path))
        accounting = dict(session.accounting)
    assert 20 == len(outcomes) == accounting.pop("all") == sum(accounting.values())
    kinds = [outcome.kind.value for outcome in outcomes]
    assert {kind: count for kind, count in accounting.items() if count} == {kind: kinds.count(kind) for kind in kinds}


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a\\b", "a\nb", "a\0b", "x" * 201, 7], ids=repr)
async def test_a_name_that_leaves_the_folder_is_refused(service, tmp_path, name):
    async with opened(service) as session:
        prediction = await session.run("x")
        with pytest.raises(InputError, match="name"):
            await session.save(prediction, tmp_path / "images", name)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "make",
    [pd.DataFrame, lambda rows: pd.Series(rows["prompt"]), pl.DataFrame, pl.Series, pa.table],
    ids=["a pandas frame", "a pandas series", "a polars frame", "a polars series", "a table of pyarrow"],
)
async def test_a_table_is_not_an_iterable_of_jobs(service, make):
    """It would iterate over the names of its columns, and each name would be a prompt."""
    table = make({"prompt": ["a fox"]}) if make is not pl.Series else pl.Series(["a fox"])
    async with open_session(base_url=service.url, api_key=service.key) as session:
        with pytest.raises(InputError, match=r"cometflux\.sources\.read_jobs makes jobs of its rows"):
            session.generate(table)
    assert not service.bills
