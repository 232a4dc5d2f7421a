"""The transport's response or error for everything that can happen to a request, with a real socket server."""

import asyncio
import base64
import gzip
import html
import json
import socket
from urllib.parse import quote

import aiohttp
import pytest
from socket_server import Peer, end, http

from cometflux.errors import (
    AnswerError,
    CometfluxError,
    ConnectError,
    Money,
    OutputError,
    RejectedError,
    UnknownSubmissionError,
)
from cometflux.jobs import Job
from cometflux.protocol.requests import Request
from cometflux.protocol.responses import read_created
from cometflux.transport.aiohttp import LARGEST_RESPONSE, AiohttpTransport
from cometflux.transport.client import Client
from cometflux.transport.deadlines import Deadlines
from cometflux.transport.exchange import Exchange, body_of
from cometflux.transport.look_ups import LookUps
from cometflux.transport.timeouts import Timeouts

KEY = "sk-canary-0123456789"
POST = Request("POST", "/models/a/b/predictions", b'{"input":{"prompt":"x"}}')
GET = Request("GET", "/predictions/abc")


@pytest.fixture
async def transports():
    opened = []

    def make(peer, **options):
        transport = AiohttpTransport(KEY, getattr(peer, "url", peer), **options)
        opened.append(transport)
        return transport

    yield make
    for transport in opened:
        await transport.aclose()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# ── submitting ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_submission_brings_back_status_headers_and_body(transports):
    async with Peer(lambda _: http(201, b'{"id":"a"}', "X-Request-Id: r1")) as peer:
        response = await transports(peer).submit(POST)
    assert (201, b'{"id":"a"}', "r1", None) == (
        response.status,
        response.body,
        response.headers["x-request-id"],
        response.cut,
    )
    assert POST.body == peer.requests[0]["body"]
    assert f"Bearer {KEY}" == peer.requests[0]["headers"]["authorization"]


async def test_every_submission_has_a_connection_of_its_own(transports):
    async with Peer(lambda _: http()) as peer:
        transport = transports(peer)
        for _ in range(3):
            await transport.submit(POST)
    assert 3 == peer.connections


async def test_polls_share_a_connection(transports):
    async with Peer(lambda _: http()) as peer:
        transport = transports(peer)
        for _ in range(3):
            await transport.send(GET)
    assert 1 == peer.connections


async def test_a_refused_connection_proves_that_nothing_was_sent(transports):
    transport = transports(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ConnectError, match=r"cannot connect to 127\.0\.0\.1") as caught:
        await transport.submit(POST)
    assert Money.NOT_SENT is caught.value.money


async def test_a_host_without_an_address_proves_that_nothing_was_sent(transports):
    with pytest.raises(ConnectError, match="cannot be resolved"):
        await transports("http://nowhere.invalid").submit(POST)


async def test_a_connection_that_does_not_come_about_in_time_proves_that_nothing_was_sent(transports):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        crowd = [socket.socket() for _ in range(3)]
        for sock in crowd:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        with pytest.raises(ConnectError, match="no connection within 10 s"):
            await transports(url).submit(POST)
        for sock in crowd:
            sock.close()


async def test_a_handshake_that_fails_proves_that_nothing_was_sent(transports):
    async with Peer(lambda _: http()) as peer:
        with pytest.raises(ConnectError) as caught:
            await transports(f"https://127.0.0.1:{peer.port}").submit(POST)
    assert Money.NOT_SENT is caught.value.money
    assert [] == peer.requests


async def _reset(_, writer):
    writer.transport.abort()


async def _stall(_, writer):
    await asyncio.sleep(1e6)


async def _half_a_head(_, writer):
    writer.write(b"HTTP/1.1 201 Crea")
    await writer.drain()


async def _reset_by_peer(_, writer):
    await end(writer, "reset")


async def _tear(_, writer):
    writer.write(http(201, b'{"id":', "X-Request-Id: r4", length=100))


