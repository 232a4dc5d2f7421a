"""A service that accepts a submission, bills it, and closes the connection without a response."""

import asyncio
import json
import ssl
from types import TracebackType
from typing import Self

_IMAGE = "https://replicate.delivery/xezq/out-0.webp"
_PREDICTION = {
    "id": "rrr4z55ocneqzikepnug6xezpe",
    "model": "black-forest-labs/flux-schnell",
    "version": "hidden",
    "input": {"prompt": "a paper boat"},
    "output": [_IMAGE],
    "error": None,
    "logs": "",
    "status": "succeeded",
    "created_at": "2026-01-01T10:18:07.51Z",
    "completed_at": "2026-01-01T10:18:08.12Z",
    "urls": {},
}
_ANSWERS = {
    "/replicate/v1/models/": _PREDICTION,
    "/v1/models/": _PREDICTION,
    "/v1/images/generations": {"created": 0, "data": [{"url": _IMAGE}]},
    "/fal-ai/": {"images": [{"url": _IMAGE}]},
}


class Losing:
    """Reads and bills every POST, and responds only after the first *lost* POSTs; never if *lost* is None.

    A request that it does not understand is added to `strange` and not billed. The figures are wrong then.
    """

    def __init__(self, lost: int | None, tls: ssl.SSLContext) -> None:
        self.bills = 0
        self.strange: list[str] = []
        self._lost = lost
        self._tls = tls
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> Self:
        for tls in (None, self._tls):
            self._servers.append(await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()

    @property
    def hosts(self) -> tuple[str, str]:
        """Its ports: without and with TLS."""
        plain, tls = (f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in self._servers)
        return plain, tls

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
            answer = None if request is None else self._take(request)
            if answer is not None:
                writer.write(answer)
                await writer.drain()
        except Exception as error:  # noqa: BLE001 - after any error the connection closes, as after a lost response
            self.strange.append(repr(error))
        finally:
            writer.close()

    def _take(self, request: str) -> bytes | None:
        body = next((body for start, body in _ANSWERS.items() if request.startswith(f"POST {start}")), None)
        if body is None:
            self.strange.append(request)
            return _answer("404 Not Found", {})
        self.bills += 1
        is_lost = self._lost is None or self.bills <= self._lost
        return None if is_lost else _answer("200 OK", body)


async def _read(reader: asyncio.StreamReader) -> str | None:
    """Read a request whole; return its method and path. None if the connection was only opened, as one in reserve."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    lines = head.lower().split("\r\n")
    lengths = [int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")]
    await reader.readexactly(sum(lengths))
    return head.partition(" HTTP/")[0]


def _answer(status: str, body: object) -> bytes:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text
