"""Downloads that are slow: from a real socket server, on the virtual clock."""

import asyncio
import contextlib
import itertools

import pytest
from socket_server import Peer, http
from virtual_clock import now

from cometflux.errors import OutputError
from cometflux.transport.aiohttp import AiohttpTransport
from cometflux.transport.timeouts import Timeouts

KIB = 1024
LONG = http(200, b"", length=10**9)
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


async def fetch(answer, **times):
    """Fetch what *answer* writes; return the body, or else the error, and how many seconds it took."""

    async def respond(_, writer):
        with contextlib.suppress(ConnectionError):
            await answer(writer)

    async with Peer(respond) as peer:
        transport = AiohttpTransport("sk-key", peer.url, times=Timeouts(**times))
        began = now()
        try:
            return await transport.download(f"{peer.url}/x"), now() - began
        except OutputError as error:
            return error, now() - began
        finally:
            await transport.aclose()


def steadily(size, step, seconds, head=None):
    """Write *size* bytes, *step* bytes at a time, with so many seconds between two steps."""

    async def answer(writer):
        writer.write(http(200, b"", length=size) if head is None else head)
        for begin in range(0, size, step):
            await asyncio.sleep(seconds)
            writer.write(b"x" * min(step, size - begin))
            await writer.drain()

    return answer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "step", "seconds"),
    [(4, 1, 10), (100 * KIB, 10 * KIB, 9), (1000 * KIB, 100 * KIB, 50), (5000 * KIB, 10 * KIB, 1)],
    ids=["small and slow", "at about the least speed", "in bursts", "large, for eight minutes"],
)
async def test_a_download_may_be_slow_but_steady(size, step, seconds):
    body, took = await fetch(steadily(size, step, seconds))
    assert b"x" * size == body
    assert size / step * seconds == pytest.approx(took)


async def test_the_time_of_the_body_begins_when_the_head_has_come():
    async def answer(writer):
        await asyncio.sleep(55)
        await steadily(100 * KIB, 10 * KIB, 9)(writer)

    body, took = await fetch(answer)
    assert (100 * KIB, 145) == (len(body), pytest.approx(took))


def forever(beginning, piece):
    """Write *beginning*, then *piece* every ten seconds for ever."""

    async def answer(writer):
        writer.write(beginning)
        while True:
            await asyncio.sleep(10)
            writer.write(piece)
            await writer.drain()

    return answer


DRIPS = {
    "nothing at all": (b"", b"", None),
    "a head that drips": (HEAD, b"X: x\r\n", None),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", None),
    "a body that never begins": (LONG, b"", None),
    "a byte at a time": (LONG, b"x", 5),
    "a body that stops": (LONG + b"x" * 100 * KIB, b"", 0),
    "not quite the least speed": (LONG + b"x" * 100 * KIB, b"x" * 9 * KIB, 45 * KIB),
    "chunks of a byte": (HEAD + b"\r\n", b"1\r\nx\r\n", 5),
    "the head of a chunk that drips": (HEAD + b"\r\n3\r\nxxx\r\n1;a=", b"x", 3),
    "a trailer that drips": (HEAD + b"\r\n3\r\nxxx\r\n0\r\n", b"X: x\r\n", 3),
}
"""What begins, what drips then, and how many bytes of the body come in a minute; None if there is no body at all."""


@pytest.mark.parametrize(("beginning", "piece", "came"), DRIPS.values(), ids=DRIPS)
async def test_a_download_that_drips_ends_and_may_be_repeated(beginning, piece, came):
    error, took = await fetch(forever(beginning, piece))
    why = "nothing within 60 s" if came is None else f"too slow: {came} bytes in 60 s; at least 61440 must come"
    assert f"the output could not be fetched: {why}" == error.message
    assert error.is_transient
    assert 60 == pytest.approx(took, abs=0.1)


async def test_a_download_ends_when_its_whole_time_would_pass():
    error, took = await fetch(steadily(10**9, 20 * KIB, 10))
    assert "too slow: 1167360 bytes in 570 s, and 60 s more would pass the limit of 600 s" in str(error)
    assert error.is_transient
    assert 570 <= took <= 600


async def test_what_completes_a_download_is_not_thrown_away_when_its_time_is_over():
    body, took = await fetch(steadily(600 * KIB, 60 * KIB, 59))
    assert (600 * KIB, 590) == (len(body), pytest.approx(took))


async def test_the_times_of_a_download_can_be_set():
    error, took = await fetch(forever(LONG, b"x"), idle=15)
    assert "too slow: 1 bytes in 15 s; at least 15360 must come" in str(error)
    assert 15 == pytest.approx(took, abs=0.1)
    error, took = await fetch(steadily(10**9, 20 * KIB, 10), download=200)
    assert "would pass the limit of 200 s" in str(error)
    assert 140 <= took <= 200


async def test_redirects_count_as_parts_of_one_download():
    hops = itertools.count()

    async def redirect(writer):
        await asyncio.sleep(50)
        writer.write(http(302, b"", f"Location: /{next(hops)}"))

    error, took = await fetch(redirect)
    assert "redirected more than 3 times" in str(error)
    assert 200 == pytest.approx(took)


async def test_time_in_which_the_process_stood_still_does_not_count():
    async def answer(writer):
        writer.write(http(200, b"", length=800 * KIB))
        for number in range(20):
            await asyncio.sleep(20)
            writer.write(b"x" * 40 * KIB)
            if number % 7 == 0:
                asyncio.get_running_loop().advance(3600)

    body, _ = await fetch(answer)
    assert b"x" * 800 * KIB == body


async def test_a_slow_disk_does_not_make_a_download_slow():
    class SlowDisk:
        size = 0

        def add(self, chunk):
            self.size += len(chunk)
            return True

        async def put_away(self):
            await asyncio.sleep(1000)

    disk = SlowDisk()

    async def respond(_, writer):
        await steadily(1000 * KIB, 100 * KIB, 1)(writer)

    async with Peer(respond) as peer:
        transport = AiohttpTransport("sk-key", peer.url)
        assert b"" == await transport.download(f"{peer.url}/x", disk)
        await transport.aclose()
    assert 1000 * KIB == disk.size