async def _tear_and_stall(_, writer):
    await _tear(_, writer)
    await end(writer, "stall")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: None, id="closed without an answer"),
        pytest.param(_reset, id="reset"),
        pytest.param(_stall, id="an answer that never comes"),
        pytest.param(_half_a_head, id="half a status line"),
        pytest.param(lambda _: b"SSH-2.0-OpenSSH_9.2\r\n", id="not HTTP"),
        pytest.param(lambda _: b"HTTP/1.1 abc\r\n\r\n", id="a broken status line"),
        pytest.param(lambda _: http(201, b"", "Content-Length: 5"), id="two lengths"),
        pytest.param(lambda _: http(200, b"{}", "X: " + "y" * 200_000), id="an endless header"),
    ],
)
async def test_a_submission_that_left_and_was_not_answered_is_unknown_and_not_repeated(transports, answer):
    async with Peer(answer) as peer:
        with pytest.raises(UnknownSubmissionError) as caught:
            await transports(peer).submit(POST)
    assert Money.UNKNOWN is caught.value.money
    assert 1 == len(peer.requests)
    assert caught.value.evidence


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        pytest.param(lambda _: None, "ServerDisconnectedError", id="closed without an answer"),
        pytest.param(_reset_by_peer, "ClientOSError", id="reset"),
        pytest.param(_stall, "TimeoutError", id="an answer that never comes"),
        pytest.param(lambda _: b"SSH-2.0-OpenSSH_9.2\r\n", "ClientResponseError", id="not HTTP"),
    ],
)
async def test_without_an_answer_the_evidence_names_what_broke(transports, answer, fault):
    async with Peer(answer) as peer:
        with pytest.raises(UnknownSubmissionError) as caught:
            await transports(peer).submit(POST)
    assert (None, fault, None) == (caught.value.status, caught.value.fault, caught.value.request_id)


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        pytest.param(lambda _: http(502, b"<html>", "X-Request-Id: r1"), (502, None, "r1"), id="a proxy's page"),
        pytest.param(
            lambda _: http(500, b'{"error":{"message":"no (request id: r2)"}}'), (500, None, "r2"), id="an error"
        ),
        pytest.param(lambda _: http(201, b'{"id":"../x"}', "X-Request-Id: r3"), (201, None, "r3"), id="an odd id"),
        pytest.param(_tear, (201, "ClientPayloadError", "r4"), id="a torn body"),
        pytest.param(_tear_and_stall, (201, "TimeoutError", "r4"), id="a body that stalls"),
    ],
)
async def test_an_answer_that_proves_nothing_leaves_its_status_its_fault_and_its_request_id(transports, answer, known):
    async with Peer(answer) as peer:
        with pytest.raises(UnknownSubmissionError) as caught:
            read_created(await transports(peer).submit(POST), 0)
    assert known == (caught.value.status, caught.value.fault, caught.value.request_id)


async def test_the_answer_may_take_two_minutes_from_sending_and_no_longer(transports):
    async def late(_, writer):
        await asyncio.sleep(119)
        writer.write(http(201))

    async with Peer(late) as peer:
        assert 201 == (await transports(peer).submit(POST)).status
    start = asyncio.get_running_loop().time()
    async with Peer(_stall) as peer:
        with pytest.raises(UnknownSubmissionError, match="nothing within 120 s"):
            await transports(peer).submit(POST)
    assert 120 == pytest.approx(asyncio.get_running_loop().time() - start, abs=0.01)


async def test_what_came_of_a_torn_body_is_kept(transports):
    async def torn(_, writer):
        writer.write(http(201, b'{"id":"abc",', length=100))
        await writer.drain()

    async with Peer(torn) as peer:
        response = await transports(peer).submit(POST)
    assert (201, b'{"id":"abc",', "the body ended before it was complete") == (
        response.status,
        response.body,
        response.cut,
    )


async def test_what_came_of_a_stalled_body_is_kept(transports):
    async def stalled(_, writer):
        writer.write(http(201, b'{"id":', length=100))
        await asyncio.sleep(1e6)

    async with Peer(stalled) as peer:
        response = await transports(peer).submit(POST)
    assert (b'{"id":', "nothing within 120 s") == (response.body, response.cut)


async def test_an_endless_answer_is_cut_at_its_limit(transports):
    async def endless(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 1_000_000)
            await writer.drain()

    async with Peer(endless) as peer:
        response = await transports(peer).send(GET)
    assert "larger than 8388608 bytes" in response.cut
    assert len(response.body) < 16 * 1024 * 1024


async def test_an_endless_answer_is_read_to_its_limit_and_one_piece_more(transports):
    async def endless(_, writer):
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 1000000000000\r\n\r\n" + b'{"id":"abc","logs":"')
        while True:
            writer.write(b" " * 100_000)
            await writer.drain()

    most = LARGEST_RESPONSE + 1000
    async with Peer(endless) as peer:
        response = await transports(peer).submit(Request("POST", "/x", b"{}", echo=1000))
    assert most < len(response.body) < most + 1024 * 1024
    assert (f"it is larger than {most} bytes", None) == (response.cut, response.fault)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["submit", "send"])
