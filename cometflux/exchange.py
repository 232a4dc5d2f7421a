"""One request on its way: whether it left, and what has come back so far, even when the rest never comes.

aiohttp hands out nothing of a piece of an answer in which it finds a fault, and an id that stands there may be paid
for. What is done about that stands here, with the public means of asyncio and aiohttp only.
"""

import asyncio
import contextlib
import io
import itertools
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import aiohttp

from cometflux.deadlines import Deadline, Deadlines


class Exchange(Deadline):
    """One request on its way: whether it left, and what has come back so far, even when the rest never comes."""

    def __init__(self, deadlines: Deadlines) -> None:
        super().__init__(deadlines)
        self.patience = deadlines.seconds
        self.has_left = False
        self.is_unconnected = False
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()
        self.fault: str | None = None
        self._content: aiohttp.StreamReader | None = None
        self._is_lost = False
        self._reset: str | None = None

    def leave(self) -> None:
        """Note that bytes are about to leave; from now on the time for the answer runs."""
        self.has_left = True
        self.start()

    def lose(self, error: Exception | None) -> None:
        """Note that the connection is gone."""
        self._is_lost = True
        self._reset = type(error).__name__ if error else None
        self._end()

    async def read(self, answer: aiohttp.ClientResponse, most: int) -> str | None:
        """Read the answer; return how it broke off, None when it is whole."""
        self.status, self.headers, self._content = answer.status, answer.headers, answer.content
        self._end()
        try:
            # read() would throw away what came of a torn body.
            while not answer.content.at_eof():
                self.body += await answer.content.readany()
                if len(self.body) > most:
                    return f"it is larger than {most} bytes"
        except BaseException:
            self.body += _rest(answer.content)
            raise
        if self._reset and not any(name in answer.headers for name in _FRAMES):
            # Only an orderly close ends a body that has no other end.
            self.fault = self._reset
        return "the body ended before it was complete" if self.fault else None

    def _end(self) -> None:
        """End a body whose connection is gone. aiohttp does not where its framing is broken; it would be waited for."""
        content = self._content
        if self._is_lost and content is not None and not content.is_eof() and content.exception() is None:
            self.fault = aiohttp.ClientPayloadError.__name__
            content.feed_eof()


_FRAMES = ("Content-Length", "Transfer-Encoding")


def _rest(content: aiohttp.StreamReader) -> bytes:
    """Take what a broken stream still holds. It hands out nothing while it has an error, so that is taken off first."""
    with contextlib.suppress(Exception):
        content.set_exception(None)  # type: ignore[arg-type]
        return content.read_nowait()
    return b""


tapping: ContextVar[Exchange] = ContextVar("tapping")
"""The exchange for which a connection is being made."""


class TappedConnector(aiohttp.TCPConnector):
    """Makes connections that hand an answer to aiohttp in such pieces that a broken end does not take all with it."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the signature is aiohttp's
    ) -> aiohttp.connector.Connection:
        """Make a connection, and stand between it and aiohttp."""
        connection = await super().connect(req, traces, timeout)
        transport = connection.transport
        if transport is not None:
            transport.set_protocol(_Tap(transport, tapping.get()))
        return connection


class _Tap(asyncio.Protocol):
    """Stands between a connection and aiohttp, and hands over the head of an answer apart from its body.

    aiohttp hands out nothing of a segment in which it finds a fault. So one bad byte behind the end of an answer that
    came in one segment, as small answers do, would take the id of a paid prediction with it.
    """

    def __init__(self, transport: asyncio.Transport, exchange: Exchange) -> None:
        self._transport = transport
        self._inner: Any = transport.get_protocol()
        self._exchange = exchange
        self._last = b""
        self._splits = _MOST_HEADS
        self._is_untouched = True

    def data_received(self, data: bytes) -> None:
        if self._is_untouched and _is_one_answer(data):
            # As most are: there is nothing behind its end that could be broken.
            self._inner.data_received(data)
            return
        self._is_untouched = False
        for part in self._parts(data):
            # aiohttp closes where it finds a fault, and takes no more.
            if not self._transport.is_closing():
                self._inner.data_received(part)

    def _parts(self, data: bytes) -> Iterator[bytes]:
        """Split *data* behind the first few blank lines; the first of them end heads."""
        if not self._splits:
            yield data
            return
        text = self._last + data
        places = [found.end() for found in itertools.islice(_BLANK_LINE.finditer(text), self._splits)]
        self._splits -= len(places)
        yield from (text[i:j] for i, j in itertools.pairwise([len(self._last), *places, len(text)]) if i < j)
        # The beginning of a blank line, perhaps.
        self._last = text[max(len(text) - 2, *places, 0) :]

    def eof_received(self) -> bool | None:
        keeps_open: bool | None = self._inner.eof_received()
        return keeps_open

    def connection_lost(self, error: Exception | None) -> None:
        self._inner.connection_lost(error)
        self._exchange.lose(error)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


# Interim answers (1xx) may come first.
_MOST_HEADS = 8
_BLANK_LINE = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length: ?([0-9]{1,9})\r")


def _is_one_answer(data: bytes) -> bool:
    """Whether *data* is the head of an answer and just as much behind it as the head announces."""
    head, _, body = data.partition(b"\r\n\r\n")
    head = head.lower() + b"\r"
    found = _LENGTH.search(head)
    return found is not None and int(found[1]) == len(body) and b"\ntransfer-encoding:" not in head


def body_of(data: bytes, exchange: Exchange) -> aiohttp.Payload:
    """Make a JSON body of which it is noted when it leaves: without that, proof that nothing did."""
    if len(data) > _LARGE_BODY:
        # In pieces, so that the loop is not held up while megabytes are written.
        return _LargeBody(io.BytesIO(data), exchange)
    return _SmallBody(data, exchange)


_LARGE_BODY = 512 * 1024


class _Departing(aiohttp.Payload):
    """Notes that it is about to be written. aiohttp holds the head back until then, to write both at once."""

    def __init__(self, value: Any, exchange: Exchange) -> None:
        super().__init__(value, content_type="application/json")
        self._exchange = exchange

    # By whichever way it is asked for its bytes: one that is missed would be taken for proof that nothing left.

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        self._exchange.leave()
        await super().write_with_length(writer, content_length)

    async def write(self, writer: Any) -> None:
        self._exchange.leave()
        await super().write(writer)  # type: ignore[safe-super]  # it stands before a class that has one

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        self._exchange.leave()
        return await super().as_bytes(encoding, errors)


class _SmallBody(_Departing, aiohttp.BytesPayload):
    pass


class _LargeBody(_Departing, aiohttp.BytesIOPayload):
    pass
