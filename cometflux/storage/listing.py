"""The images of an object store by a listing, which shows a thousand names and sizes in one response."""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from cometflux.storage.backend import RefusedError

JOBS_PER_PAGE = 20
"""A page of a listing is requested for each so many jobs at most, so that a place of millions of other objects costs
little more than the heads. For fewer jobs there is no listing."""
MOST_KEPT = 200_000
"""So many names that were not asked for yet are kept at most, of about 120 bytes each."""
_log = logging.getLogger("cometflux.storage")


class Listing:
    """Finds images in a listing, and reads that no further than is worth it.

    What it lacks may be there all the same: it was not read so far, it was refused, or the image is newer.

    Args:
        next_page: returns the next names with their sizes; None after the last.
    """

    def __init__(self, next_page: Callable[[], Awaitable[Sequence[tuple[str, int]] | None]]) -> None:
        self._next_page = next_page
        self._is_over = False
        self._asked = 0
        self._pages = 0
        self._kept: set[bytes] = set()

    async def find_each(self, jobs: Sequence[Sequence[tuple[str, int, str]]]) -> list[bool]:
        """Return of each job whether all its images are listed, with their sizes."""
        self._asked += len(jobs)
        wanted = [{_mark(name, size) for name, size, _ in files} for files in jobs]
        lacking = set().union(*wanted) - self._kept
        while lacking and self._may_go_on:
            lacking -= await self._read()
        # An image is asked for once in a batch, so the names in use stay few where jobs come in the order of names.
        self._kept.difference_update(*wanted)
        return [lacking.isdisjoint(marks) for marks in wanted]

    @property
    def _may_go_on(self) -> bool:
        return not self._is_over and self._pages < self._asked // JOBS_PER_PAGE and len(self._kept) < MOST_KEPT

    async def _read(self) -> set[bytes]:
        try:
            page = await self._next_page()
        except RefusedError as refusal:
            _log.warning("the images are looked up one by one, since they could not be listed: %s", refusal)
            page = None
        self._pages += 1
        self._is_over = page is None
        # The records beside the images are not asked for.
        found = {_mark(name, size) for name, size in page or () if not name.endswith(".json")}
        self._kept |= found
        return found


def _mark(name: str, size: int) -> bytes:
    """Return a digest in place of a name with its size, which takes less memory. No two have the same."""
    return hashlib.blake2b(f"{size} {name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