async def test_outputs_that_are_data_uris_are_bounded_by_the_largest_output(transports, way):
    """base64 makes four bytes of three."""
    fits, room = b'{"output":"data:image/png;base64,', LARGEST_RESPONSE + 4 * 1000
    bodies = {f"/{extra}": fits.ljust(room + extra, b"A") for extra in (-4, 1000)}
    async with Peer(lambda request: http(200, bodies[request["path"]])) as peer:
        call = getattr(transports(peer, largest_output=3000), way)
        whole, larger = [await call(Request("POST", path, b"{}")) for path in bodies]
    assert (bodies["/-4"], None) == (whole.body, whole.cut)
    assert "larger than" in larger.cut


async def test_an_answer_as_large_as_can_be_is_whole(transports):
    body = b'{"id":"abc"}'.ljust(LARGEST_RESPONSE)
    async with Peer(lambda _: http(201, body)) as peer:
        response = await transports(peer).submit(POST)
    assert (body, None) == (response.body, response.cut)


@pytest.mark.parametrize(
    ("length", "body", "cut"),
    [
        (100, b'{"id":"abc"}', "the body ended before it was complete"),
        (12, b'{"id":"abc"}', None),
        (5, b'{"id"', None),
        (0, b"", None),
    ],
    ids=["more than comes", "what comes", "less than comes", "none"],
)
async def test_an_answer_is_as_long_as_it_says_and_as_comes(transports, length, body, cut):
    async def answer(_, writer):
        writer.write(http(201, b'{"id":"abc"}', length=length))
        await end(writer, "close")

    async with Peer(answer) as peer:
        response = await transports(peer).submit(POST)
    assert (body, cut) == (response.body, response.cut)


@pytest.mark.parametrize("way", ["submit", "send"])
async def test_an_answer_that_comes_compressed_is_read(transports, way):
    body = b'{"id":"abc","status":"starting"}'
    async with Peer(lambda _: http(201, gzip.compress(body), "Content-Encoding: gzip")) as peer:
        response = await getattr(transports(peer), way)(POST if way == "submit" else GET)
    assert (body, None) == (response.body, response.cut)
    assert "identity" == peer.requests[0]["headers"]["accept-encoding"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["submit", "send"])
async def test_a_compressed_bomb_is_cut_at_the_limit_and_shows_its_id(transports, way):
    bomb = gzip.compress(b'{"id":"abc","logs":"' + b" " * 50_000_000 + b'"}')
    async with Peer(lambda _: http(201, bomb, "Content-Encoding: gzip")) as peer:
        response = await getattr(transports(peer), way)(POST if way == "submit" else GET)
    assert LARGEST_RESPONSE == len(response.body)
    assert f"it is larger than {LARGEST_RESPONSE} bytes" == response.cut
    with pytest.raises(UnknownSubmissionError) as caught:
        read_created(response, 0)
    assert "abc" == caught.value.prediction_id


async def test_the_key_in_a_compressed_answer_is_shown_no_further(transports):
    body = gzip.compress(b'{"detail":"bad key ' + KEY.encode() + b'"}')
    async with Peer(lambda _: http(400, body, "Content-Encoding: gzip")) as peer:
        response = await transports(peer).submit(POST)
    assert b'{"detail":"bad key ***"}' == response.body


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_returned_and_not_followed(transports, status):
    async with Peer(lambda _: http(status, b"", "Location: /elsewhere")) as peer:
        transport = transports(peer)
        assert status == (await transport.submit(POST)).status
        assert status == (await transport.send(GET)).status
    assert {"/predictions/abc", "/models/a/b/predictions"} == {r["path"] for r in peer.requests}


async def test_no_cookie_is_sent_back(transports):
    async with Peer(lambda _: http(200, b"{}", "Set-Cookie: a=b; Path=/")) as peer:
        # By name: cookies of bare addresses are dropped anyway.
        transport = transports(f"http://localhost:{peer.port}")
        await transport.send(GET)
        await transport.send(GET)
        await transport.submit(POST)
    assert not any("cookie" in request["headers"] for request in peer.requests)


