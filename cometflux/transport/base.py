"""The interface of a transport."""

from typing import Protocol

from cometflux.protocol.requests import Request, Response


class Body(Protocol):
    """Takes the bytes of an output as they arrive."""

    def add(self, chunk: bytes) -> bool:
        """Take the next bytes. If this returns True, call `put_away` before more of them come."""

    async def put_away(self) -> None:
        """Make room for more bytes.

        Raises:
            OutputError: that is impossible.
        """


class Transport(Protocol):
    """Sends requests for a session. Implement it to send them in your own way.

    It may also have a method ``prepare()``, which a session calls before it writes the intent of a submission. The
    method returns a coroutine that opens connections for this submission and the next ones, or None. A failure of the
    coroutine is logged, and has no other consequence.
    """

    async def submit(self, request: Request) -> Response:
        """Send a submission, exactly once, on a new connection.

        Every accepted submission is billed. A reused connection may be stale, which loses the response.

        Raises:
            ConnectError: proof that nothing was sent.
            UnknownSubmissionError: the request may have been sent, and no response came.
            CancelledError: it was cancelled. The error may have two attributes: ``has_left``, False if nothing was
                sent; and ``prediction_id``, an id that had arrived by then.
        """

    async def send(self, request: Request) -> Response:
        """Send a request that is not billed: a poll or a cancel.

        Raises:
            ConnectError: no connection could be made.
            AnswerError: no response came.
        """

    async def download(self, url: str) -> bytes:
        """Fetch an output, without the key.

        If the method has the parameter of `StreamingTransport.download` as well, a large output is not held in memory.

        Raises:
            OutputError: the output cannot be fetched.
        """

    async def aclose(self) -> None:
        """Close every connection."""


class StreamingTransport(Transport, Protocol):
    """A transport that can hand over an output while it arrives."""

    async def download(self, url: str, body: Body | None = None) -> bytes:
        """Fetch an output as `Transport.download` does; add it to *body* and return nothing if that is given."""
