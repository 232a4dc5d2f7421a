"""Read the API's JSON: strict about ids, status and output, lenient about every other field.

Reading is total: any bytes become a value or an `AnswerError`. A lenient field that cannot be read counts as left out,
and its raw value is kept in ``extra``.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Any, NamedTuple, get_args

import attrs

from cometflux.errors import AnswerError
from cometflux.images import summaries
from cometflux.predictions import Prediction, Status
from cometflux.protocol import outputs
from cometflux.protocol.encoding import dump_canonical

_HALVES = re.compile(r"\\u[dD][89a-fA-F]")
_STATUSES = {
    # Replicate's words
    "starting": Status.STARTING,
    "processing": Status.PROCESSING,
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.CANCELED,
    "aborted": Status.ABORTED,
    # the gateway's words, in lower case
    "not_start": Status.STARTING,
    "submitted": Status.STARTING,
    "queued": Status.STARTING,
    "in_progress": Status.PROCESSING,
    "success": Status.SUCCEEDED,
    "failure": Status.FAILED,
    # seen at gateways of the same make
    "completed": Status.SUCCEEDED,
    "error": Status.FAILED,
    "cancelled": Status.CANCELED,
}

# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def load_json(body: bytes) -> Any:
    """Read a JSON body. Values that are nested more than 64 levels deep are read as null.

    Raises:
        AnswerError: it is not JSON, or is nested too deep for Python's own reader.
    """
    try:
        # Logs may hold a broken character or a raw line break. The rest of the body is still read.
        text = body.decode("utf-8", "replace").removeprefix("\ufeff")
        value = _decode(text)
        if text.count("{") + text.count("[") > _DEEPEST:
            # Every value is copied and written by recursion later.
            value = _shallow(value, _DEEPEST)
        if _HALVES.search(text):
            # A text that was cut may end in half a surrogate pair, which can be neither printed nor stored.
            value = json.loads(json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace"))
        return value
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"the response is not JSON ({_excerpt(body)})") from error


def _no_number(word: str) -> None:
    """Read NaN and the infinities, which are not JSON, as null."""


def _read_float(word: str) -> float | str:
    """Read a number that is too large for a float as a text, because no JSON could be written of it."""
    value = float(word)
    return value if math.isfinite(value) else word


def _read_integer(word: str) -> int | None:
    """Read a number with more digits than Python can read as null, so that the rest of the body is still read."""
    return int(word) if len(word) <= _MOST_DIGITS else None


def _shallow(value: Any, levels: int) -> Any:
    """Return *value* with null in place of every list and object below so many levels."""
    match value:
        case dict():
            return {name: _shallow(part, levels - 1) for name, part in value.items()} if levels else None
        case list():
            return [_shallow(part, levels - 1) for part in value] if levels else None
        case _:
            return value


_DEEPEST = 64
"""More levels than any response has, and than a job's input may have."""
_MOST_DIGITS = 1000
# Made once: json.loads would make one for each response.
_decode = json.JSONDecoder(
    parse_constant=_no_number, parse_float=_read_float, parse_int=_read_integer, strict=False
).decode


def kind_of(value: Any) -> str:
    """Return the JSON type of a value, as a phrase: ``a list``."""
    return _KINDS[type(value)]


_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def load_prediction(
    body: bytes, prediction_id: str, other_id: str | None = None, known_input: Mapping[str, Any] | None = None
) -> Prediction:
    """Read the response to a poll of *prediction_id*, flat or in the gateway's envelope.

    *other_id* is another id that the response may carry, or None. A response that echoes *known_input* shares this
    object, which saves memory.

    Raises:
        AnswerError: the response cannot be read, or is about another prediction.
    """
    parts = _unwrap(_named_by_task(load_json(body)))
    if parts.ids and not {prediction_id, other_id} & {*parts.ids}:
        raise AnswerError(f"the response is about prediction {parts.ids[0][:80]!r}", prediction_id=prediction_id)
    prediction = _build(parts, prediction_id, parts.status or Status.UNRECOGNIZED, known_input)
    # An error without status and id may be the gateway's own, about the request.
    if parts.status is None and not (prediction.output or (prediction.error and parts.ids)):
        raise AnswerError("the response has no status", prediction_id=prediction_id)
    return prediction


def load_created(body: bytes, known_input: Mapping[str, Any] | None = None) -> Prediction | None:
    """Read the response to a submission of *known_input*; None unless it carries a prediction's id.

    The id alone is enough, because it proves that the prediction exists and can be polled.
    """
    try:
        parts = _unwrap(load_json(body))
    except AnswerError:
        return None
    if not parts.ids:
        return None
    # If there is a task id, the gateway knows the prediction by the task id.
    return _build(parts, parts.ids[-1], parts.status or Status.UNRECOGNIZED, known_input)


