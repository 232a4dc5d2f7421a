"""Converts a job to the journal's text and back: its plan, which never changes, and its progress."""

import contextlib
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import cattrs
from cattrs.gen import make_dict_unstructure_fn, override

from cometflux.errors import InputError
from cometflux.images import summaries
from cometflux.jobs import NO_TAGS, Tags
from cometflux.journal.attempts import Attempt, Charge, Estimate, Evidence, SavedFile, TakenImage
from cometflux.journal.record import JobRecord
from cometflux.journal.states import State
from cometflux.models.output_of import SCALARS, OutputOf
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction
from cometflux.protocol import decoding, encoding

_PLAN = ("identity", "index", "key", "model", "input", "fingerprint", "source", "name", "tags")


def dump_plan(record: JobRecord) -> str:
    """Convert the plan of a job, which never changes. Files become their paths, bytes their digests."""
    return dump_plan_of(
        key=record.key,
        model=record.model,
        fingerprint=record.fingerprint,
        input=record.input,
        source=record.source,
        name=record.name,
        tags=record.tags,
    )


def dump_plan_of(
    *,
    key: str,
    model: str,
    fingerprint: str,
    input: Mapping[str, Any],  # noqa: A002 - the field
    source: str = "",
    name: str | None = None,
    tags: Mapping[str, str] = NO_TAGS,
) -> str:
    """Convert the parts of a plan, as `dump_plan` does."""
    plan = {"key": key, "model": model, "fingerprint": fingerprint, "input": _write_mapping(input)}
    if source:
        plan["source"] = source
    if name is not None:
        plan["name"] = name
    if tags:
        plan["tags"] = dict(tags)
    return _dump_compact(plan)


def load_plan(plan: str) -> dict[str, Any]:
    """Read the plan of a job that was written by this process, with ``name`` and ``tags``."""
    known: dict[str, Any] = {"name": None, "tags": NO_TAGS, **load_text(plan)}
    known["input"] = load_input(known["input"])
    if known["tags"]:
        known["tags"] = Tags(known["tags"])
    return known


def dump_progress(record: JobRecord) -> str:
    """Write how far a job has come, for the journal."""
    with contextlib.suppress(RecursionError):
        value = _converter().unstructure(record)
        text = _dump_compact(value)
        # Each level opens a bracket: few of them settle it.
        if text.count("{") + text.count("[") <= _DEEPEST or not _is_deep(value):
            return text
    # What is needed of an answer lies flat.
    earlier = tuple(attrs.evolve(each, prediction=_flat(each.prediction)) for each in record.earlier)
    flat = attrs.evolve(record, prediction=_flat(record.prediction), earlier=earlier)
    return _dump_compact(_converter().unstructure(flat))


def _flat(prediction: Prediction | None) -> Prediction | None:
    return prediction and attrs.evolve(prediction, extra={}, metrics={})


_DEEPEST = 100
"""How deep what is written may be nested: what can just be written here may be too deep to be read elsewhere."""


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        parts = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [part for each in parts for part in each]
    return bool(level)


_encode = encoding.make_encoder(separators=(",", ":"))


# Older versions wrote numbers that JSON does not have. They are read as texts.
load_text = json.JSONDecoder(parse_constant=str).decode
"""Reads a text of the journal as the plain values that JSON has."""


def _dump_compact(value: Any) -> str:
    try:
        text = _encode(value)
        text.encode()
    except (TypeError, ValueError):
        # It has a number that JSON does not have, a name that is no text, or half of a pair of surrogates, as in the
        # name of a file.
        return json.dumps(encoding.finite(value), allow_nan=False, separators=(",", ":"))
    return text


def load_record(identity: str, index: int, plan: str, progress: str) -> JobRecord:
    """Read a job from the journal.

    Raises:
        ValueError: it is not what was written.
    """
    try:
        known = load_text(plan)
        values = {**load_text(progress), **known, "identity": identity, "index": index}
        values["input"] = load_input(known["input"])
        record = _converter().structure(values, JobRecord)
        for each in record.earlier:
            if each.plan:
                # Whoever reads it later takes it for what was written.
                load_record(identity, index, each.plan, "{}")
        return record
    except (cattrs.BaseValidationError, InputError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__} in the record of {identity!r}") from error


def _write_input(value: Any) -> Any:
    match value:
        case str() | int():
            return value  # most are
        case Path():
            return {"$path": str(value)}
        case OutputOf():
            return {"$output": value.facts}
        case bytes():
            return {"$bytes": summaries.describe_bytes(value)}
        case encoding.MissingBytes():
            return {"$bytes": dict(value)}
        case Mapping():
            return _write_mapping(value)
        case list() | tuple():
            return [_write_input(part) for part in value]
        case _:
            return value


def _write_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    if SCALARS.issuperset(map(type, values.values())) and "$" not in "".join(values):
        return dict(values)
    written = {name: _write_input(part) for name, part in values.items()}
    # What the caller wrote so must not be read as one of ours.
    return {"$mapping": written} if any(name[:1] == "$" for name in written) else written


def load_input(value: Any) -> Any:
    """Read the input of a plan, or a part of one, with its files, outputs and described bytes."""
    match value:
        case str():
            return value  # most are
        case {"$path": str(path)}:
            return Path(path)
        case {"$output": {"output_of": str(identity), "index": int(index)}}:
            return OutputOf.known(identity, index)
        case {"$bytes": dict(described)}:
            return encoding.MissingBytes(described)
        case {"$mapping": dict(written)}:
            return {name: load_input(part) for name, part in written.items()}
        case dict():
            return {name: load_input(part) for name, part in value.items()}
        case list():
            return [load_input(part) for part in value]
        case _:
            return value


def _read_tags(value: Any) -> Tags:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise TypeError("tags are texts")
    return Tags(value)


@functools.cache
def _converter() -> cattrs.Converter:
    """Make what turns records into plain values and back; at the first record, since there may be no journal."""
    records = cattrs.Converter(detailed_validation=False)
    for kind in (str, bool, int):
        records.register_structure_hook(kind, decoding.expect)
    records.register_structure_hook(float, lambda value, _: float(value))
    for words in (State, OutcomeKind):
        records.register_structure_hook(words, lambda value, words: words(value))
    records.register_structure_hook(Prediction, lambda value, _: decoding.from_plain(value))
    records.register_unstructure_hook(Prediction, decoding.to_plain)
    records.register_structure_hook_func(lambda kind: kind == Mapping[str, str], lambda value, _: _read_tags(value))
    records.register_structure_hook_func(
        lambda kind: kind == Mapping[str, Any], lambda value, _: decoding.expect(value, dict)
    )
    plan: Any = {name: override(omit=True) for name in _PLAN}
    for part in (SavedFile, Evidence, Estimate, Attempt, Charge, TakenImage):
        records.register_unstructure_hook(part, make_dict_unstructure_fn(part, records, _cattrs_omit_if_default=True))
    records.register_unstructure_hook(
        JobRecord, make_dict_unstructure_fn(JobRecord, records, _cattrs_omit_if_default=True, **plan)
    )
    return records
