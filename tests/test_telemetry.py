"""Spans of a session, as an exporter gets them."""

import asyncio
import json
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from socket_server import Peer, http
from waiting import PATIENCE

from cometflux import flux
from cometflux.errors import (
    CometfluxError,
    ConfigError,
    OutputError,
    PredictionFailedError,
    RejectedError,
    SessionClosedError,
    UnknownSubmissionError,
)
from cometflux.jobs import Job
from cometflux.pacing.retry import RetryPolicy
from cometflux.polling.policy import PollPolicy
from cometflux.session.open import open_session
from cometflux.session.session import Session
from cometflux.telemetry import spans
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport

KEY = "sk-canary-4242424242"


@pytest.fixture
async def canary_service():
    async with LocalService(key=KEY, pixels=4096, latency=1.0) as service:
        yield service


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def tracer_provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def observer(tracer_provider):
    observer = spans(tracer_provider)
    yield observer
    assert {} == observer._open, "a job has ended, and its span has not"


def session_with(service, observer, **options):
    return open_session(api_key=service.key, base_url=service.url, on_event=observer, **options)


def trees(exporter):
    """The span of each job with its children, in the order in which the jobs ended."""
    finished = exporter.get_finished_spans()
    children = [span for span in finished if span.name in {"submit", "poll", "download"}]
    jobs = [span for span in finished if span.name.startswith("generate_content ")]
    found = [(job, [each for each in children if each.parent.span_id == job.context.span_id]) for job in jobs]
    assert len(children) == sum(len(of_job) for _, of_job in found), "a child belongs to no job"
    return found


def named(name, children):
    return [span for span in children if span.name == name]


def faults(children):
    return [(span.name, span.attributes["error.type"]) for span in children if not span.status.is_ok]


# ── what there is ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_each_job_has_a_span_with_its_submission_its_polls_and_its_downloads(
    canary_service, exporter, observer, tmp_path
):
    jobs = [flux.Schnell(prompt="a boat", num_outputs=2), flux.Schnell(prompt="a mill")]
    async with session_with(canary_service, observer) as session:
        outcomes = [outcome async for outcome in session.generate(jobs, save_to=tmp_path)]
    found = trees(exporter)
    assert [outcome.key for outcome in outcomes] == [job.attributes["cometflux.key"] for job, _ in found]
    for outcome, (_, children) in zip(outcomes, found, strict=True):
        names = [span.name for span in children]
        path = f"/predictions/{outcome.prediction.id}"
        polls = sum(request.path.endswith(path) for request in canary_service.requests)
        expected = ["submit", *["poll"] * polls, *["download"] * len(outcome.prediction.output)]
        assert expected == names
        assert 2 <= polls
    assert {1, 2} == {len(outcome.prediction.output) for outcome in outcomes}


async def test_a_span_has_the_facts_of_its_job(canary_service, exporter, observer):
    async with session_with(canary_service, observer) as session:
        prediction = await session.run(Job.of(flux.Schnell(prompt="a boat", num_outputs=2), key="boat"))
    ((job, (submission, *_, last)),) = trees(exporter)
    assert "generate_content black-forest-labs/flux-schnell" == job.name
    assert job.status.is_unset
    assert {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "cometapi",
        "gen_ai.request.model": "black-forest-labs/flux-schnell",
        "gen_ai.output.type": "image",
        "gen_ai.response.id": prediction.id,
        "cometflux.key": "boat",
        "cometflux.kind": "succeeded",
        "cometflux.status": "succeeded",
        "cometflux.images": 2,
        "cometflux.resumed": False,
    } == dict(job.attributes)
    assert {
        "http.request.method": "POST",
        "url.template": "/models/{owner}/{name}/predictions",
        "gen_ai.response.id": prediction.id,
    } == dict(submission.attributes)
    assert {"gen_ai.response.id": prediction.id, "cometflux.status": "succeeded"} == dict(last.attributes)
    assert {SpanKind.CLIENT} == {span.kind for span in exporter.get_finished_spans()}


