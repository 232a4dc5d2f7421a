"""Stops submitting after several unknown submissions in a short time."""


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
