"""The file next to a manifest that proves from which state of the journal the manifest was written.

It has the manifest's SHA-256 as ``sha256sum -c`` reads it, and above that the state as a comment. A manifest that has
this digest, in this state, is what would be written again; with a hundred thousand jobs that takes seconds.
"""

import contextlib
import hashlib
import re
from pathlib import Path

from cometflux.basics.regular_files import open_regular, read_regular
from cometflux.journal import looks_file
from cometflux.journal.reader import Journal
from cometflux.storage import atomic

_MARK = re.compile(rb"# cometflux form ")
"""How each such file begins."""
_LARGEST = 1024
_FORM = 2
"""Which form the lines have. With another number, each manifest is written again by the next run."""


def state_of(journal: Journal, folder: Path) -> str:
    """Return all that decides what a manifest holds, apart from the records of images, which do not change. Blocks."""
    looks = "none"
    with contextlib.suppress(OSError, ValueError):
        looks = _digest(folder / looks_file.FILE_NAME)
    names = "today" if journal.has_names_of_today else "before"
    return f"# cometflux form {_FORM} journal {journal.name} change {journal.serial} names {names} looks {looks}"


def is_proven(manifest: Path, state: str) -> bool:
    """Whether *manifest* was written from this *state*, and is as it was written. Blocks."""
    with contextlib.suppress(OSError, ValueError):
        proof = read_regular(_path(manifest), _LARGEST)
        return proof.startswith(state.encode()) and proof == _proof(manifest, state)
    return False


def write_proof(manifest: Path, state: str) -> None:
    """Note that *manifest* was written from this *state*, unless a file of the user's has the name. Blocks."""
    # Without a proof the next run writes the manifest again.
    with contextlib.suppress(OSError, ValueError):
        path = _path(manifest)
        if atomic.free_name(path, _MARK) == path:
            atomic.replace(path, _proof(manifest, state))


def _path(manifest: Path) -> Path:
    return manifest.with_suffix(".sha256")


def _proof(manifest: Path, state: str) -> bytes:
    return f"{state}\n{_digest(manifest)}  {manifest.name}\n".encode()


def _digest(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
