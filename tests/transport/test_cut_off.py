"""A submission that is cut off while its response comes: an id that has come is kept with the job."""

import asyncio
import contextlib
import json

import pytest
from socket_server import Peer, http

from cometflux import Job, Journal, Session
from cometflux.errors import CometfluxError, Money, UnknownSubmissionError
from cometflux.journal.header import Account
from cometflux.journal.writer import JournalWriter
from cometflux.protocol.requests import Request
from cometflux.transport.aiohttp import AiohttpTransport

KEY = "sk-canary-0123456789"
ID = "vgcm4p"
HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
BODY = b'{"id":"vgcm4p","status":"starting","input":{"prompt":"x"}}'
JOB = Job(model="black-forest-labs/flux-schnell", input={"prompt": "x"}, key="a")
STALLED = {
    "a body that has no end": HEAD + b"\r\n" + BODY,
    "a body that breaks off": HEAD + b"Content-Length: 99\r\n\r\n" + BODY[:20],
    "a chunk that breaks off": HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b" % (len(BODY), BODY[:20]),
}


def stalling(wire):
    """Answer a submission with *wire* and nothing more; answer a poll at once."""

    async def answer(request, writer):
        if request["method"] == "GET":
            done = {"id": ID, "status": "succeeded", "output": "https://example.com/a.png"}
            writer.write(http(200, json.dumps(done).encode()))
            return
        writer.write(wire)
        await asyncio.sleep(1e6)

    return answer


@pytest.mark.parametrize("wire", STALLED.values(), ids=STALLED)
async def test_an_id_that_came_before_the_grace_ended_is_in_the_outcome_and_in_the_journal(wire, tmp_path):
    async with Peer(stalling(wire)) as peer:
        account = Account(base_url=peer.url, key=KEY)
        session = Session(AiohttpTransport(KEY, peer.url), journal=JournalWriter(tmp_path, account), grace=1.0)
        async with session:
            running = asyncio.ensure_future(session.run(JOB))
            await asyncio.sleep(0.2)
        with pytest.raises(UnknownSubmissionError) as caught:
            await running
        assert ID == caught.value.prediction_id
        with Journal(tmp_path) as journal:
            assert [ID] == [record.unknown_error.prediction_id for record in journal.records("unknown")]
        async with Session(AiohttpTransport(KEY, peer.url), journal=JournalWriter(tmp_path, account)) as session:
            assert ID == (await session.run(JOB)).id
    assert ["POST"] == [request["method"] for request in peer.requests if request["method"] == "POST"]


@pytest.mark.parametrize("wire", STALLED.values(), ids=STALLED)
async def test_a_submission_that_is_cancelled_tells_the_id_that_has_come(wire):
    async with Peer(stalling(wire)) as peer:
        transport = AiohttpTransport(KEY, peer.url)
        submitting = asyncio.ensure_future(transport.submit(Request("POST", "/x", b"{}")))
        await asyncio.sleep(0.2)
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await submitting
        await transport.aclose()
    assert ID == getattr(caught.value, "prediction_id", None)


@contextlib.asynccontextmanager
async def silent_server():
    """Accept connections, and take no part in the TLS handshake."""
    served = []

    async def serve(_, writer):
        served.append(asyncio.current_task())
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1e6)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)


async def test_a_submission_that_is_cut_off_while_it_connects_was_not_sent(tmp_path):
    async with silent_server() as url:
        account = Account(base_url=url, key=KEY)
        async with Session(AiohttpTransport(KEY, url), journal=JournalWriter(tmp_path, account), grace=1.0) as session:
            running = asyncio.ensure_future(session.run(JOB))
            await asyncio.sleep(0.2)
        with pytest.raises(CometfluxError) as caught:
            await running
    assert Money.NOT_SENT is caught.value.money
    with Journal(tmp_path) as journal:
        assert ["waiting"] == [record.state_name for record in journal.records()]
