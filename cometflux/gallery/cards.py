"""What the page tells of one job, made of a record of the journal or of the records beside its pictures."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from cometflux.errors import PredictionError
from cometflux.gallery.job_states import ABANDONED, STATE_LABELS
from cometflux.images import summaries
from cometflux.jobs import position_key
from cometflux.journal.outcome import outcome_of
from cometflux.journal.record import JobRecord
from cometflux.journal.states import visible_name
from cometflux.predictions import Prediction


@attrs.frozen(kw_only=True)
class Picture:
    """A picture of a job."""

    name: str
    """Its file name, or its address where it is kept elsewhere."""
    address: str | None = None
    """Where the page finds it, ready for an attribute; None where it cannot."""
    size: tuple[int, int] | None = None
    """Width and height; None where they are not known."""
    is_here: bool = False
    """Whether it is a file in the folder, so that it can be shown."""
    fault: str | None = None
    """Why it cannot be shown; None where it can, or where it is kept elsewhere."""


@attrs.frozen(kw_only=True)
class Card:
    """What the page tells of one job."""

    identity: str
    index: int | None = None
    """Its place in the batch; None where it is not known."""
    key: str | None = None
    model: str | None = None
    status: str = "saved"
    """A name out of `STATE_LABELS`."""
    money: str = ""
    """What it means for the money."""
    parameters: tuple[tuple[str, str], ...] = ()
    """The input: each name with its value as JSON."""
    prompt: str = ""
    seed: str = ""
    pictures: tuple[Picture, ...] = ()
    prediction_id: str | None = None
    error: str | None = None
    """What went wrong, in the words of the service or of this package; None where nothing did."""
    seconds: float | None = None
    """How long it took at the service; None where that is not known."""
    times: tuple[tuple[str, str], ...] = ()
    """What happened when: each name with a time as ISO 8601 has it."""
    when: str = ""
    """The last of them; empty where there is none."""
    attempts: int = 1
    """How many submissions were begun."""


def card_of_record(record: JobRecord, pictures: Sequence[Picture], *, is_running: bool) -> Card:
    """Tell of a job of a journal; *is_running* says whether a process works with it."""
    status = _status(record, pictures, is_running=is_running)
    prediction = record.prediction
    times = _times(
        ("sent", _moment(record.began)),
        ("answered", _moment(record.answered)),
        *_service_times(prediction),
    )
    is_named = record.identity.startswith("key:")
    return _card(
        summaries.describe_input(record.input),
        identity=record.identity,
        index=record.index,
        key=record.key if is_named else position_key(record.index),
        model=record.model,
        status=status,
        money=ABANDONED if record.is_abandoned else STATE_LABELS[status].money,
        pictures=tuple(pictures),
        prediction_id=record.prediction_id,
        error=_error_text(record, status),
        seconds=_span(dict(times), prediction.metrics if prediction else {}),
        times=times,
        when=max((each for _, each in times), default=""),
        attempts=record.attempt,
    )


def card_of_sidecars(sidecars: Sequence[Mapping[str, Any]], pictures: Sequence[Picture], identity: str) -> Card:
    """Tell of a prediction by what lies beside its pictures; what is there was checked by nobody."""
    known = sidecars[0]
    prediction = _mapping(known.get("prediction"))
    times = _times(*((name, _iso(prediction.get(f"{name}_at"))) for name in ("created", "started", "completed")))
    is_missing = any(picture.fault for picture in pictures)
    status = "missing" if is_missing else "saved"
    index = known.get("index")
    return _card(
        _mapping(known.get("input")),
        identity=identity,
        index=index if type(index) is int else None,
        key=_text(known.get("key")),
        model=_text(known.get("model")),
        status=status,
        money=STATE_LABELS[status].money,
        pictures=tuple(pictures),
        prediction_id=_text(prediction.get("id")),
        seconds=_span(dict(times), _mapping(prediction.get("metrics"))),
        times=times,
        when=max((each for _, each in times), default=""),
    )


def card_of_picture(picture: Picture) -> Card:
    """Tell of a picture of which nothing is known but that it is there."""
    return Card(identity=f"file:{picture.name}", money="What made it is not known.", pictures=(picture,))


def _card(given: Mapping[str, Any], **facts: Any) -> Card:
    prompt, seed = given.get("prompt"), given.get("seed")
    parameters = tuple((str(name), json.dumps(value, default=str)) for name, value in given.items())
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
    """Return the service's error, else the error in the journal; None while nothing went wrong."""
    error = outcome_of(record).error
    if isinstance(error, PredictionError):
        return error.prediction.error
    is_noted = record.evidence is not None or status == "unknown" or record.is_abandoned
    return error.message if error and is_noted else None


_LONGEST = 1e6
"""Seconds that a prediction can take; what is longer was not measured."""

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
    return None if moment is None else _written(moment)


def _span(times: Mapping[str, str], metrics: Mapping[str, Any]) -> float | None:
    """Return how long it was at the service; where that is not told, how long it ran."""
    if "created" in times and "completed" in times:
        begin, end = (datetime.fromisoformat(times[name]) for name in ("created", "completed"))
        if end >= begin:
            return (end - begin).total_seconds()
    measured = metrics.get("predict_time")
    if not isinstance(measured, int | float) or not 0 <= measured <= _LONGEST:
        return None
    return float(measured)


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else _written(datetime.fromtimestamp(seconds, UTC))


def _iso(value: object) -> str | None:
    """Read a time out of a file; None where it is none."""
    try:
        return _written(datetime.fromisoformat(value)) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _written(moment: datetime) -> str:
    """Write a time in one form, so that the later one is the greater text."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds")


# ── what a file may hold ─────────────────────────────────────────────────────────────────────────────────────────────


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
