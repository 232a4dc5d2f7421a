"""Find the configuration files."""

import os
from pathlib import Path

from cometflux.cli.errors import ConfigurationError
from cometflux.errors import needs_extra

_PROJECT_FILE = "cometflux.toml"
_USER_FILE = "config.toml"
_CATALOGUE_FILE = "catalogue.json"
NO_FOLDER = "the current folder no longer exists; change to another one and run the command there"


def is_folder_there() -> bool:
    """Whether the current folder still exists."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def user_file() -> Path | None:
    """Return the path of the user's own file, whether it exists or not; None if no home folder is known.

    Raises:
        MissingExtraError: ``platformdirs``, which knows the platform's folder for such files, is not installed.
    """
    with needs_extra("the configuration", "cli", "platformdirs"):
        from platformdirs import user_config_path
    try:
        folder = user_config_path("cometflux", appauthor=False)
    except RuntimeError:
        return None
    # Older versions return a relative path, which would lead into a folder of somebody else.
    return folder / _USER_FILE if folder.is_absolute() else None


def kept_catalogue_file() -> Path | None:
    """Return the path of the file that keeps the prices of the catalogue; None if no home folder is known."""
    try:
        from platformdirs import user_cache_path

        folder = user_cache_path("cometflux", appauthor=False)
    except (ImportError, RuntimeError):
        return None
    return folder / _CATALOGUE_FILE if folder.is_absolute() else None


def project_file() -> Path | None:
    """Return the project's file from this folder or, inside a repository, from the nearest folder above; else None.

    The search stops at the repository's top, because other users could place a file in a shared folder above.

    Raises:
        ConfigurationError: this folder was deleted.
    """
    if not is_folder_there():
        raise ConfigurationError(NO_FOLDER)
    here = Path.cwd()
    top = _repository(here) or here
    for folder in (here, *here.parents):
        if os.path.lexists(folder / _PROJECT_FILE):
            return folder / _PROJECT_FILE
        if folder == top:
            break
    return None


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        # There is no HOME, and the process's user is not in the system's list of users, as in a container.
        return None


def _repository(here: Path) -> Path | None:
    home = _home()
    for folder in (here, *here.parents):
        if folder == home != here:
            break
        if os.path.lexists(folder / ".git"):
            return folder
    return None


def shown(path: Path) -> str:
    """Return a path in its shortest form: relative to this folder, or with ``~``."""
    for folder, mark in ((Path.cwd(), ""), (_home(), "~/")):
        if folder and path.is_relative_to(folder):
            return f"{mark}{path.relative_to(folder)}"
    return os.path.relpath(path) if path.name == _PROJECT_FILE else str(path)
