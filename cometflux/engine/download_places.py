"""Who may download: a bounded number at a time, of which no host and no slow download takes all.

Whoever saves an output holds its place until the output is written.
"""

import asyncio

from cometflux.transport.deadlines import Deadlines

PLACES = 32
"""Outputs fetched at the same time, not counting slow ones. One host alone gets half of them; see `Shares`."""
SLOW_PLACES = 16
"""Slow downloads that do not count as well. One host alone gets half of them."""
SLOW_AFTER = 10.0
"""A download that takes longer is slow, in seconds."""


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


class DownloadPlaces:
    """The places of the downloads. Who waits gets one in the order of coming, and the hosts take turns."""

    def __init__(self) -> None:
        self._ordinary, self._slow = Shares(PLACES), Shares(SLOW_PLACES)
        self._ages = Deadlines(SLOW_AFTER)
        self._waiting: dict[str, dict[asyncio.Future[None], None]] = {}
        self._overdue: dict[Place, None] = {}
        """Slow downloads that still have an ordinary place."""

    def take(self, host: str) -> "Place | None":
        """Take a place for a download from *host*; return None if it must wait for one."""
        # Nobody is overtaken: if a download of the host waits, the host may hold no more places.
        return self._start(host) if self._ordinary.take(host) else None

    def _start(self, host: str) -> "Place":
        place = Place(host, self)
        self._ages.add(place)
        return place

    async def wait(self, host: str) -> "Place":
        """Wait for a place for a download from *host*, after those that wait already."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(host, {})[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                # Its turn came, and is not used.
                self._free(host)
            elif host in self._waiting:
                self._pass(host, turn)
            raise
        return self._start(host)

    def _pass(self, host: str, turn: asyncio.Future[None]) -> None:
        """Remove *turn* from those that wait, and let *host* be the last of the hosts in line."""
        waiting = self._waiting.pop(host)
        waiting.pop(turn, None)
        if waiting:
            self._waiting[host] = waiting

    def give_back(self, place: "Place") -> None:
        """Give back the place of a download that is over."""
        self._ages.remove(place)
        if place.is_slow:
            self._slow.give_back(place.host)
            for other in [*self._overdue]:
                self.make_room(other)
        else:
            self._overdue.pop(place, None)
            self._free(place.host)

    def note_arrival(self, place: "Place") -> None:
        """Note that an output has come: to wait for the disk does not make its download a slow one."""
        self._ages.remove(place)

    def make_room(self, place: "Place") -> None:
        """Free the ordinary place of a slow download for another one, if a slow place is free."""
        if self._slow.take(place.host):
            place.is_slow = True
            self._overdue.pop(place, None)
            self._free(place.host)
        else:
            self._overdue[place] = None

    def _free(self, host: str) -> None:
        self._ordinary.give_back(host)
        for other, waiting in [*self._waiting.items()]:
            # One that was cancelled may not have come to leave the line.
            turn = next((each for each in waiting if not each.done()), None)
            if turn is not None and self._ordinary.take(other):
                self._pass(other, turn)
                turn.set_result(None)


class Place:
    """The place of one download."""

    __slots__ = ("_places", "host", "is_slow")

    def __init__(self, host: str, places: DownloadPlaces) -> None:
        self.host = host
        self.is_slow = False
        self._places = places

    def expire(self) -> None:
        """Count as slow from now on."""
        self._places.make_room(self)
