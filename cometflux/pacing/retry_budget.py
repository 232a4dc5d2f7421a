"""How many retries a session may send per minute."""

from collections import deque


class RetryBudget:
    """The maximum number of retries: 10 in a minute, or a tenth of the first tries if that is more.

    So a service that is down does not get several times as many requests. A request sent again after a 429 does not
    count: the pacer delays it.
    """

    def __init__(self, least: int = 10, share: float = 0.1) -> None:
        self._least = least
        self._share = share
        self._seconds: deque[list[int]] = deque()
        self._firsts = 0
        self._extras = 0

    def first(self, now: float) -> None:
        """Note a first try."""
        self._second(now)[1] += 1
        self._firsts += 1

    def take(self, now: float) -> float:
        """Take room for one more; return 0.0, or after how many seconds to ask again."""
        second = self._second(now)
        if self._extras >= max(self._least, int(self._share * self._firsts)):
            return 1.0
        second[2] += 1
        self._extras += 1
        return 0.0

    def _second(self, now: float) -> list[int]:
        """Return the counts of this second, and forget those of more than a minute ago."""
        number = int(now)
        seconds = self._seconds
        if seconds and seconds[-1][0] == number:
            return seconds[-1]
        # A second that is not over is kept whole: so no minute, wherever it begins, holds more.
        while seconds and not number - 61 < seconds[0][0] <= number:
            _, firsts, extras = seconds.popleft()
            self._firsts -= firsts
            self._extras -= extras
        seconds.append([number, 0, 0])
        return seconds[-1]
