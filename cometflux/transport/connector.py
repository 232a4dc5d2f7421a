"""A connector that saves as much of a broken response as it can. It may open connections before their requests."""

import asyncio
import itertools
import re
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

import aiohttp
from yarl import URL

from cometflux.protocol.salvage import is_complete
from cometflux.transport.exchange import Exchange
from cometflux.transport.prepared import PreparedConnections

tapping: ContextVar[Exchange] = ContextVar("tapping")
"""The exchange for which a connection is being made."""


class TappedConnector(aiohttp.TCPConnector):
    """Makes connections that pass a response to aiohttp in pieces, so that a broken end does not lose the rest."""

    _prepared: PreparedConnections | None = None
    _destination: aiohttp.ClientRequest | None = None

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the signature is aiohttp's
    ) -> aiohttp.connector.Connection:
        """Make a connection, or take a prepared one, and put a tap between it and aiohttp."""
        connection = None if self._prepared is None else await self._prepared.take()
        if connection is None:
            connection = await super().connect(req, traces, timeout)
        transport = connection.transport
        if transport is not None:
            transport.set_protocol(_Tap(transport, tapping.get()))
        return connection

    def prepare(self, url: URL, timeout: aiohttp.ClientTimeout) -> Coroutine[Any, Any, None] | None:
        """Return what opens connections to *url* for the next requests; see `PreparedConnections`."""
        if self._prepared is None:
            self._prepared = PreparedConnections(partial(self._connect_to, url, timeout))
        return self._prepared.prepare()

    async def _connect_to(self, url: URL, timeout: aiohttp.ClientTimeout) -> aiohttp.connector.Connection:  # noqa: ASYNC109 - aiohttp's
        if self._destination is None:
            # It is not sent. It says where to connect.
            self._destination = aiohttp.ClientRequest("POST", url, loop=asyncio.get_running_loop())
        return await super().connect(self._destination, [], timeout)

    def close(self, **options: Any) -> Any:
        """Close every connection."""
        # First aiohttp, which waits for the end of those that it still has.
        closing = super().close(**options)
        if self._prepared is not None:
            self._prepared.close()
        return closing


class _Tap(asyncio.Protocol):
    """Sits between a connection and aiohttp, and passes on the head of a response separately from its body.

    aiohttp discards a whole segment if it finds a fault in it. A small response comes in one segment, so one bad byte
    after its end would lose the id of a paid prediction.
    """

    def __init__(self, transport: asyncio.Transport, exchange: Exchange) -> None:
        self._inner = cast("Any", transport.get_protocol())
        self._exchange = exchange
        exchange.transport = transport
        self._transport = self._inner.transport = _HeldTransport(transport, exchange, self._part)
        self._last = b""
        self._splits = _MOST_HEADS
        self._is_untouched = True

    def data_received(self, data: bytes) -> None:
        self._exchange.keep(data)
        if self._transport.is_closing():
            return
        if self._is_untouched and _is_one_response(data):
            # The usual case: nothing follows the response that could be broken.
            self._exchange.is_whole = is_complete(data[data.index(b"\r\n\r\n") :])
            self._inner.data_received(data)
            return
        self._is_untouched = False
        for part in self._parts(data):
            # aiohttp closes the transport at a fault, and accepts no more data.
            if not self._transport.is_closing():
                self._inner.data_received(part)

    def _parts(self, data: bytes) -> Iterator[bytes]:
        """Split *data* after each of the first few blank lines, because a blank line ends a head."""
        if not self._splits:
            yield data
            return
        text = self._last + data
        places = [found.end() for found in itertools.islice(_BLANK_LINE.finditer(text), self._splits)]
        self._splits -= len(places)
        yield from (text[i:j] for i, j in itertools.pairwise([len(self._last), *places, len(text)]) if i < j)
        # These bytes may be the start of a blank line.
        self._last = text[max(len(text) - 2, *places, 0) :]

    def eof_received(self) -> bool | None:
        keeps_open: bool | None = self._inner.eof_received()
        return keeps_open

    def _part(self) -> None:
        """Tell aiohttp that the connection is closed, as it would hear it if it were."""
        self._inner.connection_lost(None)
        self._exchange.part()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._transport.is_held:
            self._inner.connection_lost(error)
        self._exchange.lose(error)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class _HeldTransport:
    """The transport that aiohttp sees. If aiohttp closes it early, the rest of the response still reaches the tap."""

    def __init__(self, transport: asyncio.Transport, exchange: Exchange, part: Callable[[], None]) -> None:
        self._transport = transport
        self._exchange = exchange
        self._part = part
        self.is_held = False
        """Whether aiohttp closed it, and the connection is still open."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self.is_held or self._transport.is_closing()

    def close(self) -> None:
        self._close(self._transport.close)

    def abort(self) -> None:
        self._close(self._transport.abort)

    def _close(self, close: Callable[[], None]) -> None:
        if self._exchange.is_whole or self._transport.is_closing():
            close()
        elif not self.is_held:
            self.is_held = True
            self._exchange.hold(close)
            # aiohttp may have paused it.
            self._transport.resume_reading()
            asyncio.get_running_loop().call_soon(self._part)


# Interim responses (1xx) may come first.
_MOST_HEADS = 8
_BLANK_LINE = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length: ?([0-9]{1,9})\r")


def _is_one_response(data: bytes) -> bool:
    """Whether *data* is one complete response: a head, and exactly as many bytes after it as the head announces."""
    head, _, body = data.partition(b"\r\n\r\n")
    head = head.lower() + b"\r"
    found = _LENGTH.search(head)
    return found is not None and int(found[1]) == len(body) and b"\ntransfer-encoding:" not in head
