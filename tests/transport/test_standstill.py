"""A process that stood still, with responses in its sockets: none is thrown away."""

import asyncio

import pytest
from socket_server import Peer, http

from cometflux.errors import UnknownSubmissionError
from cometflux.protocol.requests import Request
from cometflux.session.session import Session
from cometflux.transport.aiohttp import AiohttpTransport

KEY = "sk-canary-0123456789"
POST = Request("POST", "/models/a/b/predictions", b'{"input":{"prompt":"x"}}')
GET = Request("GET", "/predictions/abc")
SMALL = b'{"id":"abc"}'
LARGE = b'{"id":"abc","logs":"%s"}' % (b"x" * 4_000_000)


async def read(transport, kind):
    if kind == "submission":
        return (await transport.submit(POST)).body
    if kind == "poll":
        return (await transport.send(GET)).body
    return await transport.download(transport._base_url + "/picture")


def standing(*parts):
    """Respond in *parts*, and let the process stand still for an hour after each."""

    async def answer(_, writer):
        for part in parts:
            await asyncio.sleep(0.01)
            writer.write(part)
            asyncio.get_running_loop().advance(3600)

    return answer


@pytest.mark.parametrize("kind", ["submission", "poll", "download"])
@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
async def test_a_response_that_came_meanwhile_is_read(kind, body):
    async with Peer(standing(http(200, body))) as peer:
        transport = AiohttpTransport(KEY, peer.url)
        assert body == await read(transport, kind)
        await transport.aclose()


@pytest.mark.parametrize("kind", ["submission", "poll", "download"])
async def test_a_response_is_read_although_the_process_stood_still_within_it(kind):
    wire = http(200, SMALL)
    async with Peer(standing(wire[:-5], wire[-5:])) as peer:
        transport = AiohttpTransport(KEY, peer.url)
        assert SMALL == await read(transport, kind)
        await transport.aclose()


async def test_the_grace_of_a_closing_session_does_not_end_before_the_response_is_read():
    has_come, may_answer = asyncio.Event(), asyncio.Event()

    async def answer(request, writer):
        if request["method"] == "GET":
            writer.write(http(200, b'{"id":"abc","status":"succeeded","output":"https://example.com/a.png"}'))
            return
        has_come.set()
        await may_answer.wait()
        writer.write(http(201, b'{"id":"abc","status":"starting"}'))
        asyncio.get_running_loop().advance(3600)

    async with Peer(answer) as peer:
        session = Session(AiohttpTransport(KEY, peer.url))
        async with session:
            running = asyncio.ensure_future(session.run("x"))
            await has_come.wait()
            asyncio.get_running_loop().call_later(1.0, may_answer.set)
        with pytest.raises(Exception, match="closed") as caught:
            await running
    assert "abc" == caught.value.prediction_id


@pytest.mark.parametrize("size", [0, 1_000_000], ids=["small", "large"])
async def test_the_rest_of_a_response_whose_head_cannot_be_read_is_read_although_the_process_stood_still(size):
    wire = http(201, b'{"logs":"%s","id":"abc"}' % (b"x" * size), "Server : x")
    async with Peer(standing(wire[:90], wire[90:])) as peer:
        transport = AiohttpTransport(KEY, peer.url)
        with pytest.raises(UnknownSubmissionError) as caught:
            await transport.submit(POST)
        await transport.aclose()
    assert "abc" == caught.value.prediction_id
