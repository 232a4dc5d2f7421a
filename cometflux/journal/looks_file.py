"""The file of a folder that keeps what its pictures look like, so that each picture is looked at once."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from cometflux.images.looks import Flaw, Look
from cometflux.protocol import decoding, encoding
from cometflux.regular_files import read_regular
from cometflux.storage import atomic

FILE_NAME = "looks.jsonl"
_LARGEST = 256 * 1024 * 1024
_HASH = re.compile(r"[0-9a-f]{16}")


def read_looks(folder: Path) -> dict[str, Look]:
    """Read what the pictures of *folder* look like, by their file names; empty without a readable file. Blocks."""
    try:
        lines = read_regular(folder / FILE_NAME, _LARGEST).split(b"\n")
    except (OSError, ValueError):
        return {}
    return dict(found for line in lines if line and (found := _read(line)) is not None)


def _read(line: bytes) -> tuple[str, Look] | None:
    try:
        match decoding.load_json(line):
            case {"file": str(name), "flaw": (str() | None) as flaw, "hash": str(code)} if _HASH.fullmatch(code):
                return name, Look(flaw=None if flaw is None else Flaw(flaw), hash=int(code, 16))
    except ValueError:
        pass
    return None


def write_looks(folder: Path, looks: Mapping[str, Look]) -> None:
    """Write what the pictures of *folder* look like. Blocks.

    Raises:
        OSError: the file cannot be written; the one before stays.
    """
    atomic.replace(folder / FILE_NAME, "".join(_lines(looks.items())).encode("utf-8", "surrogateescape"))


def _lines(looks: Iterable[tuple[str, Look]]) -> Iterable[str]:
    for name, look in looks:
        yield f"{encoding.dump_line({'file': name, 'flaw': look.flaw, 'hash': f'{look.hash:016x}'})}\n"
