"""The marks of a folder's pictures, in its file ``picks.jsonl``.

The file has a line for each mark: ``{"file": "00000-a-fox.webp", "mark": "star"}``, or ``reject``, or ``none``. The
last line of a picture counts.
"""

import contextlib
from collections.abc import Container, Mapping
from enum import StrEnum
from pathlib import Path

from cometflux.basics.regular_files import read_regular
from cometflux.errors import AnswerError, ConfigError
from cometflux.protocol import decoding, encoding
from cometflux.storage import atomic
from cometflux.storage.paths import PICKS

_MOST_BYTES = 64 * 2**20
_ALLOWED = '{"file": "…", "mark": "star"}, or "reject", or "none"'


class Mark(StrEnum):
    """The mark of a picture."""

    STAR = "star"
    REJECT = "reject"
    NONE = "none"


Marks = Mapping[str, Mark]
"""The marks by the file names of the pictures; a picture without a mark is not in it."""

# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def parse_marks(data: bytes, name: str) -> dict[str, Mark]:
    """Read the marks out of *data*, also those that take a mark back; *name* is the file's, for errors.

    Raises:
        ConfigError: a line is not a mark, or the last one is cut off.
    """
    marks: dict[str, Mark] = {}
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = parse_mark(line)
        if found is None:
            is_cut = number == len(lines) and line.lstrip().startswith(b"{") and not line.rstrip().endswith(b"}")
            words = "is cut off; copy the file once more, or remove this line" if is_cut else f"must be {_ALLOWED}"
            raise ConfigError(f"{name!r}, line {number}: {words}")
        marks.update([found])
    return marks


def parse_mark(data: bytes) -> tuple[str, Mark] | None:
    """Read one mark, with the file name of its picture; None if *data* is not one."""
    with contextlib.suppress(AnswerError):
        match decoding.load_json(data):
            case {"file": str(file), "mark": "star" | "reject" | "none" as mark}:
                return file, Mark(mark)
    return None


def merge(marks: Marks, later: Marks) -> dict[str, Mark]:
    """Return *marks* with the *later* ones, which count; ``none`` takes a mark back."""
    return {file: mark for file, mark in {**marks, **later}.items() if mark is not Mark.NONE}


def dump_marks(marks: Marks) -> bytes:
    """Write *marks* as lines."""
    return "".join(f"{encoding.dump_line({'file': file, 'mark': mark})}\n" for file, mark in marks.items()).encode()


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_marks(folder: Path, known: Container[str] | None) -> dict[str, Mark]:
    """Read the marks of a folder; empty if it has no such file. Blocks.

    Args:
        folder: the folder with the pictures.
        known: the names of its pictures; None if the names in the file are not checked.

    Raises:
        ConfigError: the file cannot be read, a line is wrong, or it names a picture that is not in *known*.
    """
    return _read(folder, known) or {}


def read_picks(folder: Path, known: Container[str]) -> set[str]:
    """Read the names of the pictures that have a star. *known* has the names of the folder's pictures. Blocks.

    Raises:
        ConfigError: as `read_marks`, or there is no such file, or no picture has a star.
    """
    marks = _read(folder, known)
    path = str(folder / PICKS)
    if marks is None:
        raise ConfigError(f"there is no file {path!r}; choose pictures in the gallery first")
    chosen = {file for file, mark in marks.items() if mark is Mark.STAR}
    if not chosen:
        raise ConfigError(f"{path!r} marks no picture with a star")
    return chosen


def _read(folder: Path, known: Container[str] | None) -> dict[str, Mark] | None:
    path = folder / PICKS
    try:
        data = read_regular(path, _MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    marks = merge({}, parse_marks(data, str(path)))
    if known is not None and (others := [file for file in marks if file not in known]):
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise ConfigError(f"{str(path)!r} names {others[0]!r}{more}, which this folder has not saved")
    return marks


def write_marks(folder: Path, marks: Marks) -> None:
    """Write the marks of a folder, in place of those before. Blocks.

    Raises:
        ConfigError: they cannot be written; the file is as it was.
    """
    path = folder / PICKS
    try:
        atomic.replace(path, dump_marks(marks))
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error
