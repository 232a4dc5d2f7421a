"""Stop submitting after several unknown submissions in a short time, or after a minute of rejected polls."""

from cometflux.errors import CometfluxError, RejectedError


class CircuitBreaker:
    """Trips when one submission after another is unknown: then something is broken, and more submissions cost money.

    In a row means in the order of sending: among many in flight, lost ones may be noticed before answered ones.
    """

    def __init__(self, most: int = 5, seconds: float = 900.0) -> None:
        self._most = most
        self._seconds = seconds
        self._sent = 0
        self._unknowns: dict[int, float] = {}

    def number(self) -> int:
        """Give a submission that is about to leave its place in the row."""
        self._sent += 1
        return self._sent

    def unknown(self, number: int, now: float) -> bool:
        """Note that a submission is unknown; return whether there were too many in a row within the time."""
        self._unknowns = {each: at for each, at in self._unknowns.items() if now - at <= self._seconds}
        self._unknowns[number] = now
        first = last = number
        while first - 1 in self._unknowns:
            first -= 1
        while last + 1 in self._unknowns:
            last += 1
        return last - first + 1 >= self._most


class PollRefusals:
    """Trips when every poll of every prediction was rejected for a minute: new predictions could not be fetched."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._since: float | None = None

    def clear(self) -> None:
        """Begin anew: a poll was answered, or nothing is polled any more."""
        self._since = None

    def add(self, now: float, error: CometfluxError | None) -> bool:
        """Note why a poll failed; return whether polls have been rejected for long enough.

        A 404 may be a delay after a create, and any failure but a rejection says nothing about the next poll.
        """
        if not isinstance(error, RejectedError) or error.status not in (401, 403, 404):
            self._since = None
            return False
        self._since = now if self._since is None else self._since
        return now - self._since >= self._seconds
