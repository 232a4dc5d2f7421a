"""Short descriptions of image inputs, for records and for comparison."""

import hashlib
from collections.abc import Mapping
from typing import Any

from cometflux.images.data_uris import read_data_uri
from cometflux.images.formats import media_type


def describe_bytes(data: bytes) -> dict[str, Any]:
    """Describe an image for a record: its type, size in bytes and digest."""
    return {"type": media_type(data), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def describe_input(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy an input for a record, with data URIs replaced by their descriptions."""
    return {name: _described(value) for name, value in values.items()}


def _described(value: Any) -> Any:
    match value:
        # A prompt may also begin with "data:".
        case str() if value.startswith("data:") and ";base64," in value[:200]:
            try:
                return describe_bytes(read_data_uri(value))
            except ValueError:
                return value
        case str():
            return value  # most are
        case list() | tuple():
            return [_described(part) for part in value]
        case Mapping():
            return describe_input(value)
        case _:
            return value


def is_flat(values: Mapping[str, Any]) -> bool:
    """Whether an input has only texts and numbers, and no image, so that its description is the input itself."""
    for value in values.values():
        if type(value) not in _FLAT or (type(value) is str and value.startswith("data:")):
            return False
    return True


_FLAT = frozenset({str, int, float, bool, type(None)})


def is_heavy(value: Any) -> bool:
    """Whether a value of an input is a long data URI, or a list that holds one."""
    if isinstance(value, list):
        return any(map(is_heavy, value))
    return isinstance(value, str) and len(value) > 1000 and value.startswith("data:")


def measure(value: Any) -> int:
    """Count the characters of all texts in an input. That is about its size in bytes, since images are the bulk."""
    match value:
        case str():
            return len(value)
        case list() | tuple():
            return sum(map(measure, value))
        case Mapping():
            return sum(map(measure, value.values()))
        case _:
            return 0
