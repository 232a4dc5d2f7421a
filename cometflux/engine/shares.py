"""Places that hosts share."""


class Shares:
    """A number of places, of which a host may hold as many as remain free.

    One host alone gets half of them. The more hosts hold places, the fewer each one gets, and the next host finds one.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._held: dict[str, int] = {}

    def take(self, host: str) -> bool:
        """Take a place for *host*; return False if it must wait."""
        held = self._held.get(host, 0)
        if held >= self._free:
            return False
        self._held[host] = held + 1
        self._free -= 1
        return True

    def give_back(self, host: str) -> None:
        """Give back a place of *host*."""
        self._free += 1
        if (held := self._held[host] - 1) > 0:
            self._held[host] = held
        else:
            del self._held[host]
