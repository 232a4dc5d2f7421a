"""Read and write the lines of the tool server's protocol on stdin and stdout, and keep everything else off stdout.

Daemon threads read and write, so the process can end even if the client neither sends nor reads anything.
"""

import asyncio
import contextlib
import json
import os
import re
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, Self

from cometflux.basics.plain_text import log as _log
from cometflux.cli.terminal.streams import Outlet

LONGEST_LINE = 128 * 1024 * 1024
"""Most bytes of one message; ten reference images of 8 MiB fit."""
_CHUNK = 256 * 1024
_AHEAD = 16


class Lines:
    """Yields the lines of a file as they arrive, until its end. Create it on the event loop that iterates over it.

    Args:
        descriptor: the file to read from; it stays open.
        longest: most bytes of a line; a longer line is skipped and logged.
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
        """End the iteration before the file ends. Can be called from any thread."""
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
        """Queue a line, and wait while the queue is full. Return False if the loop has ended."""
        waiting = self._lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(waiting, self._loop).result()
        except (RuntimeError, asyncio.CancelledError):
            # The loop is closed, or is being closed.
            waiting.close()
            return False
        return True


async def answerable(lines: AsyncIterable[str], words: "Words") -> AsyncIterator[str]:
    """Yield the valid messages, and respond to invalid requests with an error, so that the client does not wait."""
    async for line in lines:
        if (refusal := _refusal(line)) is not None:
            await words.write(f"{refusal}\n")
        else:
            yield line


def _refusal(line: str) -> str | None:
    """Return an error response if *line* is a request that the package's own reader would skip; else None."""
    from mcp_types import INVALID_REQUEST, jsonrpc_message_adapter

    try:
        jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        number = _id_of(line)
        words = "this message cannot be read, or holds half a surrogate pair; nothing was sent for it"
        error = {"code": INVALID_REQUEST, "message": words}
        return None if number is None else json.dumps({"jsonrpc": "2.0", "id": number, "error": error}, allow_nan=False)
    return None


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]|[^][{}:,"\s]+')


def _id_of(line: str) -> str | int | None:
    """Return the id of a request; None if it has none. Its values may be too long or too deep for a reader of JSON."""
    depth, tokens = 0, list[str]()
    for found in _TOKEN.finditer(line):
        if found[0] in "]}":
            depth -= 1
            continue
        if depth == 1:
            tokens.append(found[0])
        depth += found[0] in "[{"
    members = dict(zip(tokens[::2], tokens[1::2], strict=False))
    with contextlib.suppress(ValueError):
        number = json.loads(members.get('"id"', "null")) if '"method"' in members else None
        return number if isinstance(number, str | int) else None
    return None


class Words:
    """Writes texts to a file in order, without waiting for its reader.

    Args:
        descriptor: the file to write to; it stays open.
        refused: called once, in another thread, when a write fails.
    """

    def __init__(self, descriptor: int, refused: Callable[[], object]) -> None:
        self._outlet = Outlet(descriptor, lambda _: refused())

    async def write(self, text: str) -> None:
        """Queue *text*."""
        self._outlet.write(text.encode())

    async def flush(self) -> None:
        """Do nothing: the thread writes queued texts without delay."""

    def close(self, seconds: float) -> None:
        """Wait until all is written or *seconds* are over."""
        self._outlet.drain(seconds)
        self._outlet.close()


@contextlib.contextmanager
def kept_clean() -> Any:
    """Yield a descriptor of stdout. Everything else that is written to stdout meanwhile goes to stderr."""
    wire = os.dup(1)
    os.dup2(2, 1)
    try:
        yield wire
    finally:
        os.dup2(wire, 1)
        os.close(wire)
