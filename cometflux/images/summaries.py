"""Short descriptions of image inputs, for records and for comparison."""

import hashlib
from collections.abc import Mapping
from typing import Any

from cometflux.images.data_uris import read_data_uri
from cometflux.images.formats import media_type
from cometflux.models.image_kinds import read_image_uri
from cometflux.models.output_of import SCALARS, map_parts


def describe_bytes(data: bytes) -> dict[str, Any]:
    """Describe an image for a record: its type, size in bytes and digest."""
    return {"type": media_type(data), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def describe_input(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy an input for comparison, with data URIs in their usual spelling replaced by their descriptions.

    Jobs are known by it, so another spelling stays as it is: its description would make the job another one.
    """
    return {name: map_parts(value, _identified) for name, value in values.items()}


def summarize_input(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy an input for a record that people read, with every image in a data URI replaced by its description."""
    return {name: map_parts(value, _summarized) for name, value in values.items()}


def _identified(text: Any) -> Any:
    if not isinstance(text, str) or not text.startswith("data:") or ";base64," not in text[:200]:
        return text
    try:
        return describe_bytes(read_data_uri(text))
    except ValueError:
        return text


def _summarized(text: Any) -> Any:
    if not isinstance(text, str) or not _is_data(text):
        return text
    try:
        described = describe_bytes(read_image_uri(text)[1])
    except ValueError:
        return text
    # A prompt may also begin with "data:".
    is_encoded = text.partition(",")[0].lower().endswith(";base64")
    return described if described["type"] or is_encoded else text


def _is_data(text: str) -> bool:
    return text[:5].lower() == "data:"


def is_flat(values: Mapping[str, Any]) -> bool:
    """Whether an input has only texts and numbers, and no image, so that its description is the input itself."""
    if not SCALARS.issuperset(map(type, values.values())):
        return False
    return not any(map(_is_data, [value for value in values.values() if type(value) is str and value[4:5] == ":"]))


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
