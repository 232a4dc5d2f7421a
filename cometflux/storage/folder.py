"""A folder on the disk as a place for images.

A file appears under its final name only when it is complete and on the disk, and no file that was there before is ever
replaced.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cometflux.basics.regular_files import open_regular, read_exactly, read_regular
from cometflux.errors import ConfigError, OutputError
from cometflux.images.formats import Data, ImageFile
from cometflux.provenance.embed import Embedder
from cometflux.provenance.sidecar import Submission
from cometflux.provenance.signing import Signer
from cometflux.storage import atomic, file_names
from cometflux.storage.backend import LARGEST_NOTE, Jobs, Puts, RefusedError
from cometflux.storage.image_data import EXTENSIONS
from cometflux.storage.saved_images import SavedImages, blocking
from cometflux.storage.spool import Spool, Spooled

T = TypeVar("T")
_SMALL = 256 * 1024
"""Up to so many bytes a file is read at once."""
_LONG_NAME = 80
"""Characters of the longest names that images get by themselves, with the numbers and the ending."""
_PROOF = b"0" * 4096
"""What is written to prove that a folder can be written to."""

# ── the folder itself ────────────────────────────────────────────────────────────────────────────────────────────────


def prepare_folder(folder: Path) -> None:
    """Make *folder* and prove that files can be saved in it, before money is spent on images for it.

    Everything that saving does is done once.

    Raises:
        ConfigError: it is not a folder, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A run that starts beside this one may have swept the file away.
        if not any(_keeps_file(folder) for _ in range(3)):
            raise OSError(errno.EIO, "it takes files but does not keep them")
    except FileExistsError as error:
        raise ConfigError(_no_folder(folder)) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"the folder {str(folder)!r} cannot be written to: {_reason(folder, error)}") from error


def _keeps_file(folder: Path) -> bool:
    with atomic.temporary_path(folder, _LONG_NAME) as path:
        atomic.write_new(path, _PROOF)
        atomic.sync_folder(folder)
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes() == _PROOF
    return False


def _reason(folder: Path, error: Exception) -> str:
    if "\0" in str(folder):
        # Each version of Python has other words for it.
        return "its name holds a NUL"
    if isinstance(error, FileNotFoundError) and folder.is_dir():
        # Windows takes 259 characters for a path, unless a setting of the machine allows more.
        return "its path is too long"
    return _words(error)


