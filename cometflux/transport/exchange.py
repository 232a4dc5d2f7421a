"""The state of one exchange: whether the request was sent, and how much of the response has come.

aiohttp discards a segment of a response if it finds a fault in it, and the segment may hold a paid id. This module
rescues it, with the public API of asyncio and aiohttp only.
"""

import asyncio
import contextlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from cometflux.protocol import salvage
from cometflux.transport.deadlines import Deadline, Deadlines


class Exchange(Deadline):
    """One exchange: whether the request was sent, and the response so far, even if the rest never comes."""

    def __init__(self, deadlines: Deadlines) -> None:
        super().__init__(deadlines)
        self.patience = deadlines.seconds
        self.has_left = False
        self.is_unconnected = False
        self.transport: asyncio.BaseTransport | None = None
        """The connection; None before it is made."""
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()
        self.fault: str | None = None
        self.wire: list[bytes] = []
        """The response as it came over the connection, up to a limit: aiohttp may refuse its head."""
        self._room = _MOST_WIRE
        self._content: aiohttp.StreamReader | None = None
        self.is_whole = False
        """Whether the response came in one segment and ends as JSON does, so that nothing can follow."""
        self._is_parted = False
        self._is_lost = False
        self._reset: str | None = None
        self._held: Callable[[], None] | None = None
        self._is_over = False
        self._news: asyncio.Event | None = None

    def leave(self) -> None:
        """Record that bytes are about to be sent, and start the timeout for the response.

        Raises:
            ConnectionResetError: the connection was closed before that. Nothing is sent.
        """
        if self._is_lost or (self.transport is not None and self.transport.is_closing()):
            raise ConnectionResetError("the connection was closed before the request was sent")
        self.has_left = True
        self.start()

    def keep(self, data: bytes) -> None:
        """Keep bytes of the connection, in case that aiohttp throws them away."""
        if self._room > 0:
            self.wire.append(data)
            self._room -= len(data)
        self._tell()

    def lose(self, error: Exception | None) -> None:
        """Record that the connection is closed."""
        self._is_lost = True
        self._reset = type(error).__name__ if error else None
        self.part()
        self._tell()

    def part(self) -> None:
        """Record that aiohttp gets nothing more of the connection."""
        self._is_parted = True
        self._end()

    def hold(self, close: Callable[[], None]) -> None:
        """Call *close*, which closes the connection, when the exchange is over, because the rest may hold an id."""
        if self._is_over:
            close()
        else:
            self._held = close

    def let_go(self) -> None:
        """End the exchange: nothing more is read."""
        self._is_over = True
        if self._held is not None:
            self._held()

    async def find_id(self, *, waits: bool) -> str | None:
        """Find the prediction's id in the bytes of the connection; None if they do not show a whole one.

        If it *waits*, the rest of a response whose beginning displeased aiohttp gets a few seconds to come.
        """
        self._news = asyncio.Event()
        deadlines = Deadlines(_LONGEST_REST)
        with contextlib.suppress(TimeoutError), contextlib.closing(deadlines), Deadline(deadlines) as deadline:
            deadline.start()
            while waits and not (self._is_late or self._is_lost or self._room <= 0 or self.read_id()):
                self._news.clear()
                await self._news.wait()
        return self.read_id()

    def read_id(self) -> str | None:
        """Return the prediction's id if the bytes that have come show a whole one; else None."""
        return salvage.load_wire(b"".join(self.wire), is_any_shape=self.status is None)

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()

    async def read(self, response: aiohttp.ClientResponse, max_bytes: int, data_uris: int = 0) -> str | None:
        """Read the response; return how it broke off, None if it is complete.

        A response that has a data URI may be larger than *max_bytes* by *data_uris* bytes.
        """
        self.status, self.headers, self._content = response.status, response.headers, response.content
        self._end()
        try:
            # read() would discard the part of a torn body that did come.
            while not response.content.at_eof():
                self.body += await response.content.readany()
                if len(self.body) > max_bytes and data_uris and b'"data:' in self.body:
                    max_bytes, data_uris = max_bytes + data_uris, 0
                if len(self.body) > max_bytes:
                    return f"it is larger than {max_bytes} bytes"
        except BaseException:
            self.body += _rest(response.content)
            raise
        if self._reset and not any(name in response.headers for name in _FRAMES):
            # A body without a length is complete only if the connection was closed cleanly.
            self.fault = self._reset
        return "the body ended before it was complete" if self.fault else None

    def _end(self) -> None:
        """End a body whose connection is closed. aiohttp does not if the framing is broken, so reading would hang."""
        content = self._content
        if self._is_parted and content is not None and not content.is_eof() and content.exception() is None:
            self.fault = aiohttp.ClientPayloadError.__name__
            content.feed_eof()


_LONGEST_REST = 5.0
"""How long to wait for the rest of a response that aiohttp refused, in seconds."""
_MOST_WIRE = 8 * 1024 * 1024
_FRAMES = ("Content-Length", "Transfer-Encoding")


def _rest(content: aiohttp.StreamReader) -> bytes:
    """Return the bytes that a broken stream still holds. It returns none while it has an error, so clear that first."""
    with contextlib.suppress(Exception):
        content.set_exception(None)  # type: ignore[arg-type]
        return content.read_nowait()
    return b""


_LARGE_BODY = 512 * 1024


def body_of(data: bytes, exchange: Exchange) -> aiohttp.Payload:
    """Return a JSON body that records in *exchange* when it is sent. If it records nothing, nothing was sent."""
    if len(data) > _LARGE_BODY:
        # Written in pieces, because writing megabytes at once would block the loop.
        return _LargeBody(io.BytesIO(data), exchange)
    return _SmallBody(data, exchange)


class _Departing(aiohttp.Payload):
    """A body that records when it is about to be sent. aiohttp sends the head together with the body."""

    def __init__(self, value: Any, exchange: Exchange) -> None:
        super().__init__(value, content_type="application/json")
        self._exchange = exchange

    # Every method that writes or returns the bytes: a missed one would look like proof that nothing was sent.

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        self._exchange.leave()
        await super().write_with_length(writer, content_length)

    async def write(self, writer: Any) -> None:
        self._exchange.leave()
        await super().write(writer)  # type: ignore[safe-super]  # a later class in the MRO has one

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        self._exchange.leave()
        return await super().as_bytes(encoding, errors)


class _SmallBody(_Departing, aiohttp.BytesPayload):
    pass


class _LargeBody(_Departing, aiohttp.BytesIOPayload):
    pass
