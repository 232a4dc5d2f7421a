"""Cards: the data that the page shows of one job, from the journal or from the records next to its pictures."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from cometflux.account.cost_words import shortest, told_costs
from cometflux.errors import PredictionError
from cometflux.gallery.flaws import Found
from cometflux.gallery.job_states import ABANDONED, STATE_LABELS
from cometflux.jobs import position_key
from cometflux.journal.costs import CostSum
from cometflux.journal.outcome import outcome_of
from cometflux.journal.record import JobRecord
from cometflux.journal.states import visible_name
from cometflux.predictions import Prediction
from cometflux.provenance.portable import portable_input


@attrs.frozen(kw_only=True)
class Picture:
    """A picture of a job."""

    name: str
    """Its file name, or its URL if it is in an object store."""
    file: str | None = None
    """Its name in ``picks.jsonl``; None if that is its *name*."""
    address: str | None = None
    """The URL for ``href`` and ``src``, already quoted; None if the page cannot link to the picture."""
    size: tuple[int, int] | None = None
    """Width and height; None if unknown."""
    is_here: bool = False
    """Whether the page can show it: it is a file in the folder, or its place has a public URL."""
    fault: str | None = None
    """Why it cannot be shown; None if it can, or if it is in an object store."""
    found: Found | None = None
    """Why a person should look at it; None if nothing was found, or if it was not looked at."""


@attrs.frozen(kw_only=True)
class Card:
    """The data that the page shows of one job."""

    identity: str
    index: int | None = None
    """Its place in the batch; None if unknown."""
    key: str | None = None
    model: str | None = None
    status: str = "saved"
    """A key of `STATE_LABELS`."""
    money: str = ""
    """Whether the job was paid for, in a sentence."""
    parameters: tuple[tuple[str, str], ...] = ()
    """The input: each name with its value as JSON."""
    tags: tuple[tuple[str, str], ...] = ()
    """The caller's own facts about the job: each name with its text."""
    prompt: str = ""
    seed: str = ""
    pictures: tuple[Picture, ...] = ()
    prediction_id: str | None = None
    error: str | None = None
    """The error message of the service or of this package; None if nothing went wrong."""
    seconds: float | None = None
    """How long the prediction took at the service; None if unknown."""
    times: tuple[tuple[str, str], ...] = ()
    """The name and the ISO 8601 time of each step."""
    when: str = ""
    """The latest of `times`; empty if they are all unknown."""
    attempts: int = 1
    """How many submissions were started."""
    costs: tuple[tuple[str, str], ...] = ()
    """The estimated cost and the charge, each under its name; empty if neither is known."""
    cost: str = ""
    """The charge, else the estimate; it says which of them it is."""


def card_of_record(record: JobRecord, pictures: Sequence[Picture], *, is_running: bool) -> Card:
    """Make the card of a job in the journal; *is_running* says whether a process is using the journal."""
    status = _status(record, pictures, is_running=is_running)
    prediction = record.prediction
    times = _times(
        ("sent", _iso_of(record.began_at)),
        ("answered", _iso_of(record.answered_at)),
        *_service_times(prediction),
    )
    is_named = record.identity.startswith("key:")
    costs = CostSum()
    costs.add(record)
    return _card(
        portable_input(record.input),
        identity=record.identity,
        index=record.index,
        key=record.key if is_named else position_key(record.index),
        model=record.model,
        status=status,
        money=ABANDONED if record.is_abandoned else STATE_LABELS[status].money,
        tags=tuple(record.tags.items()),
        pictures=tuple(pictures),
        prediction_id=record.prediction_id,
        error=_error_text(record, status),
        seconds=_span(dict(times), prediction.metrics if prediction else {}),
        times=times,
        when=max((each for _, each in times), default=""),
        attempts=record.attempt,
        costs=told_costs(costs),
        cost=shortest(costs),
    )