def _no_folder(folder: Path) -> str:
    if folder.is_symlink() and not folder.exists():
        return f"{str(folder)!r} is a link that leads nowhere, not a folder"
    return f"{str(folder)!r} is {'a file, not a folder' if folder.is_file() else 'not a folder'}"


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def sweep(folder: Path) -> int:
    """Remove the temporary files that killed runs left in *folder*, and return how many there were.

    Blocks; call it off the loop, before anything is written there.
    """
    count = 0
    # Nothing depends on it: a file that cannot be removed stays, and `prepare_folder` checks the folder.
    with contextlib.suppress(OSError, ValueError), os.scandir(folder) as entries:
        for entry in entries:
            if re.fullmatch(atomic.TEMPORARY_NAME, entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    (folder / entry.name).unlink()
                    count += 1
    return count


def check_files(folder: Path, files: Sequence[tuple[str, int, str]]) -> tuple[ImageFile, ...] | None:
    """Check files as `SavedImages.check_files` does. Blocks; call it off the loop."""
    return blocking(SavedImages(FolderFiles(folder)).check_files, files)


# ── its files ────────────────────────────────────────────────────────────────────────────────────────────────────────


class FolderFiles:
    """The files in a folder as a `Backend`. Every verb blocks and never waits; call them off the loop.

    A link is not followed, and counts as taken: it may lead anywhere.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._syncs = atomic.SharedSyncs()

    def __str__(self) -> str:
        return repr(str(self._folder))

    async def put_new(self, name: str, data: Data, puts: Puts, digest: str | None = None) -> bool:
        """Write a file, then sync it, then give it its name; make the folder if it is missing."""
        path = self._folder / name
        try:
            if not os.path.isdir(self._folder):  # noqa: PTH112 - Path.is_dir is slower, and this is done for each file
                self._folder.mkdir(parents=True, exist_ok=True)
            if "/" in name:
                self.make_folder(name)
            if os.path.lexists(path):
                return False
            puts.add(len(data))
            if isinstance(data, Spooled):
                return data.give_name(path)
            return atomic.write_new(path, data, self._folder)
        except (OSError, ValueError) as error:
            raise self._refusal(error) from error

    def make_folder(self, name: str) -> None:
        """Make the folders of the file *name* below this one, if they are missing.

        Raises:
            OSError: one is a link, which may lead anywhere, or a file; or it cannot be made; or *name* leads out.
        """
        if not file_names.is_inside(name):
            # A journal may come from somebody else.
            raise OSError(errno.EPERM, "it is not in this folder")
        at = self._folder
        for part in name.split("/")[:-1]:
            above, at = at, at / part
            if at.is_symlink():
                raise OSError(errno.ELOOP, f"{str(at)!r} is a link, not a folder")
            try:
                at.mkdir()
            except FileExistsError:
                if not at.is_dir():
                    raise NotADirectoryError(errno.ENOTDIR, f"{str(at)!r} is a file, not a folder") from None
            else:
                atomic.sync_folder(above)

    def name_of(self, path: Path) -> str:
        """Return the name of a file in this folder."""
        return path.relative_to(self._folder).as_posix()

    async def size_of(self, name: str) -> int | None:
        """Return the size of a file in bytes; None if there is no such file."""
        try:
            return (self._folder / name).lstat().st_size
        except (OSError, ValueError):
            return None

    async def read(self, name: str, most: int) -> bytes | None:
        """Read a regular file; empty for anything else."""
        path = self._folder / name
        try:
            return read_regular(path, most)
        except FileNotFoundError:
            # Not looked at again: a file that appears at this moment would then count as something that cannot be read.
            return None
        except (OSError, ValueError):
            return b"" if os.path.lexists(path) else None

    async def describe(self, name: str, size: int) -> ImageFile | None:
        """Digest a regular file in little memory."""
        try:
            path = self._folder / name
            if size <= _SMALL:
                data = read_exactly(path, size)
                return None if data is None else self.at(name, size, hashlib.sha256(data).hexdigest())
            with open_regular(path) as file:
                if os.fstat(file.fileno()).st_size != size:
                    return None
                return self.at(name, size, hashlib.file_digest(file, "sha256").hexdigest())
        except (OSError, ValueError):
            return None

    def at(self, name: str, size: int, digest: str) -> ImageFile:
        """Make the description of an image in this folder."""
        return ImageFile(path=self._folder / name, size=size, digest=digest, name=name)

    async def make_durable(self, name: str) -> None:
        """Sync the folder of a file, once for all threads that want it at the same time."""
        try:
            # Most names have no folder of their own, and joining paths takes as long as a system call.
            self._syncs.sync((self._folder / name).parent if "/" in name else self._folder)
        except (OSError, ValueError) as error:
            raise self._refusal(error) from error

    async def is_taken(self, stem: str) -> bool:
        """Whether *stem* has a file with the suffix of an image, whatever its content."""
        return any(os.path.lexists(self._folder / f"{stem}.{ending}") for ending in EXTENSIONS.values())

    async def find_spellings(self, stem: str) -> Sequence[str]:
        """List the names that begin with *stem*, in any capitals and any form of Unicode."""
        start = file_names.fold(stem)
        try:
            return [path.name for path in self._folder.iterdir() if file_names.fold(path.name).startswith(start)]
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            raise self._refusal(error) from error

    async def compute(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call the function: this is not the event loop's thread."""
        return function(*arguments)

    def refuse(self, error: OSError | ValueError) -> OutputError:
        """Return the error to raise if an image cannot be written."""
        return OutputError(f"the image could not be written to {self}: {self._refusal(error)}", is_disk=True)

    def _refusal(self, error: OSError | ValueError) -> RefusedError:
        is_no_folder = os.path.lexists(self._folder) and not os.path.isdir(self._folder)  # noqa: PTH112 - as in put_new
        return RefusedError(_no_folder(self._folder) if is_no_folder else _words(error))


class Folder:
    """A folder on the disk as a `Destination`: each call does its work in a thread, in a single hop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = FolderFiles(path)
        self._images = SavedImages(self._files)

    def __str__(self) -> str:
        return str(self.path)

    async def prepare(self) -> None:
        """See `prepare_folder`."""
        await asyncio.to_thread(prepare_folder, self.path)

    async def make_folder(self, name: str) -> None:
        """See `Destination.make_folder`."""
        try:
            await asyncio.to_thread(self._files.make_folder, name)
        except OSError as error:
            raise ConfigError(f"the folder of {name!r} cannot be made: {_words(error)}") from error

    async def put_note(self, name: str, data: bytes) -> bool:
        """See `Destination.put_note`."""
        return await asyncio.to_thread(blocking, self._put_note, name, data)

    async def _put_note(self, name: str, data: bytes) -> bool:
        is_new = await self._files.put_new(name, data, Puts())
        await self._files.make_durable(name)
        return is_new

    async def read_note(self, name: str) -> bytes | None:
        """See `Destination.read_note`."""
        return await asyncio.to_thread(blocking, self._files.read, name, LARGEST_NOTE)

    async def remove_note(self, name: str) -> None:
        """See `Destination.remove_note`."""
        with contextlib.suppress(OSError):
            await asyncio.to_thread((self.path / name).unlink)

    async def write(
        self,
        stem: str,
        data: bytes | Spool,
        record: Mapping[str, Any],
        *,
        is_named: bool = False,
        embeds: bool = False,
        signer: Signer | None = None,
    ) -> ImageFile:
        """See `SavedImages.write`."""
        options = {"is_named": is_named, "embeds": embeds, "signer": signer}
        return await asyncio.to_thread(self._write, stem, data, record, options)

    def _write(
        self, stem: str, data: bytes | Spool, record: Mapping[str, Any], options: Mapping[str, Any]
    ) -> ImageFile:
        with data.whole() if isinstance(data, Spool) else contextlib.nullcontext(data) as whole:
            return blocking(self._images.write, stem, whole, record, **options)

    def spool(self, record: Mapping[str, Any] | None = None) -> Spool | None:
        """See `Destination.spool`."""
        if not atomic.CAN_NAME_OPEN_FILES:
            return None
        return Spool(self.path, self._files.refuse, None if record is None else Embedder(record))

    def at(self, name: str, size: int, digest: str) -> ImageFile:
        """See `SavedImages.at`."""
        return self._images.at(name, size, digest)

    async def size_of(self, name: str) -> int | None:
        """See `SavedImages.size_of`."""
        return await asyncio.to_thread(blocking, self._images.size_of, name)

    async def describe(self, path: Path) -> ImageFile | None:
        """See `SavedImages.describe`."""
        return await asyncio.to_thread(blocking, self._images.describe, path)

    async def find_each(self, stem: str, prediction_id: str, count: int) -> Sequence[ImageFile | None]:
        """See `SavedImages.find_each`."""
        return await asyncio.to_thread(blocking, self._images.find_each, stem, prediction_id, count)

    async def find_id(self, stem: str, submission: Submission) -> str | None:
        """See `SavedImages.find_id`."""
        return await asyncio.to_thread(blocking, self._images.find_id, stem, submission)

    async def check_files(self, files: Sequence[tuple[str, int, str]]) -> tuple[ImageFile, ...] | None:
        """See `SavedImages.check_files`."""
        return await asyncio.to_thread(blocking, self._images.check_files, files)

    async def check_each(self, jobs: Jobs) -> Sequence[tuple[ImageFile, ...] | None]:
        """See `SavedImages.check_each`."""
        return await asyncio.to_thread(blocking, self._images.check_each, jobs)

    async def read_image(self, name: str, size: int, digest: str) -> bytes | None:
        """See `SavedImages.read_image`."""
        return await asyncio.to_thread(blocking, self._images.read_image, name, size, digest)

    def checker(self) -> Callable[[Jobs], Awaitable[Sequence[tuple[ImageFile, ...] | None]]]:
        """See `Destination.checker`; each file is looked at."""
        return self.check_each
