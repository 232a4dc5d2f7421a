"""The pictures of a folder that a person should look at, as ``--look`` found them."""

from collections.abc import Mapping
from pathlib import Path

import attrs

from cometflux.images.looks import FLAW_WORDS, find_near
from cometflux.journal.looks_file import FILE_NAME, read_looks

NEAR = "near"
"""The flaw of a picture that nearly equals an earlier one."""
FLAW_LABELS: Mapping[str, str] = {**{flaw.value: words for flaw, words in FLAW_WORDS.items()}, NEAR: "near duplicate"}
"""The words for each flaw, in the page's order."""


@attrs.frozen
class Found:
    """A reason to look at a picture."""

    flaw: str
    """A key of `FLAW_LABELS`."""
    near: str | None = None
    """The name of the picture that it nearly equals, or the key of that picture's job; None for another flaw."""

    @property
    def note(self) -> str:
        """The reason in words."""
        return FLAW_LABELS[self.flaw] if self.near is None else f"{FLAW_LABELS[self.flaw]} of {self.near}"


class FolderFlaws:
    """The flaws of a folder's pictures. Its file is read again when it has changed. Blocks."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self.version: tuple[int, int, int] | None = None
        """Changes when the flaws do; None if there is no file."""
        self._found: dict[str, Found] = {}

    def look(self) -> None:
        """Read the file if it has changed; there are no flaws if it cannot be read."""
        try:
            facts = self._path.lstat()
            version: tuple[int, int, int] | None = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
        except OSError:
            version = None
        if version == self.version:
            return
        self.version = version
        looks = read_looks(self._path.parent)
        self._found = {name: Found(look.flaw.value) for name, look in looks.items() if look.flaw is not None}
        self._found |= {name: Found(NEAR, first) for name, first in find_near(looks.items()).items()}

    def of(self, name: str) -> Found | None:
        """Return the flaw of a picture; None if it has none."""
        return self._found.get(name)

    @property
    def firsts(self) -> frozenset[str]:
        """The names of the pictures that others nearly equal."""
        return frozenset(found.near for found in self._found.values() if found.near is not None)
