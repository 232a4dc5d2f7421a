"""Where images go: a folder on the disk, or a place in an object store; to a session the two look alike."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cometflux.errors import ConfigError
from cometflux.images.formats import Image, ImageFile
from cometflux.jobs import Job
from cometflux.locations import is_flattened, is_url
from cometflux.storage import folder
from cometflux.storage.object_store import Store, open_store


class Destination(Protocol):
    """What a session asks of either; `storage` says what each verb does, and `Store` where it differs there."""

    async def prepare(self) -> None:
        """Prove that it can be written to, before money is spent on what goes there."""

    async def write(
        self, stem: str, data: bytes, record: Mapping[str, Any], *, is_named: bool = False, embeds: bool = False
    ) -> Image:
        """Write an output, and beside it a record of how it was made."""

    async def describe(self, path: Any) -> Image | None:
        """Describe an image that has been written here; None where it cannot be looked at."""

    async def find_each(self, stem: str, prediction_id: str, count: int) -> Sequence[Image | None]:
        """Find each of the images that were written for a prediction."""

    async def find_id(self, stem: str, job: Job, since: float) -> str | None:
        """Find the prediction of which an image was written for a job."""

    async def check_files(self, files: Sequence[tuple[str, int, str]]) -> tuple[Image, ...] | None:
        """Check the files that an earlier run saved; None unless all are there."""


class Folder:
    """A folder on the disk; what blocks is done in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    async def prepare(self) -> None:
        """See `storage.prepare_folder`."""
        await asyncio.to_thread(folder.prepare_folder, self.path)

    async def write(
        self, stem: str, data: bytes, record: Mapping[str, Any], *, is_named: bool = False, embeds: bool = False
    ) -> ImageFile:
        """See `storage.write_output`."""
        return await asyncio.to_thread(
            folder.write_output, self.path, stem, data, record, is_named=is_named, embeds=embeds
        )

    async def describe(self, path: Path) -> ImageFile:
        """See `storage.describe`."""
        return await asyncio.to_thread(folder.describe, path)

    async def find_each(self, stem: str, prediction_id: str, count: int) -> Sequence[ImageFile | None]:
        """See `storage.find_each`."""
        return await asyncio.to_thread(folder.find_each, self.path, stem, prediction_id, count)

    async def find_id(self, stem: str, job: Job, since: float) -> str | None:
        """See `storage.find_id`."""
        return await asyncio.to_thread(folder.find_id, self.path, stem, job, since)

    async def check_files(self, files: Sequence[tuple[str, int, str]]) -> tuple[ImageFile, ...] | None:
        """See `storage.check_files`."""
        return await asyncio.to_thread(folder.check_files, self.path, files)


def find_destination(name: str, where: object) -> Folder | Store:
    """Take what a caller gave as *name* for a folder, or for a place in an object store.

    Raises:
        ConfigError: it is neither, or the place cannot be opened.
    """
    if isinstance(where, Store):
        return where
    if not isinstance(where, str | Path) or not str(where).strip():
        allowed = "allowed is the path of a folder, or a URL such as s3://bucket/prefix"
        raise ConfigError(setting=name, given=where, allowed=allowed)
    if isinstance(where, str) and is_url(where):
        return open_store(where)
    path = Path(where)
    if is_flattened(path.parts):
        allowed = "a Path makes one slash of two; give the URL as a string"
        raise ConfigError(setting=name, given=str(path), allowed=allowed)
    return Folder(path)
