"""Find the folders of the parts that ``batch --part`` made."""

import re
from pathlib import Path

from cometflux.journal.place import FILE_NAME


def part_folders(folder: Path) -> list[Path]:
    """Return the folders of the parts in *folder*, in order; none if it has a journal of its own, or is no folder."""
    # Whether it is a folder is asked first: to list what can be none is an error for some versions of Python.
    if (folder / FILE_NAME).exists() or not folder.is_dir():
        return []
    found = {path: re.fullmatch(r"part-(\d+)-of-\d+", path.name) for path in folder.glob("part-*-of-*")}
    parts = {path: int(name[1]) for path, name in found.items() if name and (path / FILE_NAME).exists()}
    return sorted(parts, key=parts.__getitem__)
