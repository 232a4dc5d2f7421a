"""How fast to send: one brake for every task of a session, and the circuit breaker. Time is a parameter."""

FIRST_PAUSE = 1.0
"""Seconds to pause after a first 429 that names no time; it doubles with each pause that earns another."""
LONGEST_OWN_PAUSE = 30.0
"""The longest pause that we choose ourselves, in seconds."""


class Pacer:
    """A pause for all when the service asks to slow down, and a careful start after it.

    One task's 429 stops every task. After the pause, requests leave one by one, at a gap that shrinks with every
    success; so the pause does not end in a herd that earns the next one.
    """

    def __init__(self, widest_gap: float = 1.0) -> None:
        self._widest_gap = widest_gap
        self._resume = 0.0
        self._paused_at = 0.0
        self._pauses = 0
        self._gap = 0.0
        self._next = 0.0

    def reserve(self, now: float) -> float:
        """Take a place in the line: when this request may leave. Ask again if there was a pause meanwhile."""
        leave = max(now, self._resume, self._next)
        self._next = leave + self._gap
        return leave

    def is_paused(self, now: float) -> bool:
        """Whether every task has to wait."""
        return now < self._resume

    @property
    def resume(self) -> float:
        """When the pause ends, or ended."""
        return self._resume

    def refused(self, sent: float, now: float, retry_after: float | None) -> float:
        """Pause because a request that left at *sent* was refused; return the length of the pause in seconds.

        Refusals of requests that had left before the pause began belong to the same pause.
        """
        if sent < self._paused_at:
            self._resume = max(self._resume, now + (retry_after or 0.0))
            return max(self._resume - now, 0.0)
        self._pauses += 1
        own = min(FIRST_PAUSE * 2.0 ** min(self._pauses - 1, 16), LONGEST_OWN_PAUSE)
        wait = own if retry_after is None else retry_after
        self._paused_at = now
        self._resume = max(self._resume, now + wait)
        # Places beyond the pause are still held by those who wait for them.
        self._next = max(self._next, self._resume)
        self._gap = min(max(2 * self._gap, 0.02), self._widest_gap)
        return self._resume - now

    def hold(self, until: float) -> None:
        """Pause because others of the session were refused."""
        self._resume = max(self._resume, until)
        self._next = max(self._next, until)

    def accepted(self, sent: float) -> None:
        """Recover a little, because a request that left at *sent* was let through.

        One that had left before the pause began says nothing of the pace after it.
        """
        if self._gap and sent > self._paused_at:
            self._pauses = 0
            self._gap = 0.0 if self._gap < 0.001 else self._gap * 0.9


class Breaker:
    """Trips when one submission after another ends in no proof: then something is broken that money cannot mend.

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
        """Note that a submission is of unknown fate; tell whether there were too many in a row within the time."""
        self._unknowns = {each: at for each, at in self._unknowns.items() if now - at <= self._seconds}
        self._unknowns[number] = now
        first = last = number
        while first - 1 in self._unknowns:
            first -= 1
        while last + 1 in self._unknowns:
            last += 1
        return last - first + 1 >= self._most
