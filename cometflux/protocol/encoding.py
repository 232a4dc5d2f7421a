"""JSON out: request bodies, records and lines, and the fingerprint of a job."""

import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import cattrs

from cometflux.errors import CometfluxError, InputError
from cometflux.images import data_uris, summaries
from cometflux.jobs import Job
from cometflux.models.output_of import OutputOf, map_parts
from cometflux.models.spelling import of_any_size, tidy

# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class MissingBytes(dict[str, Any]):
    """An image that was given as bytes. The journal keeps only its type, size and digest."""


def finite(value: Any) -> Any:
    """Return *value* with the numbers that JSON does not have as texts: ``NaN``, ``Infinity`` and ``-Infinity``."""
    return map_parts(value, _finite)


def _finite(value: Any) -> Any:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def make_encoder(*, indent: int | None = None, **style: Any) -> Callable[[Any], str]:
    """Return a function that writes plain values as strict JSON; *style* is for `json.JSONEncoder`.

    Make it once. json.dumps makes an encoder for each value, which takes longer than to write a small one.
    """
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=indent, **style)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None or indent is not None:
        # Not every Python has it, and it does not indent.
        return encoder.encode
    # The one that `encoder.encode` makes for each value, too.
    quote, separators = json.encoder.encode_basestring, (encoder.key_separator, encoder.item_separator)
    write = make(None, encoder.default, quote, None, *separators, encoder.sort_keys, encoder.skipkeys, False)
    return lambda value: "".join(write(value, 0))


def _or_finite(encode: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return *encode* with the numbers that JSON does not have as texts."""

    def write(value: Any) -> str:
        try:
            return encode(value)
        except ValueError:
            return encode(finite(value))

    return write


_encode_body = make_encoder()
_encode_canonical = _or_finite(make_encoder(sort_keys=True, separators=(",", ":")))
_encode_readable = _or_finite(make_encoder(indent=2))
_encode_line = _or_finite(_encode_body)


def dump_body(job: Job) -> bytes:
    """Write the request body that submits *job*.

    Raises:
        InputError: an image is too large, cut short, not an image, or is a path. No file is read here.
    """
    ready = dict(job.input)
    if not summaries.is_flat(ready):
        for field, uri in data_uris.find_uris(job):
            data_uris.check_data_uri(field, uri)
        ready = {name: _ready(name, value) for name, value in ready.items()}
    return _encode_body({"input": ready}).encode()


def _ready(field: str, value: Any) -> Any:
    match value:
        case str():
            return value  # most are
        case MissingBytes():
            raise InputError(field, dict(value), "the journal does not keep bytes; give the image again")
        case bytes():
            return data_uris.data_uri(field, value)
        case OutputOf():
            raise InputError(field, str(value), "outputs are put in by the session; here it must be an image")
        case Path():
            raise InputError(field, value, "files are read by the session; here it must be a URL, a data URI or bytes")
        case Mapping():
            return {name: _ready(field, part) for name, part in value.items()}
        case list() | tuple():
            return [_ready(field, part) for part in value]
        case _:
            return value


def dump_canonical(value: Any) -> bytes:
    """Write *value* as canonical JSON: sorted, without whitespace, in UTF-8."""
    return _encode_canonical(value).encode()


def dump_readable(value: Any) -> str:
    """Write *value*, which may hold objects of this package, as indented JSON for people. Images become digests."""
    return _dump_mixed(value, _encode_mixed_readable, _encode_readable)


def dump_line(value: Any) -> str:
    """Write *value*, which may hold objects of this package, as JSON on one line. Images become digests."""
    return _dump_mixed(value, _encode_mixed_line, _encode_line)


def _dump_mixed(value: Any, encode_mixed: Callable[[Any], str], encode: Callable[[Any], str]) -> str:
    try:
        # Most parts are plain already, and the converter would copy each of them.
        return encode_mixed(value)
    except (TypeError, ValueError):
        return encode(_converter().unstructure(value))


def _convert(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()  # most are
    converted = _converter().unstructure(value)
    if converted is value:
        raise TypeError(f"no JSON can be written for a {type(value).__name__}")
    return converted


@functools.cache
def _converter() -> cattrs.Converter:
    """Return the converter of this package's objects to plain values. It is made at the first call."""
    converter = cattrs.Converter()
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_unstructure_hook(Path, str)
    converter.register_unstructure_hook(OutputOf, str)
    converter.register_unstructure_hook(bytes, summaries.describe_bytes)
    converter.register_unstructure_hook(CometfluxError, _describe_error)
    return converter


def _describe_error(error: CometfluxError) -> dict[str, Any]:
    return {"type": type(error).__name__, "message": str(error), "money": error.money}


_encode_mixed_line = make_encoder(default=_convert)
_encode_mixed_readable = make_encoder(default=_convert, indent=2)


_EXACT = frozenset({str, int, bool, type(None)})
"""The types of the values that have one spelling only."""


def fingerprint(model: str, described: Mapping[str, Any]) -> str:
    """Return a digest of a job's model and input. *described* is the input with each image replaced by its digest.

    Spellings of one value have equal digests: 3 and 3.0, 3.1 and the same number from four bytes, and the prompts that
    `spelling.tidy` makes equal.
    """
    return digest(model, canonical(described))


def canonical(described: Mapping[str, Any]) -> dict[str, Any]:
    """Copy an input with each value in the spelling by which it is compared."""
    values = dict(described)
    if not _EXACT.issuperset(map(type, values.values())):
        values = map_parts(described, _shortened)
    if isinstance(prompt := values.get("prompt"), str):
        values["prompt"] = tidy(prompt)
    return values


def _shortened(value: Any) -> Any:
    match value:
        case float():
            return of_any_size(value)
        case OutputOf():
            return value.facts
        case _:
            return value


def digest(model: str, described: Mapping[str, Any]) -> str:
    """Return a digest of a model and an input as they are; equal numbers have equal digests."""
    if not _EXACT.issuperset(map(type, described.values())):
        described = map_parts(described, _by_value)
    return hashlib.sha256(dump_canonical({"input": described, "model": model})).hexdigest()


def _by_value(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