@pytest.mark.slow
@pytest.mark.realtime
async def test_the_children_lie_within_their_job_one_after_the_other(exporter, observer, tmp_path):
    async with LocalService(key=KEY, pixels=4096, latency=0.5) as service:
        async with session_with(service, observer) as session:
            async for outcome in session.generate([flux.Schnell(prompt="a boat", num_outputs=2)], save_to=tmp_path):
                assert outcome.ok
    ((job, children),) = trees(exporter)
    moments = [moment for span in children for moment in (span.start_time, span.end_time)]
    assert sorted(moments) == moments
    assert job.start_time <= moments[0] < moments[-1] <= job.end_time
    assert 0.5e9 < job.end_time - job.start_time < PATIENCE * 1e9
    assert 0 < children[0].end_time - children[0].start_time
    # The image takes half a second, and the submission does not wait for it.
    assert ["submit", "poll"] == [span.name for span in children[:2]]


async def test_two_batches_with_the_same_keys_are_kept_apart(canary_service, exporter, observer):
    async with session_with(canary_service, observer) as session:

        async def take(word):
            jobs = [Job.of(f"{word} {number}", key=f"key {number}") for number in range(4)]
            return [outcome async for outcome in session.generate(jobs)]

        taken = await asyncio.gather(take("boat"), take("mill"))
    ids = sorted(outcome.prediction.id for outcomes in taken for outcome in outcomes)
    found = trees(exporter)
    assert ids == sorted(job.attributes["gen_ai.response.id"] for job, _ in found)
    for job, children in found:
        assert {job.attributes["gen_ai.response.id"]} == {span.attributes["gen_ai.response.id"] for span in children}


async def test_a_job_belongs_to_the_span_in_which_it_was_handed_over(
    canary_service, exporter, observer, tracer_provider
):
    tracer = trace.get_tracer("test", tracer_provider=tracer_provider)
    async with session_with(canary_service, observer) as session:
        with tracer.start_as_current_span("one") as one:
            await session.run("a boat")
        with tracer.start_as_current_span("many") as many:
            async for outcome in session.generate(["a mill"]):
                assert outcome.ok
    parents = [job.parent.span_id for job, _ in trees(exporter)]
    assert [one.get_span_context().span_id, many.get_span_context().span_id] == parents


async def test_nothing_of_the_trace_is_sent_to_the_service(observer, tracer_provider):
    """The application's trace context and baggage must not reach the service or the host of the images."""
    async with Peer(lambda _: http(201, b'{"id": "abc", "status": "succeeded", "output": ["x"]}')) as peer:
        with trace.get_tracer("test", tracer_provider=tracer_provider).start_as_current_span("caller"):
            async with open_session(api_key=KEY, base_url=peer.url, on_event=observer) as session:
                await session.run("a boat")
    (request,) = peer.requests
    assert {"traceparent", "tracestate", "baggage"}.isdisjoint(request["headers"])


async def test_it_works_with_the_program_s_provider_that_exports_nothing(canary_service):
    observer = spans()
    async with session_with(canary_service, observer) as session:
        assert (await session.run("a boat")).output
    assert {} == observer._open


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_lost_answer_is_an_error_of_the_submission_and_of_the_job(canary_service, exporter, observer):
    canary_service.fail("drop", after=True)
    async with session_with(canary_service, observer) as session:
        with pytest.raises(UnknownSubmissionError) as caught:
            await session.run("a boat")
    ((job, children),) = trees(exporter)
    assert [("submit", "UnknownSubmissionError")] == faults(children)
    assert "unknown" == job.attributes["cometflux.kind"]
    assert StatusCode.ERROR is job.status.status_code
    assert str(caught.value) == job.status.description == children[0].status.description
    assert "gen_ai.response.id" not in job.attributes
    assert 1 == len(canary_service.bills)


