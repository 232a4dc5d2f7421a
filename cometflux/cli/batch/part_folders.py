"""Find the folders of the parts that ``batch --part`` made."""

import re
from pathlib import Path

from cometflux.journal.place import FILE_NAME

_NAME = re.compile(r"part-(\d+)-of-\d+")


def is_part_folder(folder: Path) -> bool:
    """Whether *folder* has the name of a part's folder."""
    return _NAME.fullmatch(folder.name) is not None


def part_folders(folder: Path) -> list[Path]:
    """Return the folders of the parts in *folder*, in order; none if it is not a folder."""
    # Asked first: to list what can be no folder is an error for some versions of Python.
    if not folder.is_dir():
        return []
    found = {path: _NAME.fullmatch(path.name) for path in folder.glob("part-*-of-*")}
    parts = {path: int(name[1]) for path, name in found.items() if name and (path / FILE_NAME).exists()}
    return sorted(parts, key=parts.__getitem__)


def journal_folders(folder: Path) -> list[Path]:
    """Return the folders of the journals in *folder*: itself, if it has one or no parts, and then its parts."""
    parts = part_folders(folder)
    return [folder, *parts] if not parts or (folder / FILE_NAME).exists() else parts
