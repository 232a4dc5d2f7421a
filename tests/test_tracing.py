"""What trace callbacks may do to requests: nothing."""

import asyncio
import contextlib
import logging

import aiohttp
import pytest
from peer import Peer, http

from cometflux.errors import CometfluxError, ConfigError, ConnectError, SessionStoppedError, UnknownSubmissionError
from cometflux.jobs import Job
from cometflux.protocol import Request
from cometflux.testing import LocalService
from cometflux.testing.faults import plan
from cometflux.tracing import Shield
from cometflux.transport import AiohttpTransport
from cometflux.wiring import open_session

KEY = "sk-canary-4242424242"
POST = Request("POST", "/models/a/b/predictions", b'{"input":{"prompt":"x"}}')
SIGNALS = [name for name in dir(aiohttp.TraceConfig) if name.startswith("on_")]
# Those that come while a session submits, asks and downloads with one connection to an address without a name.
MEANWHILE = [
    *("on_request_start", "on_connection_create_start", "on_connection_create_end", "on_request_headers_sent"),
    *("on_request_chunk_sent", "on_request_end"),
]


def tracing(callback, signals=SIGNALS):
    config = aiohttp.TraceConfig()
    for name in signals:
        getattr(config, name).append(callback)
    return config


@pytest.fixture
async def canary_service():
    async with LocalService(key=KEY, pixels=4096, latency=1.0) as service:
        yield service


def session_with(service, *configs, **options):
    return open_session(api_key=service.key, base_url=service.url, trace_configs=configs, **options)


async def buy(service, folder, *configs):
    """Buy and save one picture; return how the job ended."""
    async with session_with(service, *configs) as session:
        return [outcome async for outcome in session.generate(["a boat"], save_to=folder)]


# ── what callbacks do ────────────────────────────────────────────────────────────────────────────────────────────────


async def raises(session, context, params):
    raise RuntimeError("a tracer that is broken")


async def hangs(session, context, params):
    await asyncio.Event().wait()


async def is_slow(session, context, params):
    await asyncio.sleep(300)


async def hangs_and_will_not_end(session, context, params):
    try:
        await asyncio.Event().wait()
    except BaseException:  # noqa: BLE001 - that is the mischief
        await asyncio.Event().wait()


async def cancels_itself(session, context, params):
    raise asyncio.CancelledError


def is_no_coroutine(session, context, params):
    return None


async def has_a_closed_group(session, context, params):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))


async def takes_the_body(session, context, params):
    await params.response.read()


async def closes_the_answer(session, context, params):
    params.response.close()


async def changes_the_request(session, context, params):
    params.headers.clear()
    params.headers["Content-Length"] = "3"


async def closes_the_session(session, context, params):
    await session.close()


MISCHIEF = [
    *(raises, hangs, is_slow, hangs_and_will_not_end, cancels_itself, is_no_coroutine, has_a_closed_group),
    *(takes_the_body, closes_the_answer, changes_the_request, closes_the_session),
]


@pytest.mark.parametrize("callback", MISCHIEF, ids=lambda callback: callback.__name__)
async def test_whatever_a_callback_does_a_picture_is_bought_once_and_saved(canary_service, tmp_path, callback):
    (outcome,) = await buy(canary_service, tmp_path, tracing(callback))
    assert outcome.ok, outcome.error
    assert 1 == len(outcome.files)
    assert 1 == len(canary_service.bills)
    assert asyncio.get_running_loop().time() < 60, "the session waited for a callback"


@pytest.mark.parametrize("signal", MEANWHILE)
@pytest.mark.parametrize("callback", [raises, hangs], ids=lambda callback: callback.__name__)
async def test_at_whichever_point_of_a_submission_a_callback_breaks_its_id_is_kept(
    canary_service, tmp_path, callback, signal
):
    (outcome,) = await buy(canary_service, tmp_path, tracing(callback, [signal]))
    assert outcome.ok
    assert [outcome.prediction.id] == [bill.id for bill in canary_service.bills]


async def test_every_point_is_met_by_the_submission_alone(canary_service):
    met = []

    async def note(session, context, params):
        met.append(type(params).__name__)

    async with session_with(canary_service, tracing(note)) as session:
        await session.client.create(Job.of("a boat"))
    short = [name.replace("Trace", "").replace("Params", "") for name in met]
    assert [name.removeprefix("on_").replace("_", "") for name in MEANWHILE] == [name.lower() for name in short]