async def test_each_submission_has_a_span_of_its_own(canary_service, exporter, observer):
    canary_service.fail("429", times=2)
    canary_service.fail("drop", after=True)
    async with session_with(canary_service, observer, on_unknown="resend", max_resends=1) as session:
        prediction = await session.run("a boat")
    ((job, children),) = trees(exporter)
    submissions = named("submit", children)
    lost = [("submit", "RateLimitError"), ("submit", "RateLimitError"), ("submit", "UnknownSubmissionError")]
    assert sorted(lost) == sorted(faults(submissions))
    assert 4 == len(submissions) == sum(request.method == "POST" for request in canary_service.requests)
    assert [429, 429] == [
        span.attributes["http.response.status_code"]
        for span in submissions
        if "http.response.status_code" in span.attributes
    ]
    assert prediction.id == submissions[-1].attributes["gen_ai.response.id"]
    assert ["retried"] == [event.name for event in job.events]
    assert job.status.is_unset


async def test_what_never_left_is_a_submission_too(canary_service, exporter, observer):
    transport = AiohttpTransport(KEY, "http://127.0.0.1:1/v1")
    policy = RetryPolicy(tries=3)
    async with Session(transport, retry_policy=policy, on_event=observer) as session:
        with pytest.raises(CometfluxError):
            await session.run("a boat")
    ((job, children),) = trees(exporter)
    assert [("submit", "ConnectError")] * 3 == faults(children)
    assert "not_sent" == job.attributes["cometflux.kind"]
    assert 2 == len(job.events)


async def test_a_refusal_is_an_error_with_its_status(canary_service, exporter, observer):
    canary_service.fail("422")
    async with session_with(canary_service, observer) as session:
        with pytest.raises(RejectedError):
            await session.run("a boat")
    ((job, (submission,)),) = trees(exporter)
    assert "rejected" == job.attributes["cometflux.kind"]
    assert 422 == submission.attributes["http.response.status_code"]
    assert "RejectedError" == submission.attributes["error.type"] == job.attributes["error.type"]


async def test_a_failed_prediction_is_an_error_of_the_job_alone(canary_service, exporter, observer):
    canary_service.fail("failed")
    async with session_with(canary_service, observer) as session:
        with pytest.raises(PredictionFailedError):
            await session.run("a boat")
    ((job, children),) = trees(exporter)
    assert [] == faults(children)
    assert ("failed", "failed", 0) == tuple(
        job.attributes[f"cometflux.{name}"] for name in ("kind", "status", "images")
    )
    assert "PredictionFailedError" == job.attributes["error.type"]
    assert StatusCode.ERROR is job.status.status_code


async def test_a_job_that_is_submitted_again_stays_one_job(canary_service, exporter, observer):
    canary_service.fail("failed-transient")
    async with session_with(canary_service, observer, retry_failed=1) as session:
        prediction = await session.run("a boat")
    ((job, children),) = trees(exporter)
    bought = [span.attributes["gen_ai.response.id"] for span in named("submit", children)]
    assert [bill.id for bill in canary_service.bills] == bought
    assert prediction.id == job.attributes["gen_ai.response.id"] == bought[-1]
    assert [("retried", "PredictionFailedError")] == [(e.name, e.attributes["error.type"]) for e in job.events]


async def test_a_failed_poll_is_an_error_of_the_poll_alone(canary_service, exporter, observer):
    canary_service.fail("500", on="get", times=2)
    async with session_with(canary_service, observer, retry_policy=RetryPolicy(tries=1)) as session:
        await session.run("a boat")
    ((job, children),) = trees(exporter)
    assert 2 == len(faults(named("poll", children)))
    assert job.status.is_unset


