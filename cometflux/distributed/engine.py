"""The engine that starts work on other machines, as the pool sees it: Dask, or your own."""

from collections.abc import Mapping
from typing import Protocol


class EngineLostError(Exception):
    """The engine cannot be reached; it may come back."""


class Engine(Protocol):
    """Starts work on workers. A page is the bytes of some orders for one place."""

    async def open(self) -> None:
        """Connect.

        Raises:
            ConfigError: it cannot be used; the message says why.
            EngineLostError: it cannot be reached.
        """

    async def workers(self) -> Mapping[str, int]:
        """Return the available workers, each with the number of pages that it can carry out at the same time.

        Raises:
            EngineLostError: the engine cannot be reached.
        """

    async def carry_out(self, page: bytes, worker: str) -> bytes:
        """Carry out a page on a worker and return the result. Cancelling it gives the page up.

        Raises:
            EngineLostError: the engine cannot be reached.
            Exception: the worker failed, or the engine does not accept the page.
        """

    async def aclose(self) -> None:
        """Disconnect."""
