"""The interface of a transport."""

from typing import Protocol

from cometflux.protocol.requests import Request, Response


class Transport(Protocol):
    """Moves bytes for a session. Implement it to send requests your own way."""

    async def submit(self, request: Request) -> Response:
        """Send a request that costs money, once, on a connection that cannot be stale.

        Raises:
            ConnectError: proof that nothing left.
            UnknownSubmissionError: something left, and no answer came.
        """

    async def ask(self, request: Request) -> Response:
        """Send a request that costs nothing.

        Raises:
            ConnectError: no connection came about.
            AnswerError: no answer came.
        """

    async def download(self, url: str) -> bytes:
        """Fetch an output, without the key.

        Raises:
            OutputError: it cannot be had.
        """

    async def aclose(self) -> None:
        """Close every connection."""
