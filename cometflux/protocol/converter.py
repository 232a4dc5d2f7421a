"""The cattrs converter for the API's JSON: strict hooks for every primitive, so that no value changes silently."""

import functools
from collections.abc import Mapping
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from pathlib import Path
from typing import Any

import cattrs

from cometflux.errors import CometfluxError
from cometflux.images import summaries
from cometflux.models.output_of import OutputOf


def expect(value: Any, kind: type[Any]) -> Any:
    """Return *value* if its type is exactly *kind*.

    Raises:
        ValueError: it has another type.
    """
    if type(value) is not kind:
        raise ValueError(f"not a {kind.__name__}")
    return value


def structure_datetime(value: Any, _: Any) -> datetime:
    """Read a time, as a hook of the converter.

    Raises:
        ValueError: it is not a time, or leaves the calendar in some time zone.
    """
    if type(value) is not str:
        raise ValueError("no time of a prediction")
    moment = datetime.fromisoformat(value)
    # In another time zone it would leave the calendar.
    if not MINYEAR < moment.year < MAXYEAR:
        raise ValueError("no time of a prediction")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@functools.cache
def wire_converter() -> cattrs.Converter:
    """Return the converter. It is made at the first call."""
    # Without these hooks cattrs would turn null into "None", 42 into "42" and a string into letters.
    converter = cattrs.Converter()
    converter.register_structure_hook(str, lambda value, _: expect(value, str))
    converter.register_structure_hook(bool, lambda value, _: expect(value, bool))
    converter.register_structure_hook_func(lambda kind: kind == Mapping[str, Any], lambda value, _: expect(value, dict))
    converter.register_structure_hook(datetime, structure_datetime)
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_unstructure_hook(Path, str)
    converter.register_unstructure_hook(OutputOf, str)
    converter.register_unstructure_hook(bytes, summaries.describe_bytes)
    converter.register_unstructure_hook(CometfluxError, _describe_error)
    return converter


def _describe_error(error: CometfluxError) -> dict[str, Any]:
    return {"type": type(error).__name__, "message": str(error), "money": error.money}