async def test_a_poll_that_patience_ended_is_an_error(canary_service, exporter, observer):
    canary_service.fail("hang", on="get", times=100)
    async with session_with(canary_service, observer, poll_policy=PollPolicy(patience=3)) as session:
        with pytest.raises(CometfluxError):
            await session.run("a boat")
    ((job, children),) = trees(exporter)
    assert [("poll", "TimeoutError")] == faults(children)
    assert "detached" == job.attributes["cometflux.kind"]


async def test_a_download_that_fails_is_an_error_of_its_own(canary_service, exporter, observer, tmp_path):
    canary_service.fail("output-404")
    async with session_with(canary_service, observer) as session:
        (outcome,) = [outcome async for outcome in session.generate(["a boat"], save_to=tmp_path)]
    assert not outcome.ok
    ((job, children),) = trees(exporter)
    assert [("download", "OutputError")] == faults(children)
    assert "OutputError" == job.attributes["error.type"]
    assert ("succeeded", 1) == (job.attributes["cometflux.kind"], job.attributes["cometflux.images"])


async def test_a_resumed_job_has_no_submission(canary_service, exporter, observer, tmp_path):
    canary_service.latency = 60
    async with session_with(canary_service, observer, journal=tmp_path / "journal.sqlite3") as session:
        with pytest.raises(CometfluxError):
            await session.run(Job.of("a boat", key="boat"), patience=2)
    async with session_with(canary_service, observer, journal=tmp_path / "journal.sqlite3") as session:
        prediction = await session.run(Job.of("a boat", key="boat"))
    (bought, _), (job, children) = trees(exporter)
    assert [False, True] == [span.attributes["cometflux.resumed"] for span in (bought, job)]
    assert {"poll"} == {span.name for span in children}
    assert prediction.id == job.attributes["gen_ai.response.id"] == bought.attributes["gen_ai.response.id"]
    assert 1 == len(canary_service.bills)


async def test_a_job_that_is_known_to_be_saved_has_no_children(canary_service, exporter, observer, tmp_path):
    for _ in range(2):
        async with session_with(canary_service, observer, journal=tmp_path / "journal.sqlite3") as session:
            (outcome,) = [outcome async for outcome in session.generate(["a boat"], save_to=tmp_path)]
            assert outcome.ok
    _, (job, children) = trees(exporter)
    assert [] == children
    assert job.attributes["cometflux.resumed"]
    assert outcome.prediction.id == job.attributes["gen_ai.response.id"]


async def test_closing_the_session_ends_every_span(canary_service, exporter, observer):
    canary_service.latency = 600
    async with session_with(canary_service, observer, max_pending=3) as session:
        runs = [asyncio.create_task(session.run(f"boat {number}")) for number in range(5)]
        await asyncio.sleep(5)
        assert 5 == len(observer._open)
    assert [SessionClosedError] * 5 == [type(error) for error in await asyncio.gather(*runs, return_exceptions=True)]
    kinds = sorted(job.attributes["cometflux.kind"] for job, _ in trees(exporter))
    assert [*["detached"] * 3, *["not_sent"] * 2] == kinds


async def test_a_submission_that_closing_cuts_off_is_there(canary_service, exporter, observer):
    canary_service.fail("hang", after=True)
    transport = AiohttpTransport(KEY, canary_service.url)
    async with Session(transport, on_event=observer, grace=1) as session:
        run = asyncio.create_task(session.run("a boat"))
        await asyncio.sleep(1)
    with pytest.raises(UnknownSubmissionError):
        await run
    ((job, children),) = trees(exporter)
    assert "unknown" == job.attributes["cometflux.kind"]
    assert ["submit"] == [span.name for span in children]
    assert "the submit was broken off (CancelledError)" in children[0].status.description