async def test_a_broken_callback_is_logged_once_and_the_others_are_still_called(canary_service, tmp_path, caplog):
    seen = []

    async def note(session, context, params):
        seen.append(params)

    broken = tracing(raises)
    broken.on_request_end.append(note)
    await buy(canary_service, tmp_path, broken, tracing(note, ["on_request_end"]))
    complaints = [record.getMessage() for record in caplog.records if record.name == "cometflux"]
    assert ["a trace callback raised; no request is affected, and nothing further is logged of it"] == complaints
    # The submission, at least one question, and the picture; each is told to both.
    assert len(seen) >= 6
    assert {201, 200} == {each.response.status for each in seen}


async def test_one_that_waits_is_told_what_it_may_do_instead(canary_service, tmp_path, caplog):
    await buy(canary_service, tmp_path, tracing(is_slow))
    (complaint,) = [record.getMessage() for record in caplog.records if record.name == "cometflux"]
    assert "waits for something and was broken off; it may start a task that does" in complaint


async def test_what_a_callback_starts_as_a_task_goes_on(canary_service, tmp_path):
    tasks = []

    async def start(session, context, params):
        tasks.append(asyncio.create_task(asyncio.sleep(5, "done")))

    await buy(canary_service, tmp_path, tracing(start, ["on_request_end"]))
    assert {"done"} == {await task for task in tasks}


async def test_a_context_that_cannot_be_made_stops_no_request(canary_service, tmp_path, caplog):
    def broken(**_):
        raise RuntimeError

    called = []

    async def note(session, context, params):
        called.append(context)

    config = aiohttp.TraceConfig(trace_config_ctx_factory=broken)
    config.on_request_start.append(note)
    (outcome,) = await buy(canary_service, tmp_path, config)
    assert outcome.ok
    assert [] == called
    assert 1 == len(caplog.records)
    assert "context" in caplog.records[0].getMessage()


async def test_a_config_may_do_without_contexts(canary_service, tmp_path):
    called = []

    async def note(session, context, params):
        called.append(context)

    config = aiohttp.TraceConfig(trace_config_ctx_factory=lambda **_: None)
    config.on_request_start.append(note)
    await buy(canary_service, tmp_path, config)
    assert {None} == set(called)


async def test_a_context_is_one_for_each_request(canary_service, tmp_path):
    contexts = []

    async def begin(session, context, params):
        context.url = params.url

    async def end(session, context, params):
        assert context.url == params.url
        contexts.append(context)

    config = tracing(begin, ["on_request_start"])
    config.on_request_end.append(end)
    async with session_with(canary_service, config) as session:
        await asyncio.gather(*(session.run(f"boat {number}") for number in range(8)))
    assert len(contexts) >= 16
    assert len({id(context) for context in contexts}) == len(contexts)


# ── what becomes of bad news ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("callback", [None, raises, hangs], ids=["no callback", "raises", "hangs"])
async def test_a_lost_answer_is_unknown_and_billed_once_with_callbacks_as_without(canary_service, callback):
    canary_service.fail("drop", after=True)
    async with session_with(canary_service, *([tracing(callback)] if callback else [])) as session:
        with pytest.raises(UnknownSubmissionError) as caught:
            await session.run("a boat")
    assert "ServerDisconnectedError" == caught.value.fault
    assert 1 == len(canary_service.bills)


FAULTS = [
    *("401", "402", "404", "422", "429", "500", "502", "504", "524", "drop", "reset", "torn-head", "torn"),
    *("torn-early", "stalled", "hang", "garbage", "html", "list", "no-id", "redirect", "failed", "wrapped"),
]


def can_be_after(fault):
    try:
        return plan(fault, times=1, after=True, rate=None, on=None) is not None
    except ValueError:
        return False


async def ending(fault, after, *configs):
    """How a job ends that meets a fault, and what it costs."""
    async with LocalService(key=KEY, pixels=4096, latency=1.0) as service:
        service.fail(fault, after=after)
        async with session_with(service, *configs) as session:
            try:
                outcomes = [outcome async for outcome in session.generate(["a boat"])]
            except SessionStoppedError:
                outcomes = []
            return (
                len(service.bills),
                dict(session.accounting),
                [(each.kind, type(each.error)) for each in outcomes],
            )


@pytest.mark.hard
@pytest.mark.parametrize(
    ("fault", "after"),
    [(fault, False) for fault in FAULTS] + [(fault, True) for fault in FAULTS if can_be_after(fault)],
)
async def test_every_fault_ends_with_callbacks_as_it_does_without(fault, after):
    expected = await ending(fault, after)
    for callback in MISCHIEF:
        assert expected == await ending(fault, after, tracing(callback)), callback.__name__


async def test_a_callback_that_hangs_before_anything_left_is_no_proof_that_it_did():
    transport = AiohttpTransport(KEY, "http://127.0.0.1:1/v1", trace_configs=[tracing(hangs)])
    with pytest.raises(ConnectError):
        await transport.submit(POST)
    await transport.aclose()