def find_id(body: bytes) -> str | None:
    """Find an id in a response to a submission whose shape is not known: as ``data``, as ``task_id``, or in a list.

    Returns None if there is none. The id proves nothing until a poll confirms it.
    """
    try:
        return _find_id(load_json(body))
    except AnswerError:
        return None


def _find_id(value: Any) -> str | None:
    # As deep as any gateway puts it. The echoed input is never looked into.
    for _ in range(4):
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str):
            return value or None
        if not isinstance(value, dict):
            return None
        for name in ("id", "task_id"):
            if isinstance(value.get(name), str) and value[name]:
                return str(value[name])
        value = next((value[name] for name in ("data", "prediction", "task") if name in value), None)
    return None


class _Parts(NamedTuple):
    """The parts of a response: the flat prediction, and the other fields of an envelope around it."""

    flat: Mapping[str, Any]
    envelope: Mapping[str, Any]
    ids: tuple[str, ...]
    status: Status | None


def _unwrap(data: Any) -> _Parts:
    if not isinstance(data, dict):
        raise AnswerError(f"the response is {kind_of(data)}, not an object")
    task = data.get("data")
    if not isinstance(task, dict) or isinstance(data.get("id"), str):
        return _parts(data, {})
    if "data" not in task and "task_id" not in task and "progress" not in task:
        return _parts(task, {})
    inner = task.get("data")
    if not isinstance(inner, dict) or ("url" in inner and _OWN.isdisjoint(inner)):
        inner = {"output": inner}
    return _parts(inner, {k: v for k, v in task.items() if k != "data"})


_OWN = frozenset({"id", "status", "output"})
"""Fields of a prediction. An object without them that has a URL is an output."""


def _named_by_task(data: Any) -> Any:
    """Bring an envelope that is not in another one into the usual form."""
    is_bare = isinstance(data, dict) and isinstance(data.get("task_id"), str) and not isinstance(data.get("id"), str)
    return {"data": {"data": None, **data}} if is_bare else data


def _parts(flat: Mapping[str, Any], envelope: Mapping[str, Any]) -> _Parts:
    # The envelope's own id is an integer, the row number of a table; it is not a prediction's id.
    candidates = (flat.get("id"), envelope.get("task_id")) if envelope else (flat.get("id"),)
    ids = tuple([c for c in candidates if isinstance(c, str) and c])
    status = _read_status(flat.get("status"))
    if envelope and not (status is not None and status.is_terminal):
        # The gateway may keep an inner response that was old when the prediction ended.
        outer = _read_status(envelope.get("status"))
        status = outer if status is None or (outer is not None and outer.is_terminal) else status
    return _Parts(flat, envelope, ids, status)


def _read_status(word: Any) -> Status | None:
    if not isinstance(word, str) or not (word := word.strip().lower()):
        return None
    return _STATUSES.get(word, Status.UNRECOGNIZED)


def _build(
    parts: _Parts, prediction_id: str, status: Status, known_input: Mapping[str, Any] | None = None
) -> Prediction:
    known, extra = _read_fields(parts.flat)
    if known_input is not None and known.get("input") == known_input:
        known["input"] = known_input
    if parts.flat.get("id") not in (None, prediction_id):
        extra["id"] = parts.flat["id"]
    if parts.envelope:
        extra["envelope"] = parts.envelope
    output = _load_output(parts)
    if not output and parts.flat.get("output"):
        extra["output"] = parts.flat["output"]
    error = _load_error(parts, status)
    return Prediction(id=prediction_id, status=status, output=output, error=error, extra=extra, **known)


