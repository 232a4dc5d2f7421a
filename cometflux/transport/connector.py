"""A connector that keeps a copy of the response's bytes and knows whether the request's body left."""

import asyncio
import io
import itertools
import re
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import aiohttp

from cometflux.transport.exchange import _LARGE_BODY, Exchange, _LargeBody, _SmallBody

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