async def test_the_environment_adds_no_proxy_and_no_credentials(transports, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    async with Peer(lambda _: http(200, b"x")) as peer:
        await transports(peer).download(f"{peer.url}/out.webp")
    assert "authorization" not in peer.requests[0]["headers"]


async def test_an_instrumentation_of_the_whole_program_is_kept_away_from_the_requests(transports, monkeypatch):
    """aiohttp waits for trace callbacks, also between a paid response and its id, and shows them the key."""
    called = []

    async def hang(session, context, params):
        called.append(params)
        await asyncio.Event().wait()

    original = aiohttp.ClientSession.__init__

    def instrumented(self, *args, **options):
        config = aiohttp.TraceConfig()
        config.on_request_start.append(hang)
        config.on_request_end.append(hang)
        original(self, *args, trace_configs=[config], **options)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
    async with Peer(lambda _: http(201, b"{}")) as peer:
        transport = transports(peer)
        assert [201, 201] == [(await transport.submit(POST)).status, (await transport.send(GET)).status]
    assert [] == called


async def test_a_proxy_that_refuses_proves_that_nothing_was_sent_and_does_not_see_the_key(transports):
    async with Peer(lambda _: http(407, b"no")) as proxy:
        transport = transports("https://api.example.com/replicate/v1", proxy=proxy.url)
        with pytest.raises(ConnectError, match="the proxy rejected the request with HTTP 407") as caught:
            await transport.submit(POST)
        with pytest.raises(CometfluxError):
            await transport.send(GET)
    assert Money.NOT_SENT is caught.value.money
    assert {"CONNECT"} == {request["method"] for request in proxy.requests}
    assert KEY not in repr(proxy.requests)


@pytest.mark.parametrize("url", ["http://a..b/replicate/v1", f"http://{'x' * 64}.example/replicate/v1"])
async def test_a_host_that_nobody_can_look_up_proves_that_nothing_was_sent(transports, url):
    with pytest.raises(ConnectError):
        await transports(url).submit(POST)


async def test_a_large_body_arrives_whole(transports):
    body = b'{"input":{"image":"' + b"x" * 5_000_000 + b'"}}'
    async with Peer(lambda _: http(201)) as peer:
        await transports(peer).submit(Request("POST", "/models/a/b/predictions", body))
    assert body == peer.requests[0]["body"]
    assert "application/json" == peer.requests[0]["headers"]["content-type"]


async def test_a_transport_that_is_closed_says_that_nothing_was_sent(transports):
    async with Peer(lambda _: http(201)) as peer:
        transport = transports(peer)
        await transport.submit(POST)
        await transport.aclose()
        with pytest.raises(ConnectError):
            await transport.submit(POST)


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_poll_times_out_after_twenty_seconds(transports):
    start = asyncio.get_running_loop().time()
    async with Peer(_stall) as peer:
        with pytest.raises(AnswerError, match="nothing within 20 s"):
            await transports(peer).send(GET)
    assert 20 == pytest.approx(asyncio.get_running_loop().time() - start, abs=0.01)


async def test_no_poll_queues_for_a_connection_while_its_timeout_runs(transports):
    async def slow(_, writer):
        await asyncio.sleep(15)
        writer.write(http())

    async with Peer(slow) as peer:
        transport = transports(peer)
        await asyncio.gather(*(transport.send(GET) for _ in range(150)))
    assert 15 == pytest.approx(asyncio.get_running_loop().time(), abs=0.01)


async def test_times_can_be_set(transports):
    async with Peer(_stall) as peer:
        transport = transports(peer, times=Timeouts(poll=2, answer=3))
        with pytest.raises(AnswerError, match="within 2 s"):
            await transport.send(GET)
        with pytest.raises(UnknownSubmissionError, match="within 3 s"):
            await transport.submit(POST)


async def test_a_poll_without_a_connection_reports_it(transports):
    with pytest.raises(ConnectError) as caught:
        await transports(f"http://127.0.0.1:{free_port()}").send(GET)
    assert Money.ACCEPTED is caught.value.money


# ── downloading ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_download_knows_no_key(transports):
    async with Peer(lambda _: http(200, b"image")) as peer:
        assert b"image" == await transports(peer).download(f"{peer.url}/o/out-0.webp?X-Sig=a%2Fb+c")
    assert "authorization" not in peer.requests[0]["headers"]
    assert KEY not in repr(peer.requests)
    assert "/o/out-0.webp?X-Sig=a%2Fb+c" == peer.requests[0]["path"], "a presigned URL must not be rewritten"


@pytest.mark.parametrize("way", ["given", "a hop"])
async def test_a_blank_in_the_url_of_an_output_is_escaped(transports, way):
    def answer(request):
        return http(302, b"", "Location: /o/out 0.webp?X-Sig=a%2Fb") if request["path"] == "/a" else http(200, b"image")

    async with Peer(answer) as peer:
        path = "/a" if way == "a hop" else "/o/out 0.webp?X-Sig=a%2Fb"
        assert b"image" == await transports(peer).download(f"{peer.url}{path}")
    assert "/o/out%200.webp?X-Sig=a%2Fb" == peer.requests[-1]["path"]


async def test_a_data_uri_is_decoded(transports):
    transport = transports("http://127.0.0.1:1")
    assert b"hello" == await transport.download("data:image/png;base64,aGVsbG8=")
    with pytest.raises(OutputError, match="cannot be read"):
        await transport.download("data:image/png;base64,%%%")


@pytest.mark.parametrize(
    "url",
    [
        "http://replicate.delivery/x.webp",
        "ftp://replicate.delivery/x.webp",
        "file:///etc/passwd",
        "//replicate.delivery/x",
        "https://",
        "",
        "x.webp",
    ],
)
async def test_only_https_is_downloaded(transports, url):
    with pytest.raises(OutputError, match="only https URLs"):
        await transports("https://api.cometapi.com/replicate/v1").download(url)


@pytest.mark.parametrize("url", ["https://[x/y.webp", "https://[::1/y.webp", "https://a]b/"])
async def test_a_text_that_is_not_a_url_is_not_downloaded(transports, url):
    with pytest.raises(OutputError, match="which is not a URL"):
        await transports("https://api.cometapi.com/replicate/v1").download(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_private_addresses_are_refused_when_connecting(transports, host):
    with pytest.raises(OutputError, match="not a public address"):
        await transports("https://api.cometapi.com/replicate/v1").download(f"https://{host}/x.webp")


async def test_a_name_that_leads_to_this_machine_is_refused(transports):
    with pytest.raises(OutputError, match="not a public address"):
        await transports("https://api.cometapi.com/replicate/v1").download("https://localhost/x.webp")


async def test_three_hops_are_followed_and_no_more(transports):
    def hop(request):
        number = int(request["path"].rpartition("/")[2])
        return http(200, b"there") if number == 0 else http(302, b"", f"Location: /hop/{number - 1}")

    async with Peer(hop) as peer:
        transport = transports(peer)
        assert b"there" == await transport.download(f"{peer.url}/hop/3")
        with pytest.raises(OutputError, match="more than 3 times"):
            await transport.download(f"{peer.url}/hop/4")


async def test_a_hop_is_not_rewritten(transports):
    def hop(request):
        return http(302, b"", "Location: /b?sig=a%2Fb%2Bc%3D%7e&x=%41") if request["path"] == "/a" else http(200, b"x")

    async with Peer(hop) as peer:
        await transports(peer).download(f"{peer.url}/a")
    assert "/b?sig=a%2Fb%2Bc%3D%7e&x=%41" == peer.requests[1]["path"]


@pytest.mark.parametrize("host", ["169.254.169.254", "localhost", "10.0.0.1", "[::1]"])
async def test_no_proxy_is_asked_for_a_private_address(transports, host):
    async with Peer(lambda _: http(200, b"x")) as proxy:
        transport = transports("https://api.example.com/replicate/v1", proxy=proxy.url)
        with pytest.raises(OutputError, match="not a public address") as caught:
            await transport.download(f"https://{host}/x")
    assert [] == proxy.requests
    assert not caught.value.is_transient


async def test_a_hop_to_a_private_address_is_refused(transports):
    async with Peer(lambda _: http(302, b"", "Location: https://10.0.0.1/x")) as peer:
        with pytest.raises(OutputError, match="not a public address"):
            await transports(peer).download(f"{peer.url}/x")


@pytest.mark.parametrize(
    ("status", "is_transient"), [(404, False), (403, False), (410, False), (500, True), (503, True), (429, True)]
)
async def test_an_output_that_is_refused_says_whether_it_may_come_back(transports, status, is_transient):
    async with Peer(lambda _: http(status)) as peer:
        with pytest.raises(OutputError, match=f"HTTP {status}") as caught:
            await transports(peer).download(f"{peer.url}/x")
    assert is_transient is caught.value.is_transient


async def test_a_truncated_output_is_an_error_and_may_be_fetched_again(transports):
    async def torn(_, writer):
        writer.write(http(200, b"half", length=8))
        await writer.drain()

    async with Peer(torn) as peer:
        with pytest.raises(OutputError, match="before it was complete") as caught:
            await transports(peer).download(f"{peer.url}/x")
    assert caught.value.is_transient


async def test_a_compressed_output_is_read_up_to_the_largest(transports):
    answers = iter([gzip.compress(b"x" * 1000), gzip.compress(b"x" * 1001)])
    async with Peer(lambda _: http(200, next(answers), "Content-Encoding: gzip")) as peer:
        transport = transports(peer, largest_output=1000)
        assert b"x" * 1000 == await transport.download(f"{peer.url}/x")
        with pytest.raises(OutputError, match="larger than 1000 bytes"):
            await transport.download(f"{peer.url}/x")
    assert "identity" == peer.requests[0]["headers"]["accept-encoding"]


async def test_a_broken_http_library_says_why_and_hides_the_key(transports, monkeypatch):
    async def broken(*_, **__):
        raise RuntimeError(f"no room\nfor {KEY}")

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", broken)
    transport = transports("http://127.0.0.1:9")
    ways = [(transport.submit, POST), (transport.send, GET), (transport.download, "http://127.0.0.1:9/x")]
    for verb, value in ways:
        with pytest.raises(CometfluxError, match=r"the HTTP library failed \(RuntimeError: no room for \*\*\*\)"):
            await verb(value)


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
async def test_an_output_up_to_the_largest_is_read(transports, size):
    async with Peer(lambda _: http(200, b"x" * size)) as peer:
        assert b"x" * size == await transports(peer, largest_output=1000).download(f"{peer.url}/x")


async def _endless(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 100_000)
        await writer.drain()


async def _endless_behind_a_small_chunk(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    while True:
        writer.write(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: http(200, b"x" * 1001), id="one byte more"),
        pytest.param(lambda _: http(200, b"x" * 1001, length=10**12), id="a length that is a lie"),
        pytest.param(_endless, id="endless"),
        pytest.param(_endless_behind_a_small_chunk, id="endless in chunks"),
    ],
)
async def test_a_larger_output_is_refused_and_not_fetched_again(transports, answer):
    async with Peer(answer) as peer:
        with pytest.raises(OutputError, match="the output is larger than 1000 bytes") as caught:
            await transports(peer, largest_output=1000).download(f"{peer.url}/x")
    assert not caught.value.is_transient


async def test_an_output_longer_than_it_says_is_not_trusted(transports):
    async with Peer(lambda _: http(200, b"x" * 1000, length=10)) as peer:
        with pytest.raises(OutputError, match="the response is not HTTP") as caught:
            await transports(peer).download(f"{peer.url}/x")
    assert caught.value.is_transient


# ── where outputs may be ─────────────────────────────────────────────────────────────────────────────────────────────

SPELLINGS = [
    *("2130706433", "017700000001", "0x7f000001", "0177.0.0.1", "0x7F.0x0.0x0.0x1", "127.1", "127.0.1", "0", "00"),
    *("127.0.0.1.", "localhost.", "LOCALHOST", "a.localhost", "a.localhost.", "LocalHost.LocalDomain", "printer.local"),
    *("127%2e0%2e0%2e1", "%31%32%37.0.0.1", "%6c%6f%63alhost", "127.0.0.1%00", "\uff11\uff12\uff17.0.0.1"),
    *("127\u30020\u30020\u30021", "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3", "intranet"),
    *(
        "metadata.google.internal",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::FFFF:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[fe80::1%eth0]",
    ),
    *("[fe80::1%25eth0]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "10.0.0.1", "169.254.169.254"),
    *("[fd00::1]", "[::]", "0.0.0.0", "255.255.255.255", "192.168.0x1.1", "1.2.3.4.5", "256.256.256.256", "a.0x7f"),
]


@pytest.mark.parametrize("host", SPELLINGS, ids=ascii)
async def test_no_spelling_of_a_private_address_goes_to_a_proxy(transports, host):
    async with Peer(lambda _: http(200, b"x")) as proxy:
        transport = transports("https://api.example.com/replicate/v1", proxy=proxy.url)
        with pytest.raises(OutputError) as caught:
            await transport.download(f"https://{host}/x")
    assert [] == proxy.requests
    assert not caught.value.is_transient


@pytest.mark.parametrize(
    "host", ["2130706433", "0177.0.0.1", "0x7f.1", "127.1", "localhost", "127.0.0.1", "user@127.0.0.1"]
)
async def test_nothing_connects_to_this_machine_for_an_api_that_is_elsewhere(transports, host):
    async with Peer(lambda _: http(200, b"x")) as peer:
        transport = transports("https://api.example.com/replicate/v1")
        with pytest.raises(OutputError):
            await transport.download(f"https://{host}:{peer.port}/x")
    assert 0 == peer.connections


@pytest.mark.parametrize(
    "url", ["https://a@replicate.delivery/x", "https://a:b@replicate.delivery/x", "https://:b@x.com"]
)
async def test_an_output_needs_no_password(transports, url):
    with pytest.raises(OutputError, match="carries a user name or password"):
        await transports("https://api.example.com/replicate/v1").download(url)


# Of this machine only: where the check fails, nobody else is to be troubled.
@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
async def test_a_name_that_leads_to_a_private_address_is_refused_when_connecting(transports, address):
    # No name of the public internet leads to a private address for sure.
    class Private(LookUps):
        async def getaddrinfo(self, host, port, **_):
            assert "images.example.com" == host
            family, size = (socket.AF_INET6, 4) if ":" in address else (socket.AF_INET, 2)
            return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)[:size])]

    async with Peer(lambda _: http(200, b"x")) as peer:
        with pytest.raises(OutputError, match=f"{address} is not a public address") as caught:
            transport = transports("https://api.example.com/replicate/v1", look_ups=Private(1))
            await transport.download(f"https://images.example.com:{peer.port}/x")
    assert 0 == peer.connections
    assert not caught.value.is_transient


