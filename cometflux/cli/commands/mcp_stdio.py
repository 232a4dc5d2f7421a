"""The standard streams as a tool server uses them: lines in, lines out, and nothing else on stdout.

Threads of their own read and write, as daemons: neither a client that says nothing nor one that reads nothing keeps the
process from ending when it is told to.
"""

import asyncio
import contextlib
import json
import logging
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, Self

from cometflux.cli.terminal.streams import Outlet

_log = logging.getLogger("cometflux")

LONGEST_LINE = 128 * 1024 * 1024
"""The most bytes of one message; ten reference images of 8 MiB fit in."""
_CHUNK = 256 * 1024
_AHEAD = 16


class Lines:
    """The lines of a file as they arrive; ends with the file. Made on the loop that takes them.

    Args:
        descriptor: the file to read from; it stays open.
        longest: the most bytes of a line; a longer one is left out, and logged.
    """

    def __init__(self, descriptor: int, longest: int = LONGEST_LINE) -> None:
        self._descriptor = descriptor
        self._longest = longest
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(_AHEAD)
        threading.Thread(target=self._work, name="stdin", daemon=True).start()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        line = await self._lines.get()
        if line is None:
            raise StopAsyncIteration
        return line

    def end(self) -> None:
        """End it before the file does; from any thread."""
        self._hand_over(None)

    def _work(self) -> None:
        line = bytearray()
        is_left_out = False
        while chunk := self._read():
            *whole, rest = chunk.split(b"\n")
            for part in whole:
                if not is_left_out and not self._hand_over(bytes(line + part).decode("utf-8", "replace")):
                    return
                line.clear()
                is_left_out = False
            line += rest
            if len(line) > self._longest:
                _log.error("a message of more than %d bytes is left out; nothing was sent for it", self._longest)
                line.clear()
                is_left_out = True
        self.end()

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _CHUNK)
        except OSError as error:
            _log.error("stdin cannot be read: %s", error.strerror)
            return b""

    def _hand_over(self, line: str | None) -> bool:
        """Wait until there is room for it; False where nobody takes lines any more."""
        waiting = self._lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(waiting, self._loop).result()
        except (RuntimeError, asyncio.CancelledError):
            # The loop is closed, or is being closed.
            waiting.close()
            return False
        return True


async def answerable(lines: AsyncIterable[str], words: "Words") -> AsyncIterator[str]:
    """Hand on the messages that can be read, and refuse requests that cannot: their senders would wait for ever."""
    async for line in lines:
        if (refusal := _refusal(line)) is not None:
            await words.write(f"{refusal}\n")
        else:
            yield line


def _refusal(line: str) -> str | None:
    """Answer a request that the protocol's own reader takes for none; None for whatever else it is."""
    from mcp_types import INVALID_REQUEST, jsonrpc_message_adapter

    try:
        jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        number = _id_of(line)
        words = "this message cannot be read, or holds half a surrogate pair; nothing was sent for it"
        error = {"code": INVALID_REQUEST, "message": words}
        return None if number is None else json.dumps({"jsonrpc": "2.0", "id": number, "error": error})
    return None


def _id_of(line: str) -> str | int | None:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    number = message.get("id") if isinstance(message, dict) and "method" in message else None
    return number if isinstance(number, str | int) else None


class Words:
    """What is written to a file, in order, without waiting for its reader.

    Args:
        descriptor: the file to write to; it stays open.
        refused: called once, in another thread, when it cannot be written to.
    """

    def __init__(self, descriptor: int, refused: Callable[[], object]) -> None:
        self._outlet = Outlet(descriptor, lambda _: refused())

    async def write(self, text: str) -> None:
        """Hand over what is to be written."""
        self._outlet.write(text.encode())

    async def flush(self) -> None:
        """Do nothing: what is handed over is written at once."""

    def close(self, seconds: float) -> None:
        """Wait until all is written, or *seconds* are over."""
        self._outlet.drain(seconds)
        self._outlet.close()


@contextlib.contextmanager
def kept_clean() -> Any:
    """Yield a descriptor that leads to stdout; whatever else writes there meanwhile is led to stderr."""
    wire = os.dup(1)
    os.dup2(2, 1)
    try:
        yield wire
    finally:
        os.dup2(wire, 1)
        os.close(wire)
