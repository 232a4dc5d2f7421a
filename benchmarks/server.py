"""A server that responds as fast as it can, so that the client is measured.

It implements only the HTTP that these benchmarks use. It accepts every POST. A poll finds its prediction succeeded, or
still pending if lengths are given.
"""

import asyncio
import contextlib
import multiprocessing
import os
import ssl
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

PREFIX = "/replicate/v1"
_CREATED = (
    b'{"id":"%s","model":"black-forest-labs/flux-schnell","version":"hidden","input":{"prompt":"a paper boat"},'
    b'"logs":"","output":null,"data_removed":false,"error":null,"source":"api","status":"starting",'
    b'"created_at":"2026-01-01T10:18:07.51Z","urls":{"cancel":"https://api.replicate.com/v1/predictions/%s/cancel",'
    b'"get":"https://api.replicate.com/v1/predictions/%s"}}'
)
_ENDED = (
    b'{"id":"%s","model":"black-forest-labs/flux-schnell","version":"hidden","input":{"prompt":"a paper boat"},'
    b'"logs":"","output":["https://replicate.delivery/xezq/out-0.webp"],"data_removed":false,"error":null,'
    b'"source":"api","status":"succeeded","created_at":"2026-01-01T10:18:07.51Z",'
    b'"started_at":"2026-01-01T10:18:07.52Z","completed_at":"2026-01-01T10:18:08.12Z",'
    b'"metrics":{"image_count":1,"predict_time":0.6},"urls":{"get":"https://api.replicate.com/v1/predictions/%s"}}'
)


def answer_created(name: bytes) -> bytes:
    """Return the body of a pending prediction."""
    return _CREATED % (name, name, name)


def answer_ended(name: bytes) -> bytes:
    """Return the body of a succeeded prediction."""
    return _ENDED % (name, name)


class Answers(asyncio.Protocol):
    """Accepts every submission. Every prediction succeeds, at once or after its length."""

    count = 0
    lengths: Sequence[float] = ()
    """The duration of the first prediction, the second, and so on; if empty, each ends at once."""
    poll_count: Any = None
    """A shared counter of the polls; None to count none."""
    over: dict[bytes, float]
    """The end time of each prediction, by its id."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            start = head.find(b"content-length: ")
            length = int(head[start + 16 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            path = self._buffer[: self._buffer.find(b" HTTP/")]
            self._buffer = self._buffer[end + 4 + length :]
            self.answer(path, b"connection: close" in head)

    def answer(self, request: bytes, closes: bool) -> None:
        """Respond to one request."""
        if request.startswith(b"POST"):
            Answers.count += 1
            name = b"%026d" % Answers.count
            status, body = b"201 Created", answer_created(name)
            if self.lengths:
                self.over[name] = time.monotonic() + self.lengths[(Answers.count - 1) % len(self.lengths)]
        else:
            name = request.rpartition(b"/")[2]
            is_over = not self.lengths or time.monotonic() >= self.over[name]
            status, body = b"200 OK", answer_ended(name) if is_over else answer_created(name)
            if self.poll_count is not None:
                self.poll_count.value += 1
        self.write(status, body, closes)

    def write(self, status: bytes, body: bytes, closes: bool, more: bytes = b"") -> None:
        """Send a response, with *more* headers."""
        more += b"Connection: close\r\n" if closes else b""
        self._transport.write(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"
            % (status, len(body), more, body)
        )
        if closes:
            self._transport.close()


async def _serve(pipe: Connection, answers: type[Answers], certificate: str | None) -> None:
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(answers, "127.0.0.1", 0, backlog=4096, ssl=tls)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _run(
    pipe: Connection,
    core: int,
    answers: type[Answers],
    lengths: Sequence[float],
    poll_count: Any,
    certificate: str | None,
) -> None:
    os.sched_setaffinity(0, {core})
    answers.lengths, answers.poll_count, answers.over = lengths, poll_count, {}
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(pipe, answers, certificate))


def divide_cores() -> int:
    """Keep this process on one core, and return the core for the server: another one, if there is another."""
    own, other = (sorted(os.sched_getaffinity(0)) * 2)[:2]
    os.sched_setaffinity(0, {own})
    return other


@contextlib.contextmanager
def running(
    core: int,
    answers: type[Answers] = Answers,
    lengths: Sequence[float] = (),
    poll_count: Any = None,
    certificate: str | None = None,
) -> Iterator[str]:
    """Run the server in its own process, on *core*; yield the base URL.

    Args:
        core: the CPU core of the server.
        answers: the class of its protocol.
        lengths: the durations of the first prediction, the second, and so on, in seconds; repeated after the last.
            If empty, each ends at once.
        poll_count: a shared counter of the polls; None to count none.
        certificate: a file with a key and its certificate, for TLS; None for plain HTTP.
    """
    here, there = multiprocessing.Pipe()
    values = (there, core, answers, lengths, poll_count, certificate)
    process = multiprocessing.get_context("spawn").Process(target=_run, args=values, daemon=True)
    process.start()
    # Otherwise the other process would not notice that this end is closed.
    there.close()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{here.recv()}{PREFIX}"
    finally:
        process.terminate()
        process.join()