async def test_a_plain_name_goes_to_the_proxy(transports):
    async with Peer(lambda _: http(502)) as proxy:
        transport = transports("https://api.example.com/replicate/v1", proxy=proxy.url)
        for host in (
            "replicate.delivery",
            "A-b.Replicate.Delivery.",
            "xn--bcher-kva.example",
            "8.8.8.8",
            "[2606:4700::1111]",
        ):
            with pytest.raises(OutputError, match="the proxy rejected"):
                await transport.download(f"https://{host}/x")
    assert 5 == len(proxy.requests)


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("target", ["https://10.0.0.1/x", "https://169.254.169.254/x", "http://10.1/x", "//10.0.0.1/x"])
async def test_no_hop_leads_to_a_private_address(transports, hops, target):
    def hop(request):
        left = int(request["path"][1:]) - 1
        return http(302, b"", f"Location: {f'/{left}' if left else target}")

    async with Peer(hop) as peer:
        with pytest.raises(OutputError, match=r"not a public address|only https URLs") as caught:
            await transports(peer).download(f"{peer.url}/{hops}")
    assert hops == len(peer.requests)
    assert not caught.value.is_transient


# ── the key ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def everything_of(error):
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield repr(error), str(error), repr(vars(error)), type(error).__module__
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("way", ["submit", "send", "download"])
@pytest.mark.parametrize("answer", [lambda _: None, lambda _: b"garbage\r\n\r\n"])
async def test_no_error_shows_the_key_or_an_object_of_the_http_library(transports, way, answer):
    async with Peer(answer) as peer:
        transport = transports(peer)
        call = {
            "submit": lambda: transport.submit(POST),
            "send": lambda: transport.send(GET),
            "download": lambda: transport.download(f"{peer.url}/x"),
        }[way]
        with pytest.raises(CometfluxError) as caught:
            await call()
    texts = repr(list(everything_of(caught.value)))
    assert KEY not in texts
    assert "aiohttp" not in texts
    assert KEY not in repr(transport)


