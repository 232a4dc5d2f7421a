"""Scan a folder for pictures and their records. Each file is read once, and links are not followed."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import attrs

from cometflux.basics.regular_files import open_regular, read_regular
from cometflux.errors import ConfigError
from cometflux.gallery.cards import Picture
from cometflux.gallery.flaws import FolderFlaws
from cometflux.gallery.image_size import read_size
from cometflux.journal.place import FILE_NAME
from cometflux.provenance.sidecar import LARGEST_RECORD, load_record
from cometflux.storage.file_names import is_inside

_MOST_KEPT = 10_000
"""How many records are kept in memory at most."""
_DEEPEST = 16
"""Levels of subfolders that are scanned."""
_ENDINGS = (".png", ".jpg", ".webp", ".gif")


@attrs.frozen
class Sidecar:
    """The JSON record next to a picture."""

    name: str
    """The picture's file name."""
    record: Mapping[str, Any]


@attrs.frozen
class DamagedFile:
    """A JSON record next to a picture, which cannot be read."""

    name: str
    """The picture's file name."""
    sidecar: str
    fault: str
    """What is wrong with it: ``is damaged``, or ``cannot be read``."""


class FolderScan:
    """The files of a folder, scanned again for each version of the page.

    Args:
        folder: the folder to scan, with its subfolders, except hidden ones and those that have a journal of their own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, bool] = {}
        """Each relative name, with ``/`` between its parts, and whether it is a file rather than a link or a folder."""
        self.has_lost_files = False
        """Whether a file that was there at the look before is gone."""
        self.flaws = FolderFlaws(folder)
        self._sizes: dict[str, tuple[int, int] | None] = {}
        self._faults: dict[str, str] = {}
        """Why a picture's file cannot be read, by its name."""
        self._records: dict[str, Sidecar | DamagedFile | None] = {}
        """The first ones that were read, by file name; None if the file is not a picture's record."""

    def look(self) -> None:
        """List the folder again.

        Raises:
            ConfigError: the folder does not exist, is a file, or cannot be read.
        """
        before = self.files
        try:
            self.files = _list(self.folder)
        except (FileNotFoundError, ValueError) as error:
            raise ConfigError(f"there is no folder {str(self.folder)!r}") from error
        except NotADirectoryError as error:
            raise ConfigError(f"{str(self.folder)!r} is a file, not a folder") from error
        except OSError as error:
            raise ConfigError(f"the folder {str(self.folder)!r} cannot be read: {error.strerror}") from error
        self.flaws.look()
        self.has_lost_files = any(name not in self.files for name in before)
        if self.has_lost_files:
            for name in self._sizes.keys() - self.files.keys():
                del self._sizes[name]
                self._faults.pop(name, None)

    def presence(self, names: tuple[str, ...]) -> tuple[bool, ...]:
        """Return for each name whether the folder has a file of that name."""
        return tuple(self.files.get(name, False) for name in names)

    def picture(self, name: str) -> Picture:
        """Return the picture called *name*, with a fault if it cannot be shown. A URL is returned as a link."""
        picture, found = self._picture(name), self.flaws.of(name)
        return picture if found is None else attrs.evolve(picture, found=found)

    def _picture(self, name: str) -> Picture:
        if "://" in name:
            return Picture(name=name, address=_web_address(name))
        if not is_inside(name) or "\0" in name:
            return Picture(name=name, fault="its name points outside the folder")
        if name not in self.files:
            return Picture(name=name, fault="its file is missing")
        if not self.files[name]:
            return Picture(name=name, fault="it is a link, a folder or a pipe, not a file")
        size = self._size(name)
        if name in self._faults:
            return Picture(name=name, fault=self._faults[name])
        # Without "./", a browser would read a name with a colon as a URL scheme.
        address = f"./{quote(os.fsencode(name), safe='/')}"
        return Picture(name=name, address=address, size=size, is_here=True)

    def _size(self, name: str) -> tuple[int, int] | None:
        if name not in self._sizes:
            try:
                with open_regular(self.folder / name) as file:
                    self._sizes[name] = read_size(file)
            except OSError as error:
                self._sizes[name] = None
                self._faults[name] = f"its file cannot be read: {error.strerror}"
        return self._sizes[name]

    def record(self, name: str) -> Sidecar | DamagedFile | None:
        """Read a picture's record; None if the file is not one. *name* is a file's name that ends in ``.json``."""
        if name not in self._records:
            found = self._read(name)
            if len(self._records) >= _MOST_KEPT:
                return found
            self._records[name] = found
        return self._records[name]

    def _read(self, name: str) -> Sidecar | DamagedFile | None:
        stem = name.removesuffix(".json")
        try:
            record = load_record(read_regular(self.folder / name, LARGEST_RECORD))
        except (OSError, ValueError) as error:
            is_damaged = isinstance(error, ValueError)
            fault = "is damaged" if is_damaged else f"cannot be read ({getattr(error, 'strerror', None) or error})"
            beside = (f"{stem}{ending}" for ending in _ENDINGS)
            return next((DamagedFile(each, name, fault) for each in beside if each in self.files), None)
        match record:
            case {"file": str(file_name), "prediction": dict()} if "://" in file_name:
                return Sidecar(file_name, record)
            case {"file": str(file_name), "prediction": dict()}:
                there = f"{stem.rpartition('/')[0]}/{file_name}" if "/" in stem else file_name
                return Sidecar(there, record) if there.rpartition(".")[0] == stem else None
        return None


def _list(folder: Path, start: str = "", depth: int = _DEEPEST) -> dict[str, bool]:
    """List the files of a folder and its subfolders; a link is listed and not followed."""
    found: dict[str, bool] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name = start + entry.name
            found[name] = entry.is_file(follow_symlinks=False)
            if not found[name] and depth and entry.name[0] != "." and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    below = _list(Path(entry.path), f"{name}/", depth - 1)
                    found |= {} if f"{name}/{FILE_NAME}" in below else below
    return found


def _web_address(name: str) -> str | None:
    """Return *name* if it is an http or https URL, which is safe to link to; else None."""
    try:
        parts = urlsplit(name)
    except ValueError:
        return None
    return name if parts.scheme in ("http", "https") and parts.netloc else None
