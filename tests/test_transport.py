"""What the transport says of each thing that can happen to a request, against a real socket server."""

import asyncio
import socket

import pytest
from peer import Peer, http

from cometflux.errors import AnswerError, CometfluxError, ConnectError, Money, OutputError, UnknownSubmissionError
from cometflux.protocol import Request
from cometflux.transport import AiohttpTransport, Times

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


async def test_questions_share_a_connection(transports):
    async with Peer(lambda _: http()) as peer:
        transport = transports(peer)
        for _ in range(3):
            await transport.ask(GET)
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
        pytest.param(lambda _: http(200, b"{}", "X: " + "y" * 20_000), id="an endless header"),
    ],
)
async def test_a_submission_that_left_and_was_not_answered_is_unknown_and_not_repeated(transports, answer):
    async with Peer(answer) as peer:
        with pytest.raises(UnknownSubmissionError) as caught:
            await transports(peer).submit(POST)
    assert Money.UNKNOWN is caught.value.money
    assert 1 == len(peer.requests)
    assert caught.value.evidence


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
        response = await transports(peer).ask(GET)
    assert "larger than 8388608 bytes" in response.cut
    assert len(response.body) < 16 * 1024 * 1024


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(transports, status):
    async with Peer(lambda _: http(status, b"", "Location: /elsewhere")) as peer:
        transport = transports(peer)
        assert status == (await transport.submit(POST)).status
        assert status == (await transport.ask(GET)).status
    assert {"/predictions/abc", "/models/a/b/predictions"} == {r["path"] for r in peer.requests}


async def test_no_cookie_is_sent_back(transports):
    async with Peer(lambda _: http(200, b"{}", "Set-Cookie: a=b; Path=/")) as peer:
        # By name: cookies of bare addresses are dropped anyway.
        transport = transports(f"http://localhost:{peer.port}")
        await transport.ask(GET)
        await transport.ask(GET)
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


async def test_a_proxy_that_refuses_proves_that_nothing_was_sent_and_does_not_see_the_key(transports):
    async with Peer(lambda _: http(407, b"no")) as proxy:
        transport = transports("https://api.example.com/replicate/v1", proxy=proxy.url)
        with pytest.raises(ConnectError, match="the proxy refused with HTTP 407") as caught:
            await transport.submit(POST)
        with pytest.raises(CometfluxError):
            await transport.ask(GET)
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


async def test_a_question_may_take_twenty_seconds(transports):
    start = asyncio.get_running_loop().time()
    async with Peer(_stall) as peer:
        with pytest.raises(AnswerError, match="nothing within 20 s"):
            await transports(peer).ask(GET)
    assert 20 == pytest.approx(asyncio.get_running_loop().time() - start, abs=0.01)


async def test_no_question_queues_for_a_connection_while_its_time_runs(transports):
    async def slow(_, writer):
        await asyncio.sleep(15)
        writer.write(http())

    async with Peer(slow) as peer:
        transport = transports(peer)
        await asyncio.gather(*(transport.ask(GET) for _ in range(150)))
    assert 15 == pytest.approx(asyncio.get_running_loop().time(), abs=0.01)


async def test_times_can_be_set(transports):
    async with Peer(_stall) as peer:
        transport = transports(peer, times=Times(poll=2, answer=3))
        with pytest.raises(AnswerError, match="within 2 s"):
            await transport.ask(GET)
        with pytest.raises(UnknownSubmissionError, match="within 3 s"):
            await transport.submit(POST)


async def test_a_question_without_a_connection_says_so(transports):
    with pytest.raises(ConnectError) as caught:
        await transports(f"http://127.0.0.1:{free_port()}").ask(GET)
    assert Money.ACCEPTED is caught.value.money


# ── downloading ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_download_knows_no_key(transports):
    async with Peer(lambda _: http(200, b"image")) as peer:
        assert b"image" == await transports(peer).download(f"{peer.url}/o/out-0.webp?X-Sig=a%2Fb+c")
    assert "authorization" not in peer.requests[0]["headers"]
    assert KEY not in repr(peer.requests)
    assert "/o/out-0.webp?X-Sig=a%2Fb+c" == peer.requests[0]["path"], "a presigned URL must not be rewritten"


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
    with pytest.raises(OutputError, match="https URLs only"):
        await transports("https://api.cometapi.com/replicate/v1").download(url)


@pytest.mark.parametrize("url", ["https://[x/y.webp", "https://[::1/y.webp", "https://a]b/"])
async def test_what_is_no_url_is_not_downloaded(transports, url):
    with pytest.raises(OutputError, match="which is no URL"):
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


async def test_a_download_may_be_slow_but_not_silent(transports):
    async def slow(_, writer):
        writer.write(http(200, b"", length=4))
        for _ in range(4):
            await asyncio.sleep(50)
            writer.write(b"x")

    async with Peer(slow) as peer:
        assert b"xxxx" == await transports(peer).download(f"{peer.url}/x")
    async with Peer(_stall) as peer:
        with pytest.raises(OutputError, match="nothing within 60 s"):
            await transports(peer).download(f"{peer.url}/x")


async def test_a_compressed_output_is_refused(transports):
    async with Peer(lambda _: http(200, b"x", "Content-Encoding: gzip")) as peer:
        with pytest.raises(OutputError, match="compressed"):
            await transports(peer).download(f"{peer.url}/x")
    assert "identity" == peer.requests[0]["headers"]["accept-encoding"]


# ── the key ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def everything_of(error):
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield repr(error), str(error), repr(vars(error)), type(error).__module__
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("way", ["submit", "ask", "download"])
@pytest.mark.parametrize("answer", [lambda _: None, lambda _: b"garbage\r\n\r\n"])
async def test_no_error_shows_the_key_or_an_object_of_the_http_library(transports, way, answer):
    async with Peer(answer) as peer:
        transport = transports(peer)
        call = {
            "submit": lambda: transport.submit(POST),
            "ask": lambda: transport.ask(GET),
            "download": lambda: transport.download(f"{peer.url}/x"),
        }[way]
        with pytest.raises(CometfluxError) as caught:
            await call()
    texts = repr(list(everything_of(caught.value)))
    assert KEY not in texts
    assert "aiohttp" not in texts
    assert KEY not in repr(transport)
