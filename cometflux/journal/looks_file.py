"""The file of a folder that keeps what its pictures look like, so that each picture is looked at once."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cometflux.basics.regular_files import read_regular
from cometflux.images.looks import Flaw, Look, find_near
from cometflux.protocol import encoding
from cometflux.provenance.sidecar import load_record
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


def read_facts(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the flaw of each picture that was looked at, and the name of an earlier one that it nearly equals."""
    looks = read_looks(folder)
    near = find_near(looks.items())
    return {name: {"flaw": look.flaw, "near": near.get(name)} for name, look in looks.items()}


def _read(line: bytes) -> tuple[str, Look] | None:
    try:
        match load_record(line):
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
