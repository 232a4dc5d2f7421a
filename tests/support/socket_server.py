"""Socket servers for tests of the transport. `Peer` reads whole requests and responds with any bytes."""

import asyncio
import contextlib
import inspect
import socket
import struct


class Server:
    """Serves each connection in a task of its own. The exit cancels these tasks."""

    def __init__(self, *, tls=None):
        self._tls = tls
        self._server = None
        self._tasks = set()
        self.port = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._run, "127.0.0.1", 0, ssl=self._tls, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        try:
            await self.serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(asyncio.current_task())
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def serve(self, reader, writer):
        """Serve one connection. It is closed afterwards."""
        raise NotImplementedError


class Peer(Server):
    """Responds to each request with the bytes that *answer* returns; None closes the connection without a response.

    If *answer* is a coroutine function, it also gets the writer and writes the response itself.
    """

    def __init__(self, answer, *, tls=None):
        super().__init__(tls=tls)
        self._answer = answer
        self.requests = []
        self.connections = 0

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def serve(self, reader, writer):
        self.connections += 1
        while (request := await _read_request(reader)) is not None:
            self.requests.append(request)
            if inspect.iscoroutinefunction(self._answer):
                await self._answer(request, writer)
                break
            answer = self._answer(request)
            if answer is None:
                break
            writer.write(answer)
            await writer.drain()


async def _read_request(reader):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return {"method": method, "path": path, "headers": headers, "body": body}


async def end(writer, how):
    """End a response early: by an orderly ``close``, a ``reset``, or a ``stall`` for ever."""
    await writer.drain()
    if how == "stall":
        await asyncio.sleep(1e6)
    if how == "reset":
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


def http(status=200, body=b"{}", *headers, reason="OK", length=None):
    """Encode an HTTP response."""
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