# ── what callbacks see ───────────────────────────────────────────────────────────────────────────────────────────────


def everything(value, depth=4):
    """Every text that can be reached from a value by its public and private attributes."""
    yield from (repr(value), str(value))
    if depth and not isinstance(value, str | bytes | int | float | type | None):
        names = [name for name in dir(value) if not name.startswith("__")]
        for name in names:
            found = getattr(value, name, None)
            if not callable(found) and not isinstance(found, asyncio.AbstractEventLoop):
                yield from everything(found, depth - 1)
    if isinstance(value, dict | aiohttp.typedefs.CIMultiDict):
        yield from map(repr, value.items())


@pytest.mark.parametrize("fault", [None, "401", "drop", "torn", "garbage", "html", "redirect"])
async def test_no_callback_sees_the_key(canary_service, tmp_path, fault):
    seen = []

    async def note(session, context, params):
        seen.extend(everything(params))
        seen.extend(everything(context))

    if fault:
        canary_service.fail(fault)
    canary_service.fail("drop", on="get")
    async with session_with(canary_service, tracing(note)) as session:
        with contextlib.suppress(CometfluxError):
            await session.save(await session.run("a boat"), tmp_path)
    assert len(seen) > 20
    assert KEY not in "\n".join(seen)


async def test_a_proxy_that_repeats_the_request_does_not_show_the_key_to_a_callback():
    seen = []

    async def note(session, context, params):
        seen.extend(params.response.headers.items())

    async with Peer(lambda _: http(407, b"", f"X-Echo: Bearer {KEY}")) as peer:
        transport = AiohttpTransport(KEY, peer.url, trace_configs=[tracing(note, ["on_request_end"])])
        await transport.submit(POST)
        await transport.aclose()
    assert ("X-Echo", "Bearer ***") in seen


async def test_the_query_of_an_output_is_not_shown():
    seen = []

    async def note(session, context, params):
        seen.append(str(params.url))

    async with Peer(lambda _: http(200, b"x")) as peer:
        config = tracing(note, ["on_request_start", "on_request_end"])
        transport = AiohttpTransport(KEY, peer.url, trace_configs=[config])
        assert b"x" == await transport.download(f"{peer.url}/a%2Fb.png?X-Signature=secret#top")
        assert "?X-Signature=secret" in peer.requests[0]["path"]
        await transport.aclose()
    assert [f"{peer.url}/a%2Fb.png"] * 2 == seen


async def test_an_error_is_told_by_its_name_and_in_words():
    seen = []

    async def note(session, context, params):
        seen.append(params.exception)

    transport = AiohttpTransport(KEY, "http://127.0.0.1:1/v1", trace_configs=[tracing(note, ["on_request_exception"])])
    with pytest.raises(ConnectError):
        await transport.submit(POST)
    await transport.aclose()
    (fault,) = seen
    assert "ClientConnectorError" == type(fault).__name__
    assert str(fault).startswith("cannot connect to 127.0.0.1:1 (")
    assert fault.__cause__ is None


# ── who hung them on ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_an_instrumentation_of_the_whole_program_hangs_on_is_kept_off_too(
    canary_service, tmp_path, monkeypatch
):
    original = aiohttp.ClientSession.__init__

    def instrumented(self, *args, **options):
        options["trace_configs"] = [*(options.get("trace_configs") or ()), tracing(takes_the_body), tracing(hangs)]
        original(self, *args, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
    (outcome,) = await buy(canary_service, tmp_path)
    assert outcome.ok
    assert 1 == len(canary_service.bills)


async def test_without_callbacks_aiohttp_has_none(canary_service):
    async with session_with(canary_service) as session:
        await session.run("a boat")
        opened = [session._transport._submitter, session._transport._asker]
        assert [[], []] == [http.trace_configs for http in opened]


async def test_every_signal_of_aiohttp_is_passed_on():
    config = tracing(raises)
    shielded = Shield(config, str, str).trace_config()
    assert [1] * len(SIGNALS) == [len(getattr(shielded, name)) for name in SIGNALS]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(aiohttp.TraceConfig(), id="one that is in no list"),
        pytest.param([object()], id="something else in the list"),
        pytest.param("otel", id="a string"),
        pytest.param(None, id="None"),
    ],
)
def test_what_is_no_list_of_trace_configs_is_refused(given):
    with pytest.raises(ConfigError, match=r"trace_configs=.*allowed is a list of aiohttp.TraceConfig"):
        open_session(api_key=KEY, trace_configs=given)


async def test_a_config_may_serve_several_sessions(canary_service, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    config = tracing(raises, ["on_request_start"])
    for number in range(2):
        (outcome,) = await buy(canary_service, tmp_path / str(number), config)
        assert outcome.ok
