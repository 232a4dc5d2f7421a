"""The interface of a transport."""

from typing import Protocol

from cometflux.protocol.requests import Request, Response


class Transport(Protocol):
    """Sends requests for a session. Implement it to send them in your own way."""

    async def submit(self, request: Request) -> Response:
        """Send a submission, exactly once, on a new connection.

        Every accepted submission is billed. A reused connection may be stale, which loses the response.

        Raises:
            ConnectError: proof that nothing was sent.
            UnknownSubmissionError: the request may have been sent, and no response came.
            CancelledError: it was cancelled. The error may have two attributes: ``has_left``, False if nothing left;
                and ``prediction_id``, an id that had come by then.
        """

    async def send(self, request: Request) -> Response:
        """Send a request that is not billed: a poll or a cancel.

        Raises:
            ConnectError: no connection could be made.
            AnswerError: no response came.
        """

    async def download(self, url: str) -> bytes:
        """Fetch an output, without the key.

        Raises:
            OutputError: the output cannot be fetched.
        """

    async def aclose(self) -> None:
        """Close every connection."""
