"""A transport without a socket. Every response is immediate, so that only the session is measured."""

import asyncio

from benchmarks.server import answer_created, answer_ended
from cometflux.protocol.requests import Request, Response

_INPUT = b'"input":{"prompt":"a paper boat"}'


class Instant:
    """Accepts every submission. A poll finds its prediction succeeded, or still pending if *is_over* is False."""

    def __init__(self, *, is_over: bool = True) -> None:
        self._is_over = is_over
        self._accepted = 0
        self._has_accepted = asyncio.Event()

    async def accepted(self, count: int) -> None:
        """Wait until *count* submissions are accepted."""
        while self._accepted < count:
            self._has_accepted.clear()
            await self._has_accepted.wait()
        await asyncio.sleep(0.1)  # until the last response is read

    async def submit(self, request: Request) -> Response:
        """Accept a submission."""
        # As over a socket, other tasks run in between.
        await asyncio.sleep(0)
        self._accepted += 1
        self._has_accepted.set()
        # The service repeats the input.
        assert request.body is not None
        body = answer_created(b"%026d" % self._accepted).replace(_INPUT, request.body[1:-1])
        return Response(status=201, body=body)

    async def send(self, request: Request) -> Response:
        """Return the state of a prediction."""
        await asyncio.sleep(0)
        name = request.path.rpartition("/")[2].encode()
        return Response(status=200, body=answer_ended(name) if self._is_over else answer_created(name))

    async def download(self, url: str) -> bytes:
        """Refuse: no image is saved here."""
        raise AssertionError("nothing is saved here")

    async def aclose(self) -> None:
        """Do nothing."""
