"""The verbs that a place for images must have: a folder has them, and an object store."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import attrs

from cometflux.images.formats import Data, ImageFile
from cometflux.locations import StoredImage

Kept = TypeVar("Kept", bound=ImageFile | StoredImage)
Kept_co = TypeVar("Kept_co", bound=ImageFile | StoredImage, covariant=True)
"""How a place describes an image that is in it."""
T = TypeVar("T")
Jobs = Sequence[Sequence[tuple[str, int, str]]]
"""The images of each of many jobs, as an earlier run saved them: the name, size and digest of each."""

LARGEST_NOTE = 4096
"""Bytes that a small file of ours may have: a claim, or a proof."""


class RefusedError(Exception):
    """The place refused, or could not be reached; the text says why and shows no credential."""

    def __init__(self, words: str, *, is_passing: bool = False) -> None:
        super().__init__(words)
        self.is_passing = is_passing
        """Whether the same request may succeed the next time."""


MOST_PUTS = 10
"""How often one file is put, under whatever names. If that many puts are refused, something is wrong with the place."""


@attrs.define
class Puts:
    """Counts the puts of one file, so that their number and their bytes have an end."""

    count: int = 0
    size: int = 0
    """Of all of them together, in bytes."""

    def add(self, size: int) -> None:
        """Count a put of *size* bytes that is about to be made.

        Raises:
            RefusedError: that would be one too many.
        """
        if self.count == MOST_PUTS:
            raise RefusedError(f"{self.count} tries to write it ({self.size} bytes in all) are the most for one file")
        self.count += 1
        self.size += size


class Backend(Protocol[Kept_co]):
    """A place for files, each with a name that may have folders in it, as in ``a/b.png``.

    ``str()`` of it names the place in an error message.

    Every verb raises `RefusedError` if nobody can say what is there, or if a file cannot be written.
    """

    async def put_new(self, name: str, data: Data, puts: Puts, digest: str | None = None) -> bool:
        """Write a file whole if its name is free. Return False, and change nothing, if it is taken.

        What it holds is durable before it has its name; see `make_durable` for the name.

        Args:
            name: the file's name.
            data: its bytes.
            puts: counts each try to write them.
            digest: the SHA-256 of an image, for a place that can keep it; None for a record.
        """

    async def size_of(self, name: str) -> int | None:
        """Return the size of a file in bytes; None if there is no such file."""

    async def read(self, name: str, most: int) -> bytes | None:
        """Read a file. None if the name is free; empty if the file cannot be read or is larger than *most* bytes."""

    async def describe(self, name: str, size: int) -> Kept_co | None:
        """Describe a file by its digest; None if it cannot be read or has not just *size* bytes."""

    def at(self, name: str, size: int, digest: str) -> Kept_co:
        """Make the description of an image in this place, without a look at it."""

    def name_of(self, path: Any) -> str:
        """Return the name in this place of a file that `at` described."""

    async def make_durable(self, name: str) -> None:
        """Make all names that were given beside the file *name*, and its own, durable."""

    async def is_taken(self, stem: str) -> bool:
        """Whether an image without a record is known to be under *stem*."""

    async def find_spellings(self, stem: str) -> Sequence[str]:
        """Return the names that begin with *stem* in any spelling, if the place may take two spellings for one name."""

    async def compute(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that computes for long and does not wait, without blocking the event loop."""
