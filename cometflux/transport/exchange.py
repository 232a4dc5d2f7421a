"""One request on its way: whether it left, and what has come back so far, even when the rest never comes.

aiohttp hands out nothing of a piece of an answer in which it finds a fault, and an id that stands there may be paid
for. What is done about that stands here, with the public means of asyncio and aiohttp only.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import aiohttp

from cometflux.transport.deadlines import Deadline, Deadlines


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
