"""The saved pictures of a folder with what is known of each, as rows that have the same columns."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux.basics.plain_text import is_utf8
from cometflux.errors import ConfigError
from cometflux.journal.attempts import SavedFile
from cometflux.journal.image_sets import image_sets
from cometflux.journal.manifest import line_of
from cometflux.journal.reader import Journal
from cometflux.storage.file_names import is_inside
from cometflux.storage.picks import read_picks

_FACTS = ("index", "key", "model", "prompt", "seed", "prediction_id", "created_at")
_RESERVED = ("file_name", "text", "image", *_FACTS)

Caption = Callable[[Mapping[str, Any]], str]
Value = str | int | float | bool | None


@attrs.frozen(kw_only=True)
class Picture:
    """A saved picture."""

    path: Path
    name: str
    """Its name in the folder: relative, with ``/`` between the parts."""
    fields: Mapping[str, Value]
    """What is known of it; every picture of an export has the same names."""
    text: str
    """Its caption."""
    is_changed: bool = False
    """Whether its file has different bytes from when it was saved."""

    @property
    def stem(self) -> str:
        """Its name without its ending."""
        return self.name.removesuffix(self.path.suffix)


def read_pictures(folder: Path, *, only_picks: bool, caption: Caption | None) -> tuple[list[Picture], list[str]]:
    """Read the saved pictures of a folder from its journal, in the order of the jobs.

    For a job that was redone, these are its last pictures, even if making it again left none; picks may also choose
    earlier ones.

    Returns the pictures, and the names of those that are not in the folder any more.

    Raises:
        ConfigError: there is no journal, the pictures are only in an object store, the picks are missing or wrong, or a
            caption is not a text.
        JournalError: the journal cannot be read.
    """
    with Journal(folder) as journal:
        place = journal.place
        jobs = [image_sets(record) for record in sorted(journal.records(), key=lambda record: record.index)]
    if only_picks:
        records = [each for sets in jobs for each in sets]
        chosen = read_picks(folder, {file.name for record in records for file in record.files})
        records = [record for record in records if any(file.name in chosen for file in record.files)]
    else:
        records = [each for sets in jobs for each in sets[-1:]]
    lines = (line_of(record, folder) for record in records)
    rows = [(name, _fields(line)) for line in lines for name in line["files"] if not only_picks or name in chosen]
    values = align([fields for _, fields in rows])
    saved = {file.name: file for record in records for file in record.files}
    there, missing = [], []
    for (name, _), fields in zip(rows, values, strict=True):
        path = folder / name
        # A journal may come from somebody else.
        if is_inside(name) and path.is_file():
            text = str(fields.get("prompt") or "") if caption is None else _captioned(caption, fields)
            is_changed = _is_changed(path, saved[name])
            there.append(Picture(path=path, name=name, fields=fields, text=text, is_changed=is_changed))
        else:
            missing.append(name)
    if place is not None and missing and not there:
        raise ConfigError(f"the pictures of {str(folder)!r} are at {place}; fetch them into the folder first")
    return there, missing


def _is_changed(path: Path, saved: SavedFile) -> bool:
    """Whether a file has different bytes from when it was saved; False if it cannot be read, which its export tells."""
    try:
        if path.stat().st_size != saved.size:
            return True
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() != saved.digest
    except OSError:
        return False


def _captioned(caption: Caption, fields: Mapping[str, Any]) -> str:
    text: object = caption(fields)
    if not isinstance(text, str) or not is_utf8(text):
        raise ConfigError(setting="caption", given=text, allowed="must make texts that UTF-8 can encode")
    return text


def _fields(line: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in {**line["tags"], **line["input"]}.items() if name not in _RESERVED}
    facts = {name: line[name] for name in _FACTS}
    if facts["created_at"] is not None:
        facts["created_at"] = facts["created_at"].isoformat()
    return {**facts, **own}


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def align(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Value]]:
    """Give all *rows* the same names, and each name one type: readers of datasets need both.

    A name that a row lacks is None there. Whole numbers beside others become floats; lists, objects, values of
    different types and whole numbers of more than 64 bits become JSON text.
    """
    rows = [{name: _storable(value) for name, value in row.items()} for row in rows]
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            kinds.setdefault(name, set()).update({type(value)} - {type(None)})
    readers = {name: _reader(found) for name, found in kinds.items()}
    return [{name: _read(reader, row.get(name)) for name, reader in readers.items()} for row in rows]


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _writable(value)
    # The whole numbers of Arrow, and so those of the readers of datasets, have 64 bits and a sign.
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def _writable(text: str) -> str:
    # The name of a reference image may be in any encoding.
    return text if is_utf8(text) else text.encode("utf-8", "replace").decode()


def _reader(found: set[type]) -> Callable[[Any], Value]:
    if found <= {str} or found <= {int} or found <= {bool}:
        return lambda value: value
    return float if found <= {int, float} else _as_text


def _read(reader: Callable[[Any], Value], value: Any) -> Value:
    return None if value is None else reader(value)


def _as_text(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else _writable(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str))
    )
