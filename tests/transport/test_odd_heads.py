"""Responses whose head displeases the HTTP library. The id in them is found, and nothing is paid for twice."""

import asyncio
import collections
import contextlib
import gzip
import io
import json
import re
import time
import zlib

import pytest
from aiohttp.http_parser import HttpResponseParserPy
from PIL import Image
from socket_server import Peer

from cometflux.errors import OutputError, UnknownSubmissionError
from cometflux.protocol.requests import Request
from cometflux.protocol.salvage import load_wire
from cometflux.session.session import Session
from cometflux.transport.aiohttp import AiohttpTransport

pytestmark = pytest.mark.slow

KEY = "sk-canary-0123456789"
ID = "vgcm4p"
CREATED = json.dumps({"id": ID, "status": "starting", "input": {"prompt": "x", "id": "evil"}}).encode()


POST = Request("POST", "/models/a/b/predictions", b'{"input":{"prompt":"x"}}')


def picture():
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "PNG")
    return data.getvalue()


PICTURE = picture()


def response(body, *fields, status="201 Created", length=True):
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *fields]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(body):
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


HEADS = {
    "as usual": response,
    "a field above 8,190 bytes": lambda body: response(body, "X: " + "y" * 9_000),
    "a field above 200,000 bytes": lambda body: response(body, "X: " + "y" * 200_000),
    "the length twice": lambda body: response(body, f"Content-Length: {len(body)}"),
    "the length twice, and it differs": lambda body: response(body, "Content-Length: 7"),
    "a length and chunks": lambda body: response(chunked(body), "Transfer-Encoding: chunked"),
    "a blank before a colon": lambda body: response(body, "Server : x"),
    "NUL in a field": lambda body: response(body, "Server: x\0y"),
    "a field without a colon": lambda body: response(body, "Server"),
    "a field without a name": lambda body: response(body, ": x"),
    "status 2000": lambda body: response(body, status="2000 Created"),
    "204 with a body": lambda body: response(body, status="204 No Content"),
    "304 with a body": lambda body: response(body, status="304 Not Modified"),
    "200 fields": lambda body: response(body, *(f"X-{number}: y" for number in range(200))),
    "5000 fields": lambda body: response(body, *(f"X-{number}: y" for number in range(5000))),
    "gzip": lambda body: response(gzip.compress(body), "Content-Encoding: gzip"),
    "gzip with a broken head": lambda body: response(gzip.compress(body), "Content-Encoding: gzip", "Server : x"),
    "a length that is too short": lambda body: response(body, "Content-Length: 9", length=False),
    "a length in words": lambda body: response(body, "Content-Length: many", length=False),
    "an interim response first": lambda body: b"HTTP/1.1 103 Hints\r\n\r\n" + response(body, "Server : x"),
    "bare line feeds": lambda body: response(body).replace(b"\r\n", b"\n"),
    "empty lines first": lambda body: b"\r\n\r\n" + response(body, "Server : x"),
    "101 with a body": lambda body: response(body, status="101 Switching Protocols"),
    "deflate with a broken head": lambda body: response(zlib.compress(body), "Content-Encoding: deflate", "Server : x"),
    "a blank before a size": lambda body: response(
        b" " + chunked(body), "Transfer-Encoding: chunked", "Server : x", length=False
    ),
    "another protocol": lambda body: response(body).replace(b"HTTP/1.1", b"HTTP/9.9"),
}


STATUS_LINES = {
    "a status line without a reason": lambda body: response(body, status="201"),
    "a status that is not a number": lambda body: response(body, status="abc OK"),
    "a tab before the status": lambda body: response(body).replace(b"HTTP/1.1 ", b"HTTP/1.1\t"),
    "a protocol in small letters": lambda body: response(body).replace(b"HTTP/", b"http/"),
}


@pytest.fixture(params=["the parser in C", "the parser in Python"])
def parser(request, monkeypatch):
    """Both parsers of aiohttp: they refuse different heads."""
    if "Python" in request.param:
        monkeypatch.setattr("aiohttp.client_proto.HttpResponseParser", HttpResponseParserPy)


@pytest.mark.parametrize("head", (HEADS | STATUS_LINES).values(), ids=HEADS | STATUS_LINES)
def test_the_id_is_found_in_the_bytes_of_the_connection(head):
    assert ID == load_wire(head(CREATED))


