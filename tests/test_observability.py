"""The recipes of docs/guides/observability.md, run as they stand there."""

import ast
import asyncio
import inspect
import logging
import re
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry

from cometflux import Job
from cometflux.errors import PatienceError
from cometflux.session.open import open_session
from cometflux.testing import LocalService

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "observability.md"
KEY = "sk-canary-4242424242"
TOP_LEVEL_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


async def run(code, names):
    """Run a block as a script that may await."""
    found = eval(compile(code, PAGE.name, "exec", flags=TOP_LEVEL_AWAIT), names)
    if inspect.iscoroutine(found):
        await found


@pytest.fixture
async def canary_service():
    async with LocalService(key=KEY, pixels=4096, latency=1.0) as service:
        yield service


@pytest.fixture
async def shown(canary_service, tmp_path, monkeypatch):
    """The names that the page leaves behind when its blocks have run, one after the other."""
    monkeypatch.setenv("COMETAPI_KEY", KEY)
    monkeypatch.setenv("COMETFLUX_BASE_URL", canary_service.url)
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        await run(code, names)
    return names


async def make_trouble(service, observer, folder, **options):
    """Let two batches with the same keys run side by side, of whose ten jobs some fail in every way there is."""
    service.fail("failed", times=2)
    service.fail("422")
    service.fail("drop", after=True)
    service.fail("output-404")
    service.fail("drop", on="get")
    async with open_session(api_key=KEY, base_url=service.url, on_event=observer, **options) as session:

        async def take(word):
            jobs = [Job.of(f"{word} {number}", key=f"key {number}") for number in range(5)]
            return [outcome async for outcome in session.generate(jobs, save_to=folder / word)]

        boats, mills = await asyncio.gather(take("boat"), take("mill"))
        return boats + mills


async def test_every_block_runs_and_buys_what_it_says(shown, canary_service):
    assert 5 == len(canary_service.bills)


async def test_the_log_tells_key_id_and_kind_of_each_job(shown, canary_service, tmp_path, caplog):
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    outcomes = await make_trouble(canary_service, shown["log_event"], tmp_path)
    ended = [record for record in caplog.records if getattr(record, "event", None) == "Ended"]
    expected = sorted((o.key, o.kind.value, o.prediction.id if o.prediction else "") for o in outcomes)
    assert expected == sorted((r.key, r.kind, getattr(r, "prediction_id", "")) for r in ended)
    assert {True: logging.INFO, False: logging.WARNING} == {not hasattr(r, "error"): r.levelno for r in ended}
    told = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert KEY not in told
    assert 10 <= told.count("Polled")


async def test_a_line_break_in_a_key_makes_no_line_of_its_own(shown, canary_service, caplog):
    caplog.clear()
    caplog.set_level(logging.INFO)
    async with open_session(api_key=KEY, base_url=canary_service.url, on_event=shown["log_event"]) as session:
        await session.run(Job.of("a boat", key="a\nERROR forged"))
    assert [] == [record for record in caplog.records if "\n" in record.getMessage()]
    assert any("forged" in record.getMessage() for record in caplog.records)


async def test_the_metrics_add_up(shown, canary_service, tmp_path):
    registry = CollectorRegistry()
    outcomes = await make_trouble(canary_service, shown["Metrics"](registry), tmp_path)
    kinds = [outcome.kind.value for outcome in outcomes]
    value = registry.get_sample_value
    assert {"succeeded", "failed", "rejected", "unknown"} == set(kinds)
    assert [kinds.count(kind) for kind in set(kinds)] == [
        value("pictures_ended_total", {"kind": kind}) for kind in set(kinds)
    ]
    assert 0 == value("pictures_pending")
    assert sum(outcome.prediction is not None for outcome in outcomes) == value("pictures_seconds_count")


async def test_what_is_pending_shows_while_it_is(shown, canary_service):
    registry = CollectorRegistry()
    observer = shown["Metrics"](registry)
    async with open_session(api_key=KEY, base_url=canary_service.url, on_event=observer) as session:
        runs = [asyncio.create_task(session.run(f"boat {number}")) for number in range(4)]
        await asyncio.sleep(0.3)
        assert 4 == registry.get_sample_value("pictures_pending") == len(session.pending)
        await asyncio.gather(*runs)
    assert 0 == registry.get_sample_value("pictures_pending")


async def test_what_outlasts_somebodys_patience_is_no_longer_counted_as_pending(shown, canary_service):
    registry = CollectorRegistry()
    observer = shown["Metrics"](registry)
    async with open_session(api_key=KEY, base_url=canary_service.url, on_event=observer) as session:
        with pytest.raises(PatienceError):
            await session.run("a boat", patience=0.2)
        assert 0 == registry.get_sample_value("pictures_pending")


async def test_each_job_has_one_span_that_ends_with_the_observer_shown(shown, canary_service, tmp_path):
    exporter = InMemorySpanExporter()
    shown["provider"].add_span_processor(SimpleSpanProcessor(exporter))
    outcomes = await make_trouble(canary_service, shown["observe_both"], tmp_path)
    finished = exporter.get_finished_spans()
    jobs = [span for span in finished if "cometflux.kind" in span.attributes]
    assert sorted((o.key, o.kind.value, o.prediction.id if o.prediction else "") for o in outcomes) == sorted(
        (s.attributes["cometflux.key"], s.attributes["cometflux.kind"], s.attributes.get("gen_ai.response.id", ""))
        for s in jobs
    )
    unwell = sum(not outcome.ok for outcome in outcomes)
    assert unwell == sum(span.status.status_code is StatusCode.ERROR for span in jobs) >= 4
    assert KEY not in "".join(span.to_json() for span in finished)


async def test_every_attribute_that_is_listed_is_there_and_no_other(shown, canary_service, tmp_path):
    exporter = InMemorySpanExporter()
    shown["provider"].add_span_processor(SimpleSpanProcessor(exporter))
    await make_trouble(canary_service, shown["spans"], tmp_path)
    listed = set(re.findall(r"`((?:gen_ai|cometflux|http|url|error)\.[a-z_.]+)`", PAGE.read_text(encoding="utf-8")))
    assert listed - {"cometflux.events"} == {name for span in exporter.get_finished_spans() for name in span.attributes}
