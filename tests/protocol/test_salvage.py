"""The id of a paid prediction is read from a response that broke off, wherever and however it did."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_parser import HttpResponseParserPy
from hypothesis import given
from hypothesis import strategies as st
from socket_server import Peer, end

from cometflux.errors import Money, UnknownSubmissionError
from cometflux.protocol.requests import Request
from cometflux.protocol.responses import read_created
from cometflux.protocol.salvage import load_torn
from cometflux.session.session import Session
from cometflux.transport.aiohttp import AiohttpTransport
from cometflux.transport.exchange import _rest

KEY = "sk-canary-0123456789"
ID = "vgcm4p"
EVIL = {"id": "evil", "task_id": "evil", "data": {"id": "evil", "task_id": "evil", "data": {"id": "evil"}}}
INPUT = {**EVIL, "prompt": 'a "boat", {"id": "evil"}, }] \\ é \U0001f6a4 \\', "images": [[{"id": "evil"}], "x"]}

BODIES = {
    "flat, the input behind": {"id": ID, "input": INPUT, "logs": "", "output": None, "status": "starting"},
    "flat, the input first": {"input": INPUT, "version": None, "id": ID, "logs": "a, b", "status": "starting"},
    "enveloped, the input behind": {"code": "success", "data": {"id": ID, "status": "starting", "input": INPUT}},
    "enveloped, the input first": {"code": "success", "data": {"input": INPUT, "id": ID, "urls": {"get": "x"}}},
    "a task, its id first": {
        "code": "success",
        "message": "",
        "data": {"id": 7, "task_id": ID, "progress": "0%", "data": {"id": "inner", "input": INPUT}},
    },
    "a task, the input first": {
        "code": "success",
        "data": {"id": 7, "data": {"input": INPUT}, "task_id": ID, "progress": "0%"},
    },
}
FORMS = {
    "compact": {"separators": (",", ":"), "ensure_ascii": False},
    "pretty": {"indent": 2},
    "pretty with tabs": {"indent": "\t", "ensure_ascii": False},
}


def end_of_id(body):
    """Return the position after the id's closing quote, where the id is complete."""
    return body.index(f'"{ID}"'.encode()) + len(ID) + 2


# ── from bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("answer", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_id_is_there_from_the_byte_on_at_which_it_is_whole(answer, form):
    body = json.dumps(answer, **form).encode()
    there = end_of_id(body)
    found = [load_torn(body[:cut]) for cut in range(len(body) + 1)]
    assert [None] * there + [ID] * (len(body) + 1 - there) == found


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "data", "task_id", "progress", "x"]) | st.text(max_size=3), inner)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@given(echo=values, is_first=st.booleans(), is_wrapped=st.booleans(), indent=st.none() | st.just(1), data=st.data())
def test_nothing_in_the_echoed_input_is_taken_for_the_id(echo, is_first, is_wrapped, indent, data):
    flat = {"input": echo, "id": ID, "logs": ""} if is_first else {"id": ID, "input": echo, "logs": ""}
    body = json.dumps({"code": "success", "data": flat} if is_wrapped else flat, indent=indent).encode()
    there = (body.rindex if is_first else body.index)(f'"{ID}"'.encode()) + len(ID) + 2
    cut = data.draw(st.integers(0, len(body)))
    assert (ID if cut >= there else None) == load_torn(body[:cut])


def test_an_input_nested_deeper_than_anyone_nests_hides_no_id_before_it():
    body = json.dumps({"id": ID, "input": json.loads("[" * 60 + "]" * 60)}).encode()
    assert {ID} == {load_torn(body[:cut]) for cut in range(end_of_id(body), len(body) + 1)}


@pytest.mark.parametrize("more", [b"garbage", b", and more", b'{"id":"evil"}', b"}]}", b'"', b"\r\n0\r\n"])
def test_text_after_the_end_changes_nothing(more):
    assert ID == load_torn(b'{"id":"vgcm4p","input":{"prompt":"x"}}' + more)


# ── over a socket ────────────────────────────────────────────────────────────────────────────────────────────────────

POST_BODY = b'{"input":{"prompt":"x"}}'
SHORT_INPUT = {"id": "evil", "prompt": '{"id": "evil"}, \\"'}
SHORT = {
    "flat": {"id": ID, "input": SHORT_INPUT, "logs": ""},
    "enveloped": {"code": "success", "data": {"input": SHORT_INPUT, "id": ID, "logs": ""}},
}
HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"


