"""How a picture was made, told by the picture itself or by the record beside it.

A record within the picture is there where ``embed=True`` was given; it goes with the picture wherever that goes, and
holds no path of this machine, no password and no key.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux.errors import ConfigError
from cometflux.images import formats
from cometflux.provenance import embed, sidecar


@attrs.frozen(kw_only=True)
class Provenance:
    """How a picture was made."""

    record: Mapping[str, Any]
    """``key``, ``index``, ``model``, ``input`` and ``prediction``; from beside the picture, its size and digest too."""
    is_embedded: bool
    """Whether the picture itself told it."""
    is_unchanged: bool | None
    """Whether the picture is the very file that was saved; None where no record beside it could tell."""


def read_provenance(path: str | Path) -> Provenance:
    """Read how the picture at *path* was made: from the picture, else from the JSON file beside it. Blocks.

    Raises:
        ConfigError: there is no such picture, or nothing tells how it was made.
    """
    if not isinstance(path, str | Path) or not str(path).strip():
        raise ConfigError(setting="path", given=path, allowed="allowed is the path of a picture")
    path = Path(path)
    data = _read(path)
    if formats.media_type(data) is None:
        hint = "; give the picture that it is about" if path.suffix == ".json" else ""
        raise ConfigError(f"{str(path)!r} is no PNG, JPEG, WebP or GIF{hint}")
    beside = _read_beside(path, data)
    embedded = embed.extract(data)
    is_unchanged = None if beside is None else beside.get("sha256") == hashlib.sha256(data).hexdigest()
    record = beside if embedded is None else embedded
    if record is None:
        raise ConfigError(
            f"nothing tells how {str(path)!r} was made: no record is in it, and none is beside it "
            f"({path.with_suffix('.json').name})"
        )
    return Provenance(record=record, is_embedded=embedded is not None, is_unchanged=is_unchanged)


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{str(path)!r} is no file; give a picture")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or "no file can have this name"
        raise ConfigError(f"the picture {str(path)!r} cannot be read: {words}") from error


def _read_beside(path: Path, data: bytes) -> dict[str, Any] | None:
    """Read the record beside a picture; None where it is about another file, or about none."""
    match sidecar.read_beside(path):
        case {"model": _, "input": dict(), "prediction": {"id": str()}, "file": file, "sha256": digest} as record:
            # A copy under another name is known by its bytes.
            is_its = file == path.name or digest == hashlib.sha256(data).hexdigest()
            return dict(record) if is_its else None
        case _:
            return None