# ── what they do not do ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("fault", [None, "401", "500", "drop", "torn", "garbage", "redirect", "429", "failed"])
async def test_no_span_shows_the_key_or_the_prompt_by_itself(canary_service, exporter, observer, tmp_path, fault):
    if fault:
        canary_service.fail(fault)
    canary_service.fail("drop", on="get")
    canary_service.fail("output-404")
    async with session_with(canary_service, observer) as session:
        try:
            async for _ in session.generate(["a secret prompt", "another secret prompt"], save_to=tmp_path):
                pass
        except CometfluxError:
            pass
    shown = [span.to_json() for span in exporter.get_finished_spans()]
    assert len(shown) >= 2
    assert KEY not in "\n".join(shown)
    assert "uthorization" not in "\n".join(shown)
    assert "secret" not in "\n".join(shown)


@pytest.mark.parametrize(
    "output",
    [
        pytest.param("ftp://a.example/b.png?X-Signature=presigned", id="a scheme that is not fetched"),
        pytest.param("https://127.0.0.1:1/b.png?presigned", id="a host that does not answer"),
        pytest.param("http://a.example/b.png?a=1&b=presigned#presigned", id="no https"),
    ],
)
async def test_no_span_shows_the_query_of_an_output(exporter, observer, tmp_path, output):
    def answer(request):
        if request["method"] == "POST":
            return http(201, b'{"id": "abc", "status": "starting"}')
        return http(200, json.dumps({"id": "abc", "status": "succeeded", "output": [output]}).encode())

    async with Peer(answer) as peer:
        async with open_session(api_key=KEY, base_url=peer.url, on_event=observer) as session:
            (outcome,) = [outcome async for outcome in session.generate(["a boat"], save_to=tmp_path)]
    assert isinstance(outcome.error, OutputError)
    ((_, children),) = trees(exporter)
    assert {("download", "OutputError")} == set(faults(children))
    assert "presigned" not in "\n".join(span.to_json() for span in exporter.get_finished_spans())


class BrokenProcessor(SimpleSpanProcessor):
    """Raises when a span begins, or when it ends."""

    def __init__(self, where):
        super().__init__(InMemorySpanExporter())
        self.where = where

    def on_start(self, span, parent_context=None):
        if self.where == "start":
            raise RuntimeError("the exporter is broken")

    def on_end(self, span):
        if self.where == "end":
            raise RuntimeError("the exporter is broken")


@pytest.mark.parametrize("where", ["start", "end"])
async def test_an_exporter_that_raises_stops_no_batch_and_keeps_no_span(canary_service, tmp_path, caplog, where):
    provider = TracerProvider()
    provider.add_span_processor(BrokenProcessor(where))
    observer = spans(provider)
    async with session_with(canary_service, observer) as session:
        outcomes = [outcome async for outcome in session.generate(["a boat", "a mill"], save_to=tmp_path)]
    assert [True, True] == [outcome.ok for outcome in outcomes]
    assert 2 == len(canary_service.bills)
    assert {} == observer._open
    complaints = [record.getMessage() for record in caplog.records if record.name == "cometflux"]
    assert ["on_event raised an exception; its further exceptions are not logged"] == complaints


async def test_a_transport_s_own_errors_are_shown_by_name_only(exporter, observer):
    class Broken:
        async def submit(self, request):
            raise RuntimeError(f"Bearer {KEY}")

        async def aclose(self):
            pass

        send = download = submit

    async with Session(Broken(), on_event=observer) as session:
        with pytest.raises(UnknownSubmissionError):
            await session.run("a boat")
    ((_, (submission,)),) = trees(exporter)
    assert submission.status.description.startswith("the submit was broken off (RuntimeError)")
    assert KEY not in submission.to_json()


def test_without_the_extra_one_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigError, match=r'^telemetry needs an extra: pip install "cometflux\[otel\]"$'):
        spans()


@pytest.mark.parametrize("given", [5, "otlp", TracerProvider, object()])
def test_what_is_not_a_provider_is_one_error(given):
    with pytest.raises(ConfigError, match=r"^tracer_provider=.*: must be a TracerProvider$"):
        spans(given)
