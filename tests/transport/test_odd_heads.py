"""Responses whose head displeases the HTTP library. The id in them is found, and nothing is paid for twice."""

import gzip
import json

import pytest
from aiohttp.http_parser import HttpResponseParserPy
from socket_server import Peer

from cometflux.protocol.salvage import load_wire
from cometflux.session.session import Session
from cometflux.transport.aiohttp import AiohttpTransport

KEY = "sk-canary-0123456789"
ID = "vgcm4p"
CREATED = json.dumps({"id": ID, "status": "starting", "input": {"prompt": "x", "id": "evil"}}).encode()


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
    "another protocol": lambda body: response(body).replace(b"HTTP/1.1", b"HTTP/9.9"),
}


@pytest.fixture(params=["the parser in C", "the parser in Python"])
def parser(request, monkeypatch):
    """Both parsers of aiohttp: they refuse different heads."""
    if "Python" in request.param:
        monkeypatch.setattr("aiohttp.client_proto.HttpResponseParser", HttpResponseParserPy)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_the_id_is_found_in_the_bytes_of_the_connection(head):
    assert ID == load_wire(head(CREATED))


@pytest.mark.parametrize(
    "wire", [b"", b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-x\r\n\r\n" + CREATED, b"HTTP/1.1 103 Hints\r\n\r\n", b"\0" * 99]
)
def test_bytes_that_are_no_response_show_no_id(wire):
    assert load_wire(wire) is None


def test_no_id_is_taken_from_the_echoed_input():
    body = b'{"status": "starting", "input": {"prompt": "\n\n{\\"id\\": \\"evil\\"}", "id": "evil"}}'
    assert load_wire(response(body, "Server : x")) is None


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_a_prediction_whose_response_has_an_odd_head_is_paid_for_once_and_ends(head):
    bills = []

    def serve(request):
        if request["method"] == "POST":
            bills.append(request)
            return head(CREATED)
        done = json.dumps({"id": ID, "status": "succeeded", "output": "https://example.com/a.png"}).encode()
        return response(done, status="200 OK")

    async with Peer(serve) as peer, Session(AiohttpTransport(KEY, peer.url)) as session:
        prediction = await session.run("x")
    assert (ID, 1) == (prediction.id, len(bills))
