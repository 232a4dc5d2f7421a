"""Where a journal is."""

import os
import stat
from pathlib import Path

from cometflux.errors import ConfigError
from cometflux.journal.database import translating_errors
from cometflux.storage.paths import expand_home

FILE_NAME = "journal.sqlite3"
"""The file name of a journal in a folder."""


def locate(path: str | Path) -> Path:
    """Return the path of a journal: *path* itself, or a file in it if it is a folder.

    A path that does not exist yet is a file if its name has an ending, such as ``.sqlite3``, else a folder.

    Raises:
        ConfigError: it is not a path.
        JournalError: there is no permission to look at it.
    """
    if not isinstance(path, str | Path) or not str(path).strip() or "\0" in str(path) or not _can_be(path):
        shown = str(path) if isinstance(path, Path) else path
        raise ConfigError(setting="journal", given=shown, allowed="must be the path of a file, or of a folder")
    path = expand_home("journal", path)
    with translating_errors(path):
        # A folder of the journal's own name would hide the journal from the commands that are given the folder above.
        is_folder = path.name != FILE_NAME and (_is_folder(path) or not (path.suffix or os.path.lexists(path)))
    return path / FILE_NAME if is_folder else path


def _is_folder(path: Path) -> bool:
    # Since Python 3.14 `Path.is_dir` does not tell that the rights are missing.
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except PermissionError:
        raise
    except OSError:
        return False


def absent(path: Path) -> ConfigError:
    """Return the error for a journal that does not exist; it names those of parts, or the folder that is missing."""
    hint = part_hint(path.parent)
    is_lost = path.name == FILE_NAME and not os.path.lexists(path.parent)
    problem = f"there is no folder {str(path.parent)!r}" if is_lost else f"there is no journal at {str(path)!r}"
    return ConfigError(f"{problem}{hint}", setting=None if hint else "journal")


def part_hint(folder: Path) -> str:
    """Return the rest of a sentence that names a folder of a part in *folder*; empty if there is none."""
    # To list what can be no folder is an error for some versions of Python.
    parts = sorted(folder.glob(f"part-*-of-*/{FILE_NAME}")) if folder.is_dir() else []
    return f"; its parts have journals of their own: give one, as {str(parts[0].parent)!r}" if parts else ""


def _can_be(path: str | Path) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True
