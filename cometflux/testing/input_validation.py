"""Validate request bodies: their shape, and each value against the model's schema.

Unknown input keys are not rejected, because the real service silently drops them.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from cometflux.models.model import Known

_ALLOWED = frozenset({"input", "stream", "webhook", "webhook_events_filter", "webhook_completed"})


@attrs.frozen
class Invalid:
    """One rejected field, an entry of ``invalid_fields``."""

    type: str
    field: str
    description: str


class Refusal(Exception):  # noqa: N818 - a response, not a defect
    """A request is rejected. Has the status, the title, the detail and the rejected fields of the response."""

    def __init__(self, status: int, title: str, detail: str, fields: tuple[Invalid, ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.fields = fields


def read_body(raw: bytes, *more: str) -> dict[str, Any]:
    """Return the JSON object in *raw*. *more* are allowed top-level keys besides the usual ones.

    Raises:
        Refusal: the body is not JSON, is not an object, has no input object, or has an unknown top-level key.
    """
    try:
        body: Any = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refusal(400, "Bad Request", "The request body could not be read as JSON") from None
    if not isinstance(body, dict):
        _refuse(Invalid("invalid_type", "(root)", f"Invalid type. Expected: object, given: {_name(body)}"))
    extra = [key for key in body if key not in _ALLOWED and key not in more]
    _refuse(*(_extra(key) for key in extra))
    if "input" not in body:
        _refuse(Invalid("required", "(root)", "input is required"))
    if not isinstance(body["input"], dict):
        _refuse(Invalid("invalid_type", "input", f"Invalid type. Expected: object, given: {_name(body['input'])}"))
    found: dict[str, Any] = body
    return found


def check_input(model: "Known", given: Mapping[str, Any]) -> None:
    """Check an input against the schema of *model*.

    Raises:
        Refusal: the prompt is missing, or a value is of the wrong type or out of range.
    """
    _refuse(*_faults(model, given))


def _faults(model: "Known", given: Mapping[str, Any]) -> Iterator[Invalid]:
    from cometflux import flux

    for parameter in flux.parameters(model):
        if parameter.name in given and not (parameter.nullable and given[parameter.name] is None):
            field = f"input.{parameter.name}"
            reason = _reason(field, parameter.kind.json_schema, given[parameter.name])
            if reason is not None:
                yield Invalid(reason[0], field, reason[1])
        elif parameter.required and parameter.name not in given:
            yield Invalid("required", "input", f"{parameter.name} is required")


_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def _reason(field: str, schema: Mapping[str, Any], value: object) -> tuple[str, str] | None:
    """Return why *value* is rejected, as a type and a description; None if it is valid."""
    name = schema.get("type")
    if name is None:
        return None
    types = _TYPES[name]
    # JSON has one type of number, so 4.0 is an integer.
    if name == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        return "invalid_type", f"Invalid type. Expected: {name}, given: {_name(value)}"
    if isinstance(value, list):
        reasons = (_reason(field, schema["items"], each) for each in value)
        return next((reason for reason in reasons if reason is not None), None)
    if value not in schema.get("enum", [value]):
        listed = ", ".join(f'"{each}"' for each in schema["enum"])
        return "enum", f"{field} must be one of the following: {listed}"
    if isinstance(value, int | float):
        if value < schema.get("minimum", value):
            return "number_gte", f"Must be greater than or equal to {schema['minimum']}"
        if value > schema.get("maximum", value):
            return "number_lte", f"Must be less than or equal to {schema['maximum']}"
    return None


def _refuse(*fields: Invalid) -> None:
    if fields:
        detail = "".join(f"- {each.field}: {each.description}\n" for each in fields)
        raise Refusal(422, "Input validation failed", detail, fields)


def _extra(key: str) -> Invalid:
    return Invalid("additional_property_not_allowed", "(root)", f"Additional property {key} is not allowed")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _name(value: object) -> str:
    return next((name for name, types in _TYPES.items() if type(value) in types), "null")
