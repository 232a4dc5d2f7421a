"""Spans of a session, as an exporter gets them."""

import contextlib
import sys

import aiohttp
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from peer import Peer, http

from cometflux.errors import CometfluxError, ConfigError
from cometflux.telemetry import trace_config
from cometflux.testing import LocalService
from cometflux.transport import AiohttpTransport
from cometflux.wiring import open_session

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


def session_with(service, config):
    return open_session(api_key=service.key, base_url=service.url, trace_configs=[config])


async def test_a_submission_a_question_and_a_download_have_spans_named_after_their_routes(
    canary_service, exporter, tracer_provider, tmp_path
):
    async with session_with(canary_service, trace_config(tracer_provider)) as session:
        async for outcome in session.generate(["a boat", "a mill"], save_to=tmp_path):
            assert outcome.ok
    names = [span.name for span in exporter.get_finished_spans()]
    assert {"POST /models/{owner}/{name}/predictions", "GET /predictions/{id}", "GET output"} == set(names)
    assert 2 == names.count("POST /models/{owner}/{name}/predictions") == len(canary_service.bills)
    assert 2 == names.count("GET output")
    asked = [request for request in canary_service.requests if "/predictions/" in request.path]
    assert len(asked) == names.count("GET /predictions/{id}")


async def test_a_span_tells_where_and_with_what_success(canary_service, exporter, tracer_provider):
    async with session_with(canary_service, trace_config(tracer_provider)) as session:
        prediction = await session.run("a boat")
    first, *_, last = exporter.get_finished_spans()
    assert "/models/{owner}/{name}/predictions" == first.attributes["url.template"]
    assert 201 == first.attributes["http.status_code"]
    assert last.attributes["http.url"].endswith(f"/predictions/{prediction.id}")


@pytest.mark.parametrize("fault", [None, "401", "500", "drop", "torn", "garbage", "redirect", "429"])
async def test_no_span_shows_the_key(canary_service, exporter, tracer_provider, tmp_path, fault):
    if fault:
        canary_service.fail(fault)
    canary_service.fail("drop", on="get")
    async with session_with(canary_service, trace_config(tracer_provider)) as session:
        with contextlib.suppress(CometfluxError):
            await session.save(await session.run("a boat"), tmp_path)
    shown = [span.to_json() for span in exporter.get_finished_spans()]
    assert len(shown) >= 1
    assert KEY not in "\n".join(shown)
    assert "uthorization" not in "\n".join(shown)


async def test_the_instrumentation_of_a_whole_program_does_not_show_the_key_either(
    canary_service, exporter, tracer_provider, monkeypatch
):
    from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor

    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST", ".*")
    AioHttpClientInstrumentor().instrument(tracer_provider=tracer_provider)
    try:
        async with open_session(api_key=KEY, base_url=canary_service.url) as session:
            await session.run("a boat")
    finally:
        AioHttpClientInstrumentor().uninstrument()
    shown = "\n".join(span.to_json() for span in exporter.get_finished_spans())
    assert "http.request.header.user_agent" in shown, "no header was captured, so nothing is proved"
    assert KEY not in shown
    assert 1 == len(canary_service.bills)


async def test_the_query_of_a_presigned_output_is_in_no_span(exporter, tracer_provider):
    async with Peer(lambda _: http(200, b"x")) as peer:
        transport = AiohttpTransport(KEY, peer.url, trace_configs=[trace_config(tracer_provider)])
        await transport.download(f"{peer.url}/out.png?X-Amz-Signature=presigned")
        await transport.aclose()
    (span,) = exporter.get_finished_spans()
    assert "GET output" == span.name
    assert f"{peer.url}/out.png" == span.attributes["http.url"]
    assert "presigned" not in span.to_json()


async def test_nothing_of_the_trace_is_sent_to_the_service(exporter, tracer_provider):
    """Whom an application calls, and with what baggage, is no business of the service and of its images' host."""
    async with Peer(lambda _: http(200, b"x")) as peer:
        transport = AiohttpTransport(KEY, peer.url, trace_configs=[trace_config(tracer_provider)])
        with trace.get_tracer("test", tracer_provider=tracer_provider).start_as_current_span("caller"):
            await transport.download(f"{peer.url}/out.png")
        await transport.aclose()
    (request,) = peer.requests
    assert {"traceparent", "tracestate", "baggage"}.isdisjoint(request["headers"])


async def test_a_submission_belongs_to_the_span_in_which_it_was_asked_for(canary_service, exporter, tracer_provider):
    tracer = trace.get_tracer("test", tracer_provider=tracer_provider)
    async with session_with(canary_service, trace_config(tracer_provider)) as session:
        with tracer.start_as_current_span("caller") as caller:
            await session.run("a boat")
    (submission,) = [span for span in exporter.get_finished_spans() if span.name.startswith("POST")]
    assert caller.get_span_context().span_id == submission.parent.span_id


async def test_a_lost_answer_is_an_error_in_its_span_and_is_billed_once(canary_service, exporter, tracer_provider):
    canary_service.fail("drop", after=True)
    async with session_with(canary_service, trace_config(tracer_provider)) as session:
        with pytest.raises(CometfluxError):
            await session.run("a boat")
    (span,) = exporter.get_finished_spans()
    assert "ServerDisconnectedError" == span.status.description
    assert 1 == len(canary_service.bills)


async def test_the_durations_are_measured(canary_service):
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    async with session_with(canary_service, trace_config(meter_provider=provider)) as session:
        await session.run("a boat")
    shown = reader.get_metrics_data().to_json()
    provider.shutdown()
    assert "http.client.duration" in shown
    assert KEY not in shown


def test_without_the_extra_one_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.aiohttp_client", None)
    with pytest.raises(ConfigError, match=r'^tracing needs an extra: pip install "cometflux\[otel\]"$'):
        trace_config()


async def test_a_session_of_aiohttp_itself_shows_no_query_with_it(exporter, tracer_provider):
    async with Peer(lambda _: http(200, b"x")) as peer:
        async with aiohttp.ClientSession(trace_configs=[trace_config(tracer_provider)]) as plain:
            await plain.get(f"{peer.url}/out.png?X-Amz-Signature=presigned")
    (span,) = exporter.get_finished_spans()
    assert f"{peer.url}/out.png" == span.attributes["http.url"]
