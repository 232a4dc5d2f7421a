"""Where images go: a folder on the disk, or a place in an object store; to a session the two look alike."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cometflux.errors import ConfigError
from cometflux.images.formats import Image
from cometflux.locations import is_flattened, is_url
from cometflux.provenance.sidecar import Submission
from cometflux.provenance.signing import Signer
from cometflux.storage.backend import Jobs
from cometflux.storage.folder import Folder
from cometflux.storage.object_store import Store, open_store
from cometflux.storage.paths import fix_path
from cometflux.storage.spool import Spool

__all__ = ["Destination", "Folder", "find_destination", "is_at"]


class Destination(Protocol):
    """The verbs that a session needs of either; `SavedImages` says what each of them does."""

    async def prepare(self) -> None:
        """Prove that it can be written to, before money is spent on what goes there."""

    async def make_folder(self, name: str) -> None:
        """Make the folders of the file *name* below this place, before money is spent on what goes there.

        Raises:
            ConfigError: they cannot be made, or a link or a file is in their place.
        """

    def spool(self, record: Mapping[str, Any] | None = None) -> Spool | None:
        """Return a spool, which takes an output for `write` while it comes; None to hold the output in memory.

        A *record* is embedded in the output while it comes. `write` must then be given the same one, and embed it.
        """

    async def write(
        self,
        stem: str,
        data: Any,
        record: Mapping[str, Any],
        *,
        is_named: bool = False,
        embeds: bool = False,
        signer: Signer | None = None,
    ) -> Image:
        """Save an output, and next to it a record of how it was made."""

    def at(self, name: str, size: int, digest: str) -> Image:
        """Make the description of an image that was saved here, without a look at it."""

    async def size_of(self, name: str) -> int | None:
        """Return the size of a file in bytes; None if there is none. The least that a look can cost.

        Raises:
            RefusedError: nobody can say what is there.
        """

    async def describe(self, path: Any) -> Image | None:
        """Describe an image that has been written here; None if it cannot be looked at."""

    async def find_each(self, stem: str, prediction_id: str, count: int) -> Sequence[Image | None]:
        """Find each of the images that were saved for a prediction."""

    async def find_id(self, stem: str, submission: Submission) -> str | None:
        """Find the prediction of which an image was saved for a submission."""

    async def put_note(self, name: str, data: bytes) -> bool:
        """Write a small file of ours whole, and durable, if its name is free; return False if it is taken.

        Raises:
            RefusedError: it cannot be written.
        """

    async def read_note(self, name: str) -> bytes | None:
        """Read such a file; None if there is none, and empty if it is too large or cannot be read.

        Raises:
            RefusedError: nobody can say what is there.
        """

    async def remove_note(self, name: str) -> None:
        """Remove such a file if that is possible."""

    async def check_files(self, files: Sequence[tuple[str, int, str]]) -> tuple[Image, ...] | None:
        """Check the files that an earlier run saved; None unless all are there."""

    async def read_image(self, name: str, size: int, digest: str) -> bytes | None:
        """Read an image that was saved here; None if it is missing or has changed."""

    def checker(self) -> Callable[[Jobs], Awaitable[Sequence[tuple[Image, ...] | None]]]:
        """Return a function that checks the files of many jobs, those of each as `check_files` does.

        It is for the jobs of one batch: what it has seen of this place it need not look at again.
        """


async def is_at(place: Destination, known: str) -> bool:
    """Whether *place* is the *known* one: the path of a folder, or a URL."""
    if not isinstance(place, Folder):
        return str(place) == known
    return await asyncio.to_thread(is_same_folder, place.path, known)


def is_same_folder(path: Path, known: str | Path) -> bool:
    """Whether two paths lead to one folder that is there. Blocks."""
    try:
        return path.samefile(known)
    except (OSError, ValueError):
        return False


def find_destination(name: str, where: object) -> Folder | Store:
    """Take what a caller gave as *name* for a folder, or for a place in an object store.

    Raises:
        ConfigError: it is neither, or the place cannot be opened.
    """
    if isinstance(where, Store | Folder):
        return where
    if not isinstance(where, str | Path) or not str(where).strip():
        allowed = "must be the path of a folder, or a URL such as s3://bucket/prefix"
        raise ConfigError(setting=name, given=where, allowed=allowed)
    if isinstance(where, str) and is_url(where):
        return open_store(where)
    if is_flattened(Path(where).parts):
        allowed = "a Path makes one slash of two; give the URL as a string"
        raise ConfigError(setting=name, given=str(where), allowed=allowed)
    return Folder(fix_path(name, where))