def card_of_sidecars(sidecars: Sequence[Mapping[str, Any]], pictures: Sequence[Picture], identity: str) -> Card:
    """Make the card of a prediction from the records next to its pictures. Their values are not trusted."""
    known = sidecars[0]
    prediction = _mapping(known.get("prediction"))
    times = _times(*((name, _iso(prediction.get(f"{name}_at"))) for name in ("created", "started", "completed")))
    is_missing = any(picture.fault for picture in pictures)
    status = "missing" if is_missing else "saved"
    index = known.get("index")
    return _card(
        portable_input(_mapping(known.get("input"))),
        identity=identity,
        index=index if type(index) is int else None,
        key=_text(known.get("key")),
        model=_text(known.get("model")),
        status=status,
        money=STATE_LABELS[status].money,
        tags=tuple((name, text) for name, text in _mapping(known.get("tags")).items() if isinstance(text, str)),
        pictures=tuple(pictures),
        prediction_id=_text(prediction.get("id")),
        seconds=_span(dict(times), _mapping(prediction.get("metrics"))),
        times=times,
        when=max((each for _, each in times), default=""),
    )


def card_of_picture(picture: Picture) -> Card:
    """Make the card of a picture whose record cannot be read."""
    return Card(identity=f"file:{picture.name}", money="How it was made is unknown.", pictures=(picture,))


def _card(given: Mapping[str, Any], **facts: Any) -> Card:
    prompt, seed = given.get("prompt"), given.get("seed")
    parameters = tuple((str(name), _as_json(value)) for name, value in given.items())
    return Card(
        prompt=prompt if isinstance(prompt, str) else "",
        seed="" if seed is None else str(seed)[:40],
        parameters=parameters,
        **facts,
    )


def _status(record: JobRecord, pictures: Sequence[Picture], *, is_running: bool) -> str:
    name = visible_name(record.state_name, is_running=is_running)
    if name == "unsaved" and is_running and record.evidence is None:
        return "saving"
    if name == "saved" and any(picture.fault for picture in pictures):
        return "missing"
    return name


def _error_text(record: JobRecord, status: str) -> str | None:
    """Return the service's error, else the error in the journal; None if nothing went wrong."""
    error = outcome_of(record).error
    if isinstance(error, PredictionError):
        return error.prediction.error
    is_noted = record.evidence is not None or status == "unknown" or record.is_abandoned
    return _with_names(error.message, record.input) if error and is_noted else None


def _with_names(text: str, given: Mapping[str, Any]) -> str:
    """Return *text* with the names of an input's files in place of their paths: the page may be handed on."""
    for value in given.values():
        for each in value if isinstance(value, list | tuple) else [value]:
            text = text.replace(str(each), each.name) if isinstance(each, Path) else text
    return text


_as_json = json.JSONEncoder(default=str, allow_nan=False, check_circular=False).encode
_LONGEST = 1e6
"""Most seconds that a prediction can take; a larger figure is ignored as wrong."""

# ── times ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _times(*named: tuple[str, str | None]) -> tuple[tuple[str, str], ...]:
    return tuple((name, time) for name, time in named if time)


def _service_times(prediction: Prediction | None) -> list[tuple[str, str | None]]:
    if prediction is None:
        return []
    return [
        ("created", _iso_of(prediction.created_at)),
        ("started", _iso_of(prediction.started_at)),
        ("completed", _iso_of(prediction.completed_at)),
    ]


def _iso_of(moment: datetime | None) -> str | None:
    try:
        return None if moment is None else _written(moment)
    except OverflowError:
        # In UTC it would be outside the calendar.
        return None


def _span(times: Mapping[str, str], metrics: Mapping[str, Any]) -> float | None:
    """Return the seconds from creation to completion, or the service's ``predict_time`` if those are unknown."""
    if "created" in times and "completed" in times:
        begin, end = (datetime.fromisoformat(times[name]) for name in ("created", "completed"))
        if end >= begin:
            return (end - begin).total_seconds()
    measured = metrics.get("predict_time")
    if not isinstance(measured, int | float) or not 0 <= measured <= _LONGEST:
        return None
    return float(measured)


def _iso(value: object) -> str | None:
    """Return *value* in our form of ISO 8601; None if it is not a time."""
    try:
        return _iso_of(datetime.fromisoformat(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _written(moment: datetime) -> str:
    """Format a time in UTC, so that times compare correctly as text."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    in_utc = aware if aware.tzinfo is UTC else aware.astimezone(UTC)  # most are
    return in_utc.isoformat(timespec="milliseconds")


# ── values from files ────────────────────────────────────────────────────────────────────────────────────────────────


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
