"""A proxy that makes a server seem far away: bytes arrive half a round trip later in each direction.

It forwards bytes, so it does not end TLS. It runs in a process of its own.
"""

import asyncio
import contextlib
import multiprocessing
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

ROUND_TRIP = 0.05
"""Seconds."""


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, opened: float) -> None:
    loop = asyncio.get_running_loop()
    due = opened
    while True:
        data = await reader.read(65536)
        # Later than the bytes before, because timers of the same time may fire in any order.
        due = max(due + 1e-6, loop.time() + ROUND_TRIP / 2)
        if not data:
            loop.call_at(due, writer.close)
            return
        loop.call_at(due, writer.write, data)


async def _forward(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # The proxy accepts at once; the far server would have taken a round trip.
    opened = asyncio.get_running_loop().time() + ROUND_TRIP * 1.5
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        await asyncio.gather(_pump(reader, far_writer, opened), _pump(far_reader, writer, opened))


async def _serve(pipe: Connection, port: int) -> None:
    server = await asyncio.start_server(partial(_forward, port), "127.0.0.1", 0, backlog=4096)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _run(pipe: Connection, port: int) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(pipe, port))


@contextlib.contextmanager
def far_away(base_url: str) -> Iterator[str]:
    """Run a proxy to the server of *base_url*; yield the base URL that leads through it."""
    here, there = multiprocessing.Pipe()
    port = urlsplit(base_url).port
    assert port is not None
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(there, port), daemon=True)
    process.start()
    there.close()
    try:
        yield base_url.replace(f":{port}/", f":{here.recv()}/")
    finally:
        process.terminate()
        process.join()
