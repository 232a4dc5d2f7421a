"""Make records that may be shared: without any detail of the machine on which the image was made."""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cometflux.images import summaries
from cometflux.models.output_of import OutputOf, map_parts
from cometflux.protocol import decoding, encoding

_URL = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_KEPT = ("key", "index", "model", "input", "prediction")


def portable_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a record so that it may be shared: paths become file names, and URLs lose their password and query.

    Characters that UTF-8 cannot encode become question marks.
    """
    kept = {name: record.get(name) for name in _KEPT}
    kept["input"] = portable_input(kept["input"] or {})
    if record.get("tags"):
        kept["tags"] = dict(record["tags"])
    if record.get("sources"):
        kept["sources"] = record["sources"]
    kept["prediction"] = dict(kept["prediction"] or {})
    text = encoding.dump_line(kept).encode("utf-8", "replace")
    value = decoding.load_json(text)
    assert isinstance(value, dict)
    return value


def portable_input(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy an input so that it may be shared, as `portable_record` does."""
    described = values if summaries.is_flat(values) else summaries.summarize_input(values)
    return {
        name: value if type(value) is int or _is_prose(name) else map_parts(value, _portable)
        for name, value in described.items()
    }


def _is_prose(name: str) -> bool:
    """Whether a parameter has prose, whatever that begins with. An ``image_prompt`` has an image."""
    return "prompt" in name and "image" not in name


def _portable(value: Any) -> Any:
    match value:
        case str():
            return _portable_text(value)  # most are
        case Path():
            return value.name
        case OutputOf():
            return str(value)
        case bytes():
            return summaries.describe_bytes(value)
        case _:
            return value


def _portable_text(text: str) -> str:
    if text.startswith(("/", "~")) or text[:5].lower() == "file:":
        return PurePosixPath(text).name
    if _URL.match(text):
        with contextlib.suppress(ValueError):
            # The part before an @ may hold a password, and the query may hold a signature.
            parts = urlsplit(text)
            return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    # Most texts are no path, and it takes long to read one as a path.
    may_be_path = text[:1] == "\\" or (text[1:2] == ":" and text[0].isalpha())
    return PureWindowsPath(text).name if may_be_path and PureWindowsPath(text).is_absolute() else text
