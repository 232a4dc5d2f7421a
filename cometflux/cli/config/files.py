"""Find the configuration files."""

import os
from pathlib import Path

from cometflux.errors import needs_extra

_PROJECT_FILE = "cometflux.toml"
_USER_FILE = "config.toml"


def user_file() -> Path:
    """Return the path of the user's own file, whether it exists or not.

    Raises:
        MissingExtraError: ``platformdirs``, which knows the platform's folder for such files, is not installed.
    """
    with needs_extra("the configuration", "cli", "platformdirs"):
        from platformdirs import user_config_path
    return user_config_path("cometflux", appauthor=False) / _USER_FILE


def project_file() -> Path | None:
    """Return the project's file from this folder or, inside a repository, from the nearest folder above; else None.

    The search stops at the repository's top, because other users could place a file in a shared folder above.
    """
    here = Path.cwd()
    top = _repository(here) or here
    for folder in (here, *here.parents):
        if os.path.lexists(folder / _PROJECT_FILE):
            return folder / _PROJECT_FILE
        if folder == top:
            break
    return None


def _repository(here: Path) -> Path | None:
    home = Path.home()
    for folder in (here, *here.parents):
        if folder == home != here:
            break
        if os.path.lexists(folder / ".git"):
            return folder
    return None


def shown(path: Path) -> str:
    """Return a path in its shortest form: relative to this folder, or with ``~``."""
    for folder, mark in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_relative_to(folder):
            return f"{mark}{path.relative_to(folder)}"
    return os.path.relpath(path) if path.name == _PROJECT_FILE else str(path)
