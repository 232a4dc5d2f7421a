"""How many predictions may be paid for altogether."""

import asyncio
from typing import Any

from cometflux.errors import LimitError
from cometflux.plain_text import count_of


class PurchaseLimit:
    """Counts the predictions that are, or may be, paid for.

    Args:
        most: how many there may be, those in the journal included; None for any number.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._reserved: set[Any] = set()
        self._has_changed = asyncio.Event()
        self.bought = 0
        """The number of predictions that are, or may be, paid for."""

    async def reserve(self, job: object) -> None:
        """Wait for a place for one more submission, and keep it for *job* until `settle`.

        Raises:
            LimitError: the limit is used up.
        """
        # A submission in flight may still fail and free its place, so wait for it to finish.
        while self._most is not None and self.bought + len(self._reserved) >= self._most:
            if self.bought >= self._most:
                raise LimitError(f"the limit of {count_of(self._most, 'prediction')} is reached")
            self._has_changed.clear()
            await self._has_changed.wait()
        self._reserved.add(job)

    def settle(self, job: object, *, is_bought: bool) -> None:
        """Give back the place of *job*, if it has one; count it if it is, or may be, paid for."""
        if job in self._reserved:
            self._reserved.discard(job)
            self.bought += is_bought
            self._has_changed.set()
