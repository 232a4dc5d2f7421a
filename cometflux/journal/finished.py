"""Finished jobs, read from their rows: to make a record of each would take most of the time of a large folder."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cometflux import flux
from cometflux.journal import codec
from cometflux.journal.job_rows import JournalRow, to_record


class _Shape:
    """The names of some values and their types: those that must be there, and those that may be there."""

    def __init__(self, needed: Mapping[str, type], others: Mapping[str, type]) -> None:
        self._needed = needed.keys()
        self._kinds = frozenset([*needed.items(), *others.items()])

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Whether *values* has all that must be there, and nothing else than may be there."""
        kinds = zip(values, map(type, values.values()), strict=True)
        return self._needed <= values.keys() and self._kinds.issuperset(kinds)


# Whatever few saved jobs have, such as an earlier attempt, makes their whole record be read.
_PLAN = _Shape(
    {"key": str, "model": str, "fingerprint": str, "input": dict}, {"source": str, "name": str, "tags": dict}
)
_PROGRESS = _Shape(
    {
        **dict.fromkeys(("state", "kind", "prediction_id"), str),
        "began": float,
        "prediction": dict,
        "files": list,
        "is_whole": bool,
    },
    {
        **dict.fromkeys(("attempt", "input_size", "refused", "unsent"), int),
        "answered": float,
        "body": str,
        "estimate": dict,
    },
)
_FILE = _Shape({"name": str, "size": int, "digest": str}, {"mark": str})
_ESTIMATE = _Shape({"micros": int, "basis": str}, {})


class SavedRow(NamedTuple):
    """The row of a job that was submitted once, without images of other jobs, and whose images are saved."""

    row: JournalRow
    plan: dict[str, Any]
    progress: dict[str, Any]


class FinishedJob(NamedTuple):
    """A job of which nothing is left to do if its images are where they were saved."""

    row: JournalRow
    files: Sequence[tuple[str, int, str]]
    """The name, the size and the digest of each image."""
    is_short: bool
    """Whether the prediction had fewer images than were requested."""


def load_finished(row: JournalRow) -> FinishedJob | None:
    """Read the row of a saved job; None for any other row, and for one that is not what was written."""
    if row.standing != "saved":
        return None
    saved = load_saved(row)
    if saved is not None and len(saved.progress["files"]) >= _count_wanted(saved.plan["model"], saved.plan["input"]):
        files = [(each["name"], each["size"], each["digest"]) for each in saved.progress["files"]]
        return FinishedJob(row, files, is_short=False)
    with contextlib.suppress(ValueError):
        record = to_record(row)
        files = [(each.name, each.size, each.digest) for each in record.files]
        return FinishedJob(row, files, is_short=len(files) < _count_wanted(record.model, record.input))
    return None


def load_saved(row: JournalRow) -> SavedRow | None:
    """Read the row of a saved job; None for any other row, and for one whose whole record must be read."""
    if row.standing != "saved" or row.bought != 1:
        return None
    try:
        saved = SavedRow(row, codec.load_text(row.plan), codec.load_text(row.progress))
        return saved if _is_plain(saved) else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _is_plain(saved: SavedRow) -> bool:
    """Whether all that is used of a row is what was written."""
    plan, progress = saved.plan, saved.progress
    if not (type(saved.row.place) is int and _PLAN.fits(plan) and _PROGRESS.fits(progress)):
        return False
    said = progress["prediction"]
    return (
        (progress["state"], progress["kind"], progress["is_whole"]) == ("ended", "succeeded", True)
        and type(said["id"]) is str
        and type(said.get("output", [])) is list
        and all([_FILE.fits(each) for each in progress["files"]])  # noqa: C419 - a generator takes longer
        and ("estimate" not in progress or _ESTIMATE.fits(progress["estimate"]))
        and ("tags" not in plan or all(type(text) is str for text in plan["tags"].values()))
    )


def _count_wanted(model: str, values: Mapping[str, Any]) -> int:
    return count_requested(model, values) or 0


def count_requested(model: str, values: Mapping[str, Any]) -> int | None:
    """Return how many images an input requests; None if the model is not one of those known here."""
    asked = values.get("num_outputs")
    if isinstance(asked, int) and not isinstance(asked, bool):
        return asked
    return 1 if model in flux.MODELS else None
