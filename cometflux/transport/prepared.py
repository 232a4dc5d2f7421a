"""Connections that are opened before their submissions need them. Each carries one request, and soon.

Opening a connection over TLS takes two round trips. If it is open when the intent is on the disk, a submission takes
one round trip instead of three.
"""

import asyncio
import contextlib
import select
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

import aiohttp

from cometflux.transport.deadlines import Deadlines

LONGEST_IDLE = 1.0
"""How long a prepared connection may wait for its request, in seconds."""
MOST_PREPARED = 16

Connect = Callable[[], Awaitable[aiohttp.connector.Connection]]


class PreparedConnections:
    """A line of open connections for the next submissions.

    The line is as long as the last submissions needed. It grows by one if a submission finds no open connection,
    shrinks by one if a connection is not used in time, and begins again with one if a connection cannot be used.

    Args:
        connect: opens a connection.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._line: deque[_Prepared] = deque()
        self._length = 1
        self._deadlines = Deadlines(LONGEST_IDLE)

    def prepare(self) -> Coroutine[Any, Any, None] | None:
        """Return what opens the connections that the line lacks; None if it lacks none. It raises nothing."""
        return self._fill() if len(self._line) < self._length else None

    async def _fill(self) -> None:
        while len(self._line) < self._length:
            prepared = _Prepared(self._deadlines, self._drop)
            self._line.append(prepared)
            if not await prepared.open(self._connect):
                return

    async def take(self) -> aiohttp.connector.Connection | None:
        """Return the connection that was prepared first, and forget it; None if no connection is fit for a request."""
        if not self._line or not self._line[0].is_over.is_set():
            self._length = min(self._length + 1, MOST_PREPARED)
        # Not those that are begun meanwhile: without a network each of them fails, too, and this would not end.
        left = len(self._line)
        while left and self._line:
            left -= 1
            if (connection := await self._line.popleft().take()) is not None:
                return connection
            self._length = 1
        return None

    def _drop(self, prepared: "_Prepared") -> None:
        """Forget a connection that was not used in time."""
        with contextlib.suppress(ValueError):
            self._line.remove(prepared)
            self._length = max(self._length - 1, 1)

    def close(self) -> None:
        """Close every connection that no submission has taken."""
        while self._line:
            self._line.popleft().close()
        self._deadlines.close()


class _Prepared(asyncio.Protocol):
    """A connection without a request, and its protocol meanwhile. It is unfit as soon as anything comes on it."""

    def __init__(self, deadlines: Deadlines, drop: Callable[["_Prepared"], None]) -> None:
        self._deadlines = deadlines
        self._drop = drop
        self._connection: aiohttp.connector.Connection | None = None
        self._inner: aiohttp.client_proto.ResponseHandler | None = None
        self._is_closed = False
        self.is_over = asyncio.Event()
        """Set when the connection is open, or has failed."""
        self._is_touched = False

    async def open(self, connect: Connect) -> bool:
        """Open the connection; return whether it is open. If not, a submission connects by itself, and reports why."""
        try:
            with contextlib.suppress(Exception):
                connection = await connect()
                self._connection, self._inner = connection, connection.protocol
                self._deadlines.add(self)
                if connection.transport is not None:
                    connection.transport.set_protocol(self)
        finally:
            self.is_over.set()
            if self._is_closed:
                self.close()
        return self._connection is not None

    async def take(self) -> aiohttp.connector.Connection | None:
        """Return the connection as soon as it is open, with aiohttp's protocol; None if it is not fit for a request."""
        try:
            await self.is_over.wait()
            if self._connection is not None and may_have_unread(self._connection.transport):
                # In the first turn, the loop finds what has come; in the second one, it is read.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        except BaseException:
            self.close()
            raise
        connection, inner = self._connection, self._inner
        if connection is None or inner is None or not self._is_fit(connection, inner):
            self.close()
            return None
        self._deadlines.remove(self)
        assert connection.transport is not None
        connection.transport.set_protocol(cast("asyncio.Protocol", inner))
        return connection

    def _is_fit(self, connection: aiohttp.connector.Connection, inner: aiohttp.client_proto.ResponseHandler) -> bool:
        is_connected = connection.transport is not None and not connection.transport.is_closing()
        # aiohttp has what came at first.
        is_untouched = not self._is_touched and not inner.should_close
        return is_connected and is_untouched and not self._deadlines.is_due(self)

    def expire(self) -> None:
        """Close the connection, because no submission took it in time."""
        self._drop(self)
        self.close()

    def close(self) -> None:
        """Close the connection; if it is being opened, as soon as it is open."""
        self._is_closed = True
        self._deadlines.remove(self)
        if self._connection is not None:
            self._connection.close()

    def data_received(self, _: bytes) -> None:
        self._is_touched = True

    def eof_received(self) -> None:
        self._is_touched = True

    def connection_lost(self, error: Exception | None) -> None:
        self._is_touched = True
        if self._inner is not None:
            self._inner.connection_lost(error)


def may_have_unread(transport: asyncio.BaseTransport | None) -> bool:
    """Whether bytes or an end may have come that the loop has not handed over yet."""
    if transport is None or not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        # Another loop may have taken them from the system already.
        return True
    try:
        return bool(select.select([transport.get_extra_info("socket")], (), (), 0)[0])
    except (OSError, TypeError, ValueError):
        # It is closed, or its number is too large for this call.
        return True