def _read_fields(flat: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the lenient fields of a prediction; return those that are known, and all others as they came."""
    # Thousands may be pending, so equal values in their responses are kept once: the input, field names, the model.
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in flat.items():
        if type(value) is _PLAIN.get(name):
            known[name] = value
        elif name not in _FIELDS:
            extra[sys.intern(name)] = _with_names_once(value) if type(value) is dict else value
        elif value is not None and name in _TYPES:
            try:
                known[name] = _READERS[name](value)
            except (KeyError, ValueError):
                # It has another type than the field.
                extra[name] = value
    for name in _ALIKE:
        if name in known:
            known[name] = sys.intern(known[name])
    return known, extra


def _with_names_once(value: dict[str, Any]) -> dict[str, Any]:
    return {sys.intern(name): part for name, part in value.items()}


def _load_output(parts: _Parts) -> tuple[str, ...]:
    is_final = parts.status is Status.SUCCEEDED
    found = outputs.read_output(parts.flat.get("output"), is_final=is_final)
    if found or not (parts.envelope or is_final):
        return found
    envelope = parts.envelope
    found = outputs.read_output(envelope.get("output"), is_final=is_final) or outputs.find_urls(
        envelope.get("result_url")
    )
    if found or not is_final:
        return found
    # Gateways of the same make put the URL into data; on success, old rows of the gateway have it in fail_reason.
    return outputs.find_urls(parts.flat.get("data")) or outputs.find_urls(envelope.get("fail_reason"))


def _load_error(parts: _Parts, status: Status) -> str | None:
    error = parts.flat.get("error") or (parts.envelope and parts.envelope.get("error"))
    # On success, old rows of the gateway have the result's URL in fail_reason.
    if not error and status is Status.FAILED:
        error = parts.envelope.get("fail_reason")
    if not error:
        return None
    return load_words(error)


def load_words(value: Any) -> str:
    """Return a value that should be a text as a text."""
    if isinstance(value, str):
        return value
    try:
        return dump_canonical(value).decode()
    except RecursionError:  # nested so deep that it could be read but not written
        return f"a {type(value).__name__}"


def expect(value: Any, kind: type[Any]) -> Any:
    """Return *value* if its type is exactly *kind*.

    Raises:
        ValueError: it has another type.
    """
    if type(value) is not kind:
        raise ValueError(f"not a {kind.__name__}")
    return value


def _load_input(value: Any) -> dict[str, Any]:
    """Read the echoed input with its images replaced by digests, because the caller already has the megabytes."""
    echoed: dict[str, Any] = expect(value, dict)
    return summaries.describe_input(echoed) if any(map(summaries.is_heavy, echoed.values())) else echoed


def _load_moment(value: Any) -> datetime:
    """Read a time.

    Raises:
        ValueError: it is not a time, or leaves the calendar in some time zone.
    """
    moment = datetime.fromisoformat(expect(value, str))
    if not MINYEAR < moment.year < MAXYEAR:
        raise ValueError("no time of a prediction")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_LONGEST_URL = 4096


def to_plain(prediction: Prediction) -> dict[str, Any]:
    """Convert a prediction to values that JSON can hold, without its input and logs."""
    # The input is kept with the job, and the logs in the sidecar. Outputs that are data URIs would be megabytes.
    is_light = all(len(url) < _LONGEST_URL for url in prediction.output)
    plain: dict[str, Any] = {"output": list(prediction.output)} if prediction.output and is_light else {}
    for name in _KEPT:
        value = getattr(prediction, name)
        if value is not None and value != {}:
            plain[name] = value.isoformat() if isinstance(value, datetime) else value
    return plain


def from_plain(value: Any) -> Prediction:
    """Make a prediction from the return value of `to_plain`.

    Raises:
        ValueError, LookupError, AttributeError: *value* is something else.
    """
    extra = value.get("extra", {})
    known, _ = _read_fields({**value, "extra": None})
    error = value.get("error")
    return Prediction(
        id=value["id"],
        status=_read_status(value.get("status")) or Status.UNRECOGNIZED,
        output=tuple(value.get("output", ())),
        error=load_words(error) if error else None,
        extra=extra,
        **known,
    )


def normal_moment(value: Any) -> str | None:
    """Return a time that `to_plain` wrote as it would be written again; None if it is not a time."""
    try:
        return None if value is None else _load_moment(value).isoformat()
    except ValueError:
        return None


def _excerpt(body: bytes) -> str:
    """Return a phrase that quotes the start of a body, on one line."""
    if not body:
        return "it is empty"
    text = " ".join(body[:80].decode("utf-8", "replace").split())
    return f"it begins with {text!r}"


_FIELDS = {field.name for field in attrs.fields(Prediction)} - {"extra"}
# None is handled earlier, so "X | None" is read as X.
_TYPES = {
    field.name: get_args(field.type)[0] if type(None) in get_args(field.type) else field.type
    for field in attrs.fields(Prediction)
    if field.name in _FIELDS - {"id", "status", "output", "error"}
}
# Fields whose value is taken as it is if it has exactly this type. Nearly every response does, and this is fast.
_PLAIN = {name: kind for name, kind in _TYPES.items() if kind in (str, bool)} | {"metrics": dict}
_READERS: dict[str, Callable[[Any], Any]] = {
    "input": _load_input,
    **{name: _load_moment for name, kind in _TYPES.items() if kind is datetime},
}
_ALIKE = ("model", "version")
_KEPT = [field.name for field in attrs.fields(Prediction) if field.name not in {"input", "logs", "output"}]