def in_chunks(body, size=9):
    return [(b"%x\r\n" % len(part), part, b"\r\n") for part in (body[i : i + size] for i in range(0, len(body), size))]


def frame(body, framing):
    """Write *body* as it goes over the wire: a head, and the rest as (bytes, whether they are of the body)."""
    if framing == "length":
        return HEAD + b"Content-Length: %d\r\n\r\n" % len(body), [(body, True)]
    if framing == "close":
        return HEAD + b"\r\n", [(body, True)]
    parts = [(part, i == 1) for chunk in in_chunks(body) for i, part in enumerate(chunk)]
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n", [*parts, (b"0\r\n\r\n", False)]


async def ids_of(answers):
    """Return what each answer shows: *answers* are coroutine functions of a writer, all served at once."""

    async def answer(request, writer):
        await answers[int(request["path"][1:])](writer)

    async with Peer(answer) as peer:
        transport = AiohttpTransport(KEY, peer.url)
        try:
            return await asyncio.gather(*(_id_of(transport, f"/{number}") for number in range(len(answers))))
        finally:
            await transport.aclose()


async def _id_of(transport, path):
    try:
        return read_created(await transport.submit(Request("POST", path, POST_BODY)), 0).id
    except UnknownSubmissionError as error:
        return error.prediction_id


def cut_answer(head, rest, how, is_at_once):
    async def answer(writer):
        writer.write(head + rest if is_at_once else head)
        if not is_at_once:
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.write(rest)
        await end(writer, how)

    return answer


