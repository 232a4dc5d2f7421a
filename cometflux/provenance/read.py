"""Read how a picture was made, from the picture itself or from its sidecar: the JSON file next to it.

A picture has a record if it was saved with ``embed=True``. The record stays in every copy of the picture. It has no
path of this machine, no password and no key.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux.basics.regular_files import IrregularFileError, read_regular
from cometflux.errors import ConfigError
from cometflux.images import formats
from cometflux.provenance import embed, sidecar


@attrs.frozen(kw_only=True)
class Provenance:
    """How a picture was made."""

    record: Mapping[str, Any]
    """``key``, ``index``, ``model``, ``input`` and ``prediction``; a sidecar also has the file's size and digest."""
    is_embedded: bool
    """Whether the record comes from the picture itself."""
    is_unchanged: bool | None
    """Whether the picture has the same bytes as when it was saved; None if no sidecar shows it."""


def read_provenance(path: str | Path) -> Provenance:
    """Read how the picture at *path* was made: from the picture, else from the JSON file next to it. Blocks.

    Raises:
        ConfigError: there is no such picture, or no record of how it was made.
    """
    if not isinstance(path, str | Path) or not str(path).strip():
        raise ConfigError(setting="path", given=path, allowed="must be the path of a picture")
    path = Path(path)
    data = _read(path)
    if formats.media_type(data) is None:
        hint = "; give the picture that it describes" if path.suffix == ".json" else ""
        raise ConfigError(f"{str(path)!r} is not a PNG, JPEG, WebP or GIF{hint}")
    neighbour, reason = _read_sidecar(path, data)
    embedded = embed.extract(data)
    is_unchanged = None if neighbour is None else neighbour.get("sha256") == hashlib.sha256(data).hexdigest()
    record = neighbour if embedded is None else embedded
    if record is None:
        raise ConfigError(f"no record says how {str(path)!r} was made: there is none in the picture, and {reason}")
    return Provenance(record=record, is_embedded=embedded is not None, is_unchanged=is_unchanged)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, formats.LARGEST_OUTPUT, follows_links=True)
    except (IrregularFileError, IsADirectoryError) as error:
        raise ConfigError(f"{str(path)!r} is not a file; give a picture") from error
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or "no file can have this name"
        raise ConfigError(f"the picture {str(path)!r} cannot be read: {words}") from error


def _read_sidecar(path: Path, data: bytes) -> tuple[dict[str, Any] | None, str]:
    """Read the sidecar of a picture. Return None, and the reason, if it cannot be read or is about another file."""
    name = path.with_suffix(".json").name
    reason = f"none next to it ({name})"
    try:
        found = sidecar.load_sidecar(path)
    except FileNotFoundError:
        return None, reason
    except (OSError, ValueError) as error:
        return None, f"{name} next to it cannot be read: {getattr(error, 'strerror', None) or error}"
    match found:
        case {"model": _, "input": dict(), "prediction": {"id": str()}, "file": file, "sha256": digest} as record:
            # A copy with another name is recognized by its bytes.
            if file == path.name or digest == hashlib.sha256(data).hexdigest():
                return dict(record), ""
    return None, reason