@pytest.mark.parametrize(
    "wire", [b"", b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-x\r\n\r\n" + CREATED, b"HTTP/1.1 103 Hints\r\n\r\n", b"\0" * 99]
)
def test_bytes_that_are_no_response_show_no_id(wire):
    assert load_wire(wire) is None


def test_a_location_in_a_head_that_cannot_be_read_gives_the_id():
    assert ID == load_wire(response(b"", f"LOCATION : /v1/predictions/{ID}", status="303 See Other"))


def test_many_interim_heads_take_little_time():
    """A server may send as many as fit; each costs its own length and not that of the rest."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    wire = interim * 200_000 + b"HTTP/1.1 201 Created\r\n\r\n" + CREATED
    began = time.process_time()
    assert ID == load_wire(wire)
    assert time.process_time() - began < 3


def test_no_id_is_taken_from_the_echoed_input():
    body = b'{"status": "starting", "input": {"prompt": "\n\n{\\"id\\": \\"evil\\"}", "id": "evil"}}'
    assert load_wire(response(body, "Server : x")) is None


SEGMENTS = {
    "in one piece": lambda wire: [wire],
    "head, body": lambda wire: [head_of(wire), wire[len(head_of(wire)) :]],
    "with half a head": lambda wire: [wire[:30], wire[30:]],
    "with half an end of the head": lambda wire: [head_of(wire)[:-1], wire[len(head_of(wire)) - 1 :]],
    "with half a body": lambda wire: [wire[: len(head_of(wire)) + 8], wire[len(head_of(wire)) + 8 :]],
    "head, and the body in pieces of seven bytes": lambda wire: [
        head_of(wire),
        *(wire[i : i + 7] for i in range(len(head_of(wire)), len(wire), 7)),
    ],
}


def head_of(wire):
    """Return the head of the final response, with what comes before it."""
    end = re.search(rb"(?:HTTP/1.1 1.*?\n\r?\n)?.*?\n\r?\n", wire, re.DOTALL).end()
    return wire[:end]


DONE = json.dumps({"id": ID, "status": "succeeded", "output": "https://example.com/a.png"}).encode()


class Service:
    """Creates, polls and serves pictures; *odd* are the responses of one kind, as long as there are any.

    Each of those is a list of segments. Then the connection stays open.
    """

    def __init__(self, kind, odd, *, pause=0.1, done=None):
        self.kind, self.odd, self.pause, self.done = kind, [*odd], pause, done
        self.counts = collections.Counter()
        self.peer = Peer(self.answer)

    async def answer(self, request, writer):
        is_post = request["method"] == "POST"
        kind = "submission" if is_post else "download" if request["path"] == "/picture" else "poll"
        self.counts[kind] += 1
        if kind == self.kind and self.odd:
            for segment in self.odd.pop(0):
                writer.write(segment)
                await writer.drain()
                await asyncio.sleep(self.pause)
            await asyncio.sleep(1000)
        plain = {"submission": response(CREATED), "poll": response(self.done or DONE, status="200 OK")}
        writer.write(plain[kind] if kind in plain else response(PICTURE, status="200 OK"))


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("segments", SEGMENTS.values(), ids=SEGMENTS)
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_a_prediction_whose_response_has_an_odd_head_is_paid_for_once_and_ends(head, segments):
    service = Service("submission", [segments(head(CREATED))])
    async with service.peer as peer, Session(AiohttpTransport(KEY, peer.url)) as session:
        prediction = await session.run("x")
    assert (ID, 1) == (prediction.id, service.counts["submission"])


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("segments", [SEGMENTS["in one piece"], SEGMENTS["head, body"]], ids=["in one piece", "in two"])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_a_poll_whose_response_has_an_odd_head_is_repeated(head, segments):
    service = Service("poll", [segments(head(DONE))] * 3)
    async with service.peer as peer, Session(AiohttpTransport(KEY, peer.url)) as session:
        prediction = await session.run("x")
    assert (ID, 1) == (prediction.id, service.counts["submission"])


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("segments", [SEGMENTS["in one piece"], SEGMENTS["head, body"]], ids=["in one piece", "in two"])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_a_picture_whose_response_has_an_odd_head_is_fetched_again(head, segments, tmp_path):
    odd = head(PICTURE).replace(b"201 Created", b"200 OK")
    service = Service("download", [segments(odd)] * 2)
    async with service.peer as peer, Session(AiohttpTransport(KEY, peer.url)) as session:
        service.done = json.dumps({"id": ID, "status": "succeeded", "output": f"{peer.url}/picture"}).encode()
        prediction = await session.run("x")
        (image,) = await session.save(prediction, tmp_path)
    assert PICTURE == image.read_bytes()


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_a_picture_whose_every_response_has_an_odd_head_costs_a_few_tries(head, tmp_path):
    service = Service("download", [[head(PICTURE)]] * 100)
    async with service.peer as peer, Session(AiohttpTransport(KEY, peer.url)) as session:
        service.done = json.dumps({"id": ID, "status": "succeeded", "output": f"{peer.url}/picture"}).encode()
        prediction = await session.run("x")
        with contextlib.suppress(OutputError):
            await session.save(prediction, tmp_path)
    assert 5 >= service.counts["download"]


async def test_a_download_that_breaks_the_http_library_is_repeated(tmp_path):
    odd = response(b"", "Location: http://[::1", status="302 Found")
    service = Service("download", [[odd]] * 2)
    async with service.peer as peer, Session(AiohttpTransport(KEY, peer.url)) as session:
        service.done = json.dumps({"id": ID, "status": "succeeded", "output": f"{peer.url}/picture"}).encode()
        (image,) = await session.save(await session.run("x"), tmp_path)
    assert PICTURE == image.read_bytes()


# ── how long the rest is waited for ──────────────────────────────────────────────────────────────────────────────────


async def submit(service):
    """Return the id that comes of a submission, or its status; and how long that took, in seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with service.peer as peer:
        transport = AiohttpTransport(KEY, peer.url)
        try:
            answer = await transport.submit(POST)
            found = answer.shown_id or answer.status
        except UnknownSubmissionError as error:
            found = error.prediction_id
        took = loop.time() - began
        await transport.aclose()
    return found, took


@pytest.mark.parametrize("late", [0.5, 4.5])
async def test_the_rest_of_a_refused_response_may_be_late(late):
    wire = HEADS["a blank before a colon"](CREATED)
    found, took = await submit(Service("submission", [SEGMENTS["head, body"](wire)], pause=late))
    assert (ID, late) == (found, pytest.approx(took, abs=0.01))


async def test_the_rest_of_a_refused_response_is_not_waited_for_without_end():
    wire = HEADS["a blank before a colon"](CREATED)
    found, took = await submit(Service("submission", [SEGMENTS["head, body"](wire)], pause=60))
    assert (None, 5) == (found, pytest.approx(took, abs=0.01))


@pytest.mark.parametrize("pause", [0.3, 1e6])
async def test_a_peer_that_drips_is_not_waited_for_without_end(pause):
    wire = HEADS["a blank before a colon"](b'{"status": "%s' % (b"x" * 10_000))
    head = SEGMENTS["head, body"](wire)[0]
    found, took = await submit(
        Service("submission", [[head, *(b"%c" % byte for byte in wire[len(head) :])]], pause=pause)
    )
    assert (None, 5) == (found, pytest.approx(took, abs=0.01))


@pytest.mark.parametrize(
    "wire",
    [
        response(b"<html>bad gateway</html>", status="502 Bad Gateway"),
        response(b"", status="429 Too Many Requests"),
        response(b"gone", status="404 Not Found"),
        response(b'{"detail": "no"}', status="422 Unprocessable"),
        response(CREATED),
    ],
    ids=["a page", "nothing", "a word", "a refusal", "a prediction"],
)
async def test_a_response_that_is_plainly_complete_is_not_waited_for(wire):
    _, took = await submit(Service("submission", [[wire]], pause=0))
    assert 0 == pytest.approx(took, abs=0.01)


async def test_an_id_in_an_unusual_place_is_found_if_the_head_cannot_be_read():
    wire = response(json.dumps({"code": "success", "data": ID}).encode(), "Server : x")
    found, _ = await submit(Service("submission", [[wire]]))
    assert ID == found


@pytest.mark.parametrize("pause", [0, 0.3], ids=["in one piece", "in two"])
@pytest.mark.parametrize("status", ["201 Created", "500 Error"])
async def test_a_length_that_is_too_short_never_hides_the_id(status, pause):
    body = json.dumps({"input": {"prompt": "{a}", "a": {"b": {}}}, "id": ID}).encode()
    for length in range(len(body)):
        wire = response(body, f"Content-Length: {length}", status=status, length=False)
        cut = len(head_of(wire)) + length
        found, _ = await submit(Service("submission", [[wire[:cut], wire[cut:]] if pause else [wire]], pause=pause))
        assert ID == found, length


async def test_a_submission_that_is_cancelled_meanwhile_closes_its_connection():
    wire = HEADS["a blank before a colon"](CREATED)
    service = Service("submission", [SEGMENTS["head, body"](wire)], pause=60)
    async with service.peer as peer:
        transport = AiohttpTransport(KEY, peer.url)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await transport.submit(POST)
        await transport.aclose()
