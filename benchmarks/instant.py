"""A transport without a socket: every answer is there at once, so that what is measured is the session alone."""

import asyncio

from benchmarks.server import answer_created, answer_ended
from cometflux.protocol.requests import Request, Response

_INPUT = b'"input":{"prompt":"a paper boat"}'


class Instant:
    """Accepts every submission; a question finds its prediction succeeded, or under way where *is_over* is off."""

    def __init__(self, *, is_over: bool = True) -> None:
        self._is_over = is_over
        self._accepted = 0
        self._has_accepted = asyncio.Event()

    async def accepted(self, count: int) -> None:
        """Wait until so many submissions are accepted."""
        while self._accepted < count:
            self._has_accepted.clear()
            await self._has_accepted.wait()
        await asyncio.sleep(0.1)  # until the last answer is read

    async def submit(self, request: Request) -> Response:
        """Accept."""
        # As over a socket, others have their turn in between.
        await asyncio.sleep(0)
        self._accepted += 1
        self._has_accepted.set()
        # The service repeats the input.
        assert request.body is not None
        body = answer_created(b"%026d" % self._accepted).replace(_INPUT, request.body[1:-1])
        return Response(status=201, body=body)

    async def send(self, request: Request) -> Response:
        """Tell what became of a prediction."""
        await asyncio.sleep(0)
        name = request.path.rpartition("/")[2].encode()
        return Response(status=200, body=answer_ended(name) if self._is_over else answer_created(name))

    async def download(self, url: str) -> bytes:
        """Refuse."""
        raise AssertionError("nothing is saved here")

    async def aclose(self) -> None:
        """Close nothing."""