def _echo_all(request):
    """Write the request's headers as a proxy does that means to help."""
    return "".join(f"{name}: {value}; " for name, value in request["headers"].items())


def _json(status, body, *headers):
    return http(status, json.dumps(body).encode(), "Content-Type: application/json", *headers)


ECHOES = {
    "a page": lambda seen: http(502, f"<html>{seen}</html>".encode()),
    "a page with status 200": lambda seen: http(200, f"<html>{seen}</html>".encode()),
    "an escaped page": lambda seen: http(500, html.escape(seen).encode()),
    "a text": lambda seen: http(200, seen.encode()),
    "an error": lambda seen: _json(500, {"error": {"message": seen, "code": seen}}),
    "a refusal": lambda seen: _json(400, {"detail": seen, "code": seen}),
    "a refused key": lambda seen: _json(401, {"title": seen, "detail": f"no such key: {KEY}"}),
    "a limit": lambda seen: _json(429, {"detail": seen, "retry_after": 400}),
    "a request id": lambda seen: _json(400, {"error": {"message": f"no (request id: {KEY})"}}),
    "a request id in the header": lambda _: _json(422, {}, f"X-Request-Id: {KEY}"),
    "a content type": lambda _: http(500, b"", f"Content-Type: {KEY}/x"),
    "an odd id": lambda _: _json(201, {"id": f"{KEY}/../x"}),
    "a failure": lambda seen: _json(201, {"id": "abc", "status": "failed", "error": seen}),
    "cut within the key": lambda _: http(500, f"Bearer {KEY}".encode()[:-4]),
    "torn within the key": lambda _: http(500, f"Bearer {KEY}".encode()[:-4], length=100),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
async def test_a_key_that_the_answer_shows_is_shown_no_further(transports, echo):
    texts = []
    async with Peer(lambda request: echo(_echo_all(request)) if request["headers"] else None) as peer:
        client = Client(transports(peer, times=Timeouts(answer=1, poll=1)))
        for call in (lambda: client.create(Job(model="a/b", input={"prompt": "x"})), lambda: client.get("abc")):
            try:
                texts.append(repr(await call()))
            except CometfluxError as error:
                texts += everything_of(error)
    assert f"Bearer {KEY}" == peer.requests[0]["headers"]["authorization"]
    assert KEY[:12] not in repr(texts)


async def test_the_rest_of_the_services_words_stays(transports):
    async with Peer(lambda _: _json(400, {"detail": f"no key {KEY} here (request id: r1)"}, "X-Trace: 1")) as peer:
        with pytest.raises(RejectedError) as caught:
            read_created(await transports(peer).submit(POST), 0)
    assert ("no key *** here (request id: r1)", "r1") == (caught.value.detail, caught.value.request_id)


async def test_headers_without_the_key_are_as_they_came_and_with_it_are_found_all_the_same(transports):
    async with Peer(lambda _: http(200, b"{}", "X-A: 1", "X-A: 2", f"X-B: {KEY}")) as peer:
        headers = (await transports(peer).send(GET)).headers
    assert ("1", "***") == (headers["x-a"], headers["x-b"])


@pytest.mark.parametrize(
    "spell",
    [
        *(str, html.escape, lambda key: quote(key, safe=""), lambda key: key.replace("/", r"\/")),
        lambda key: quote(key, safe="/"),
        lambda key: key.replace("+", r"\u002B").replace("=", r"\u003d"),
        lambda key: key.replace("+", "%2b").replace("=", "&#61;").replace("/", r"\u002f"),
    ],
)
async def test_a_key_with_odd_characters_is_found_in_every_spelling(spell):
    key = "sk-a/b+c&d=0123456789"
    async with Peer(lambda _: http(500, spell(key).encode())) as peer:
        transport = AiohttpTransport(key, peer.url)
        assert b"***" == (await transport.send(GET)).body
        await transport.aclose()


async def test_a_key_too_short_to_be_one_is_not_looked_for():
    async with Peer(lambda _: http(200, b'{"id":"abc","output":"http://localhost/local.png"}')) as peer:
        transport = AiohttpTransport("local", peer.url)
        assert b"localhost/local.png" in (await transport.send(GET)).body
        await transport.aclose()


@pytest.mark.parametrize("is_used", [True, False], ids=["used", "unused"])
async def test_a_closed_transport_sends_nothing_more_and_says_so(is_used):
    async with Peer(lambda _: http(200, b'{"id":"abc"}')) as peer:
        transport = AiohttpTransport(KEY, peer.url)
        if is_used:
            await transport.submit(POST)
            await transport.send(GET)
            await transport.download(f"{peer.url}/image")
        await transport.aclose()
        count = len(peer.requests)
        assert transport.prepare() is None
        for use, money in [
            (transport.submit(POST), Money.NOT_SENT),
            (transport.send(GET), Money.ACCEPTED),
            (transport.download(f"{peer.url}/image"), Money.ACCEPTED),
        ]:
            with pytest.raises((ConnectError, OutputError), match="the session, or its transport, is closed") as caught:
                await use
            assert money is caught.value.money
        assert count == len(peer.requests)


async def test_the_password_of_a_proxy_is_shown_no_further(transports):
    pair = base64.b64encode(b"someone:pass-word/1").decode()
    async with Peer(lambda request: http(500, _echo_all(request).encode())) as proxy:
        url = proxy.url.replace("//", "//someone:pass-word%2F1@")
        response = await transports("http://api.example.com/replicate/v1", proxy=url).submit(POST)
    assert f"Basic {pair}" == proxy.requests[0]["headers"]["proxy-authorization"]
    assert pair.encode() not in response.body
    assert b"Basic ***" in response.body


class Sink:
    """A writer that keeps the written bytes."""

    async def write(self, data):
        pass


@pytest.mark.parametrize("size", [10, 600 * 1024])
@pytest.mark.parametrize(
    "ask_for",
    [
        pytest.param(lambda body: body.write_with_length(Sink(), None), id="write_with_length"),
        pytest.param(lambda body: body.write(Sink()), id="write"),
        pytest.param(lambda body: body.as_bytes(), id="as_bytes"),
    ],
)
async def test_a_body_counts_as_sent_by_whichever_way_its_bytes_are_asked_for(ask_for, size):
    """A missed write would look like proof that nothing was sent, and the job would be charged twice."""
    deadlines = Deadlines(5.0)
    exchange = Exchange(deadlines)
    body = body_of(b"x" * size, exchange)
    assert not exchange.has_left
    await ask_for(body)
    assert exchange.has_left
    deadlines.close()
    await body.close()
