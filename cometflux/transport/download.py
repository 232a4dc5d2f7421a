"""The state of one download: how much of the output has come, and how long the rest may take."""

import io
import math
from collections.abc import AsyncIterable

from cometflux.errors import OutputError
from cometflux.transport.base import Body
from cometflux.transport.deadlines import Deadline, Deadlines

LEAST_SPEED = 1024
"""The least speed of a download, in bytes per second."""


class Memory:
    """Holds the body of a download in memory."""

    def __init__(self) -> None:
        # Grows without a copy, returns its bytes without one, and small parts take no more room in it than they have.
        self._bytes = io.BytesIO()

    def add(self, chunk: bytes) -> bool:
        """Take the next bytes; there is always room for more."""
        self._bytes.write(chunk)
        return False

    async def put_away(self) -> None:
        """Do nothing."""

    def read(self) -> bytes:
        """Return all the bytes."""
        return self._bytes.getvalue()


class Progress:
    """Whether a download is too slow, over all its redirects. It is measured in parts. Time is a parameter.

    A part is as many bytes as come in *window* seconds at the least speed, and has that time to come. So a download of
    known size is over in the time that its size takes at the least speed, and one more window.

    Args:
        window: the time of one part, in seconds. The caller ends the download if it passes without a new part.
        longest: the time of the whole download, in seconds. No part begins if its window would pass it.
    """

    def __init__(self, window: float, longest: float) -> None:
        self._window = window
        self._longest = longest
        self._part = int(window * LEAST_SPEED)
        # The first turn ends no part.
        self._since, self._spent = -math.inf, -window
        self.end = 0
        """How many bytes there are when the part is complete."""

    def turn(self, received: int, now: float) -> bool:
        """Begin a part at *received* bytes of the body; return False if the whole download has no time left for it."""
        took = now - self._since
        # More than a window can only be time in which the process stood still.
        self._spent += min(self._window, took)
        self._since = now
        self.end = received + self._part
        return self._spent + self._window <= self._longest

    def go_on(self, now: float) -> None:
        """Go on after a time in which nothing was read."""
        self._since = now

    def describe_slow(self, received: int) -> str:
        """Describe a download whose part did not come in time."""
        if not received:
            return f"nothing within {self._window:g} s"
        came = received - self.end + self._part
        return f"too slow: {came} bytes in {self._window:g} s; at least {self._part} must come"

    def describe_long(self, received: int) -> str:
        """Describe a download whose whole time is over."""
        return (
            f"too slow: {received} bytes in {self._spent:.0f} s, and {self._window:g} s more would pass the limit of "
            f"{self._longest:g} s"
        )


class Download(Deadline):
    """One download, over all its redirects. It raises `TimeoutError` if a part does not come in time.

    Args:
        deadlines: end a download of which no part came in time.
        longest: the time of the whole download, in seconds.
        largest: maximum bytes of the body.
    """

    def __init__(self, deadlines: Deadlines, longest: float, largest: int) -> None:
        super().__init__(deadlines)
        self._progress = Progress(deadlines.seconds, longest)
        self._largest = largest
        self._received = 0

    def begin_head(self) -> None:
        """Start the time in which the head of a response must come."""
        self._progress.turn(0, self._deadlines.add(self))

    async def read(self, chunks: AsyncIterable[bytes], body: Body) -> None:
        """Read the body, whose head has come, into *body*.

        Raises:
            OutputError: the body is too large, or has no time left.
        """
        progress = self._progress
        received = self._received = 0
        has_time = progress.turn(0, self._deadlines.add(self))
        async for chunk in chunks:
            # Raised no earlier, because the chunk before may have been the last one.
            if not has_time:
                raise OutputError(f"the output could not be fetched: {progress.describe_long(received)}", True)
            received += len(chunk)
            self._received = received
            if received > self._largest:
                raise OutputError(f"the output is larger than {self._largest} bytes")
            is_full = body.add(chunk)
            if is_full or received >= progress.end:
                has_time = progress.turn(received, self._deadlines.add(self))
            if is_full:
                # A slow disk does not make the download slow.
                self._deadlines.remove(self)
                await body.put_away()
                progress.go_on(self._deadlines.add(self))

    def describe(self) -> str:
        """Describe a download that was ended because a part did not come in time."""
        return self._progress.describe_slow(self._received)
