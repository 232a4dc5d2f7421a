"""Whether a download is too slow. It is measured in parts, and each part must come in time. Time is a parameter."""

import math

LEAST_SPEED = 1024
"""The least speed of a download, in bytes per second."""


class Progress:
    """How a download gets on, over all its redirects.

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