@pytest.mark.slow
@pytest.mark.parametrize("is_at_once", [True, False], ids=["in one segment", "the head first"])
@pytest.mark.parametrize("how", ["close", "reset", "stall"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("answer", SHORT.values(), ids=SHORT)
async def test_a_response_cut_anywhere_after_its_id_shows_it(answer, framing, how, is_at_once):
    body = json.dumps(answer, separators=(",", ":")).encode()
    head, parts = frame(body, framing)
    wire = b"".join(part for part, _ in parts)
    of_body = [is_body for part, is_body in parts for _ in part]
    cuts = range(len(wire) + 1)
    expected = [ID if sum(of_body[:cut]) >= end_of_id(body) else None for cut in cuts]
    assert expected == await ids_of([cut_answer(head, wire[:cut], how, is_at_once) for cut in cuts])


async def test_an_answer_cut_within_its_head_shows_nothing_and_is_unknown():
    head, ((body, _),) = frame(b'{"id":"vgcm4p"}', "length")
    answers = [cut_answer(head[:cut], b"", how, True) for how in ("close", "reset") for cut in range(len(head))]
    assert {None} == {*await ids_of(answers)}
    assert [ID] == await ids_of([cut_answer(head, body, "reset", True)])


@pytest.fixture(params=["the parser in C", "the parser in Python"])
def parser(request, monkeypatch):
    """Both parsers of aiohttp: which of them is at work depends on how it was built, and they break differently."""
    if "Python" in request.param:
        monkeypatch.setattr("aiohttp.client_proto.HttpResponseParser", HttpResponseParserPy)


GARBAGE = [
    b"zz\r\n",
    b"garbage",
    b"\r\n\r\n",
    b"-1\r\n",
    b"fffffffffffffffffffff\r\n",
    b"\x00",
    b"HTTP/1.1 500 No\r\n\r\n",
]


@pytest.mark.slow
@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("how", ["close", "reset", "stall"])
@pytest.mark.parametrize("is_at_once", [True, False], ids=["in one segment", "the head first"])
async def test_a_chunk_that_is_none_takes_nothing_with_it_that_came_before(is_at_once, how):
    body = json.dumps(SHORT["flat"], separators=(",", ":")).encode()
    head, _ = frame(body, "chunked")
    chunks = [b"".join(chunk) for chunk in in_chunks(body)]
    answers, expected = [], []
    for count in range(len(chunks) + 1):
        for garbage in GARBAGE:
            answers.append(cut_answer(head, b"".join(chunks[:count]) + garbage, how, is_at_once))
            expected.append(ID if count * 9 >= end_of_id(body) else None)
    assert expected == await ids_of(answers)


@pytest.mark.usefixtures("parser")
async def test_a_broken_chunk_is_not_waited_for():
    head, _ = frame(b"", "chunked")
    await ids_of([cut_answer(head, b"2\r\n{}\r\nzz\r\n", how, True) for how in ("close", "stall")])
    assert asyncio.get_running_loop().time() < 10


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_one_byte_after_the_end_does_not_lose_a_whole_response(framing):
    body = json.dumps(SHORT["enveloped"]).encode()
    head, parts = frame(body, framing)
    wire = b"".join(part for part, _ in parts)
    answers = [cut_answer(head, wire + more, "close", True) for more in (b"x", b"garbage\r\n", b"\x00", b"HTTP/1.1 5")]
    assert [ID] * len(answers) == await ids_of(answers)


async def test_an_interim_answer_before_the_head_changes_nothing():
    head, _ = frame(b"", "chunked")
    interim = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    assert [ID] == await ids_of([cut_answer(interim + head, b'f\r\n{"id":"vgcm4p"}\r\nzz', "close", True)])


async def test_an_answer_that_comes_byte_by_byte_is_read_as_one_that_comes_at_once():
    head, _ = frame(b"", "chunked")

    async def answer(writer):
        for byte in head + b'f\r\n{"id":"vgcm4p"}\r\nzz':
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)

    assert [ID] == await ids_of([answer])


async def test_a_stream_that_broke_before_it_was_read_is_emptied_all_the_same():
    stream = aiohttp.StreamReader(ResponseHandler(asyncio.get_running_loop()), 2**16)
    stream.feed_data(b"what ")
    stream.feed_data(b"came")
    stream.set_exception(aiohttp.ClientPayloadError())
    with pytest.raises(aiohttp.ClientPayloadError):
        await stream.readany()
    assert b"what came" == _rest(stream)
    assert b"" == _rest(stream)


async def test_a_body_without_a_length_that_ends_in_a_reset_counts_as_cut():
    async def answer(_, writer):
        writer.write(HEAD + b"\r\n{}")
        await end(writer, "reset")

    async with Peer(answer) as peer:
        transport = AiohttpTransport(KEY, peer.url)
        response = await transport.submit(Request("POST", "/x", POST_BODY))
        await transport.aclose()
    assert (b"{}", "the body ended before it was complete", "ConnectionResetError") == (
        response.body,
        response.cut,
        response.fault,
    )


# ── in a session ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def session(service):
    async with Session(AiohttpTransport(service.key, service.url)) as session:
        yield session


@pytest.mark.parametrize("is_wrapped", [False, True], ids=["flat", "enveloped"])
async def test_a_salvaged_id_counts_once_the_service_confirms_it(service, session, is_wrapped):
    service.fail("torn", after=True)
    if is_wrapped:
        service.fail("wrapped", times=100)
    service.fail("404", on="get", times=2)
    prediction = await session.run("x")
    assert [prediction.id] == [bill.id for bill in service.bills]
    assert ["POST", "GET", "GET", "GET"] == [request.method for request in service.requests][:4]


async def test_a_salvaged_id_that_the_service_does_not_know_leaves_the_submission_unknown(service, session):
    service.fail("torn", after=True)
    service.fail("404", on="get", times=100)
    with pytest.raises(UnknownSubmissionError) as caught:
        await session.run("x")
    error = caught.value
    assert (Money.UNKNOWN, service.bills[0].id, 201) == (error.money, error.prediction_id, error.status)
    assert "ClientPayloadError" == error.fault
    assert 1 == len(service.bills), "what may be paid for is not bought again"


async def test_an_id_that_was_cut_is_not_asked_after(service, session):
    service.fail("torn-early", after=True)
    with pytest.raises(UnknownSubmissionError) as caught:
        await session.run("x")
    assert caught.value.prediction_id is None
    assert ["POST"] == [request.method for request in service.requests]


@pytest.mark.parametrize(("commas", "found"), [(1_000, "abc"), (200_000, None)])
def test_an_id_after_a_hundred_thousand_parts_is_not_searched(commas, found):
    body = b'{"input": {"x": [' + b"1," * commas + b'1]}, "id": "abc", "status": "star'
    assert found == load_torn(body)
