"""Paths as a caller gives them, and the names of small files next to the images."""

import os
from pathlib import Path

from cometflux.errors import ConfigError

PICKS = "picks.jsonl"
"""The file with the marks of a folder's pictures; `picks` reads it."""
CLAIMS = ".cometflux-parts.json"
"""The file that says into how many parts the list of a place is divided."""


def fix_path(name: str, path: str | Path) -> Path:
    """Make what a caller gave as *name* absolute: the program may change its current folder before the path is used.

    Raises:
        ConfigError: there is no home folder or current folder.
    """
    try:
        return expand_home(name, path).absolute()
    except FileNotFoundError as error:
        raise ConfigError(
            setting=name, given=str(path), allowed="must be absolute, because the current folder was deleted"
        ) from error


def expand_home(name: str, path: object) -> Path:
    """Take what a caller gave as *name* for a path, and expand ``~``.

    Raises:
        ConfigError: it is not a path, or there is no home folder.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str) or not str(path).strip():
        raise ConfigError(setting=name, given=path, allowed="must be a path")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            setting=name, given=str(path), allowed="must not begin with ~: no home folder is known"
        ) from error
