"""Writes all jobs of a folder as one file of JSON lines: the input, the outcome and the images of each.

It is made from the journal, so it also has the jobs of earlier runs and those without an image.
"""

import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from cometflux.basics.pages import read_ahead
from cometflux.errors import ConfigError
from cometflux.jobs import Job, position_key
from cometflux.journal import codec
from cometflux.journal.attempts import Attempt, facts_of
from cometflux.journal.costs import NO_COSTS, describe_costs, describe_estimated
from cometflux.journal.finished import SavedRow, count_requested, load_saved
from cometflux.journal.looks_file import read_facts
from cometflux.journal.manifest_proof import is_proven, state_of, write_proof
from cometflux.journal.outcome import outcome_of
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord, moment
from cometflux.protocol import decoding, encoding
from cometflux.provenance import sidecar
from cometflux.provenance.portable import portable_input
from cometflux.storage.atomic import free_name, rename, sync_file, temporary_path

FILE_NAME = "manifest.jsonl"
"""The file name of a manifest."""
_MARK = re.compile(rb'\{"index": \d+, "key": "(?:[^"\\]|\\.)*", "kind": "')
"""How each manifest of this package begins."""
NO_LOOKS: Mapping[str, Mapping[str, Any]] = {}
_SEED = re.compile(r"\bseed\b\D{0,3}(\d{1,20})\b", re.IGNORECASE)


def write_manifest(folder: str | Path, journal: str | Path | None = None) -> Path:
    """Write ``manifest.jsonl`` in *folder*, one line for each job in the jobs' order, and return its path. Blocks.

    The new file replaces the old one only when it is complete. An old one is kept if ``manifest.sha256`` proves that it
    is the same. A file of that name that this package did not write is kept, too; the manifest is then
    ``manifest.cometflux.jsonl``.

    Args:
        folder: the folder of the images.
        journal: the journal, or its folder; None if that is *folder*.

    Raises:
        ConfigError: there is no journal, or the manifest cannot be written.
        JournalError: the journal cannot be read.
    """
    folder = Path(folder)
    with Journal(folder if journal is None else journal) as opened:
        try:
            place = opened.place
            path = free_name(folder / FILE_NAME, _MARK)
            # Read before the rows: what is changed meanwhile makes the proof old, and not wrong.
            state = state_of(opened, folder)
            if not is_proven(path, state):
                _replace(path, _lines(opened, folder, place, read_facts(folder)))
                write_proof(path, state)
            return path
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"{str(folder / FILE_NAME)!r} could not be written: {words}") from error


def line_of(
    record: JobRecord, folder: Path, place: str | None = None, looks: Mapping[str, Mapping[str, Any]] = NO_LOOKS
) -> dict[str, Any]:
    """Return the line of one job: as ``--json`` prints it and as a dataset needs it. May read *folder*; blocks.

    If the images are in an object store, *place* is its URL, and the images are named by their URLs. *looks* are those
    of ``read_facts``.
    """
    # Nothing is sent for it, so it is not checked.
    key = record.key if record.identity.startswith("key:") else None
    job = Job.checked(record.model, record.input, key, tags=record.tags)
    outcome = outcome_of(record, place)
    said, sources = record.prediction, facts_of(record.taken)
    return {
        "index": record.index,
        "key": record.key if job.key else position_key(record.index),
        "kind": outcome.kind.value,
        "ok": outcome.ok,
        "model": record.model,
        "prompt": job.prompt,
        "prediction_id": record.prediction_id,
        "files": list(outcome.files),
        "expected": expected(job),
        "error": outcome.error and str(outcome.error),
        "money": outcome.money.value,
        "resumed": record.bought > 0,
        "images": [
            {"file": name, "bytes": file.size, "sha256": file.digest, "mark": file.mark, **looks.get(name, {})}
            for name, file in zip(outcome.files, record.files, strict=True)
        ],
        "input": portable_input(sidecar.name_outputs(job.input, sources) if sources else job.input),
        "sources": list(sources.values()),
        "tags": dict(record.tags),
        "seed": _find_seed(record.input, folder, [each.name for each in record.files], record.prediction_id),
        "version": said and said.version,
        "metrics": dict(said.metrics) if said else {},
        "submitted_at": record.began_at,
        "created_at": said and said.created_at,
        "started_at": said and said.started_at,
        "completed_at": said and said.completed_at,
        **describe_costs(record),
        "earlier": [_describe(each, place) for each in record.earlier],
    }


def _lines(
    journal: Journal, folder: Path, place: str | None, looks: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield what `line_of` returns of each record; of most saved jobs without making that, in half the time."""
    for row, saved in read_ahead((row, load_saved(row)) for row in read_ahead(journal.rows())):
        if saved is None:
            yield line_of(journal.record_of(row), folder, place, looks)
        else:
            yield _line_of_saved(saved, folder, place, looks)


def _line_of_saved(
    saved: SavedRow, folder: Path, place: str | None, looks: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    (identity, index, *_), plan, progress = saved
    values, said, estimate = plan["input"], progress["prediction"], progress.get("estimate")
    files = [(each["name"] if place is None else f"{place}/{each['name']}", each) for each in progress["files"]]
    prompt, began = values.get("prompt"), moment(progress.get("began"))
    version, metrics = said.get("version"), said.get("metrics")
    return {
        "index": index,
        "key": plan["key"] if identity.startswith("key:") else position_key(index),
        "kind": "succeeded",
        "ok": True,
        "model": plan["model"],
        "prompt": prompt if isinstance(prompt, str) else None,
        "prediction_id": progress["prediction_id"],
        "files": [name for name, _ in files],
        "expected": count_requested(plan["model"], values),
        "error": None,
        "money": "accepted",
        "resumed": True,
        "images": [
            {
                "file": name,
                "bytes": each["size"],
                "sha256": each["digest"],
                "mark": each.get("mark"),
                **looks.get(name, {}),
            }
            for name, each in files
        ],
        "input": portable_input(codec.load_input(values)),
        "sources": [],
        "tags": plan.get("tags", {}),
        "seed": _find_seed(values, folder, [each["name"] for _, each in files], progress["prediction_id"]),
        "version": version if isinstance(version, str) else None,
        "metrics": metrics if isinstance(metrics, dict) else {},
        "submitted_at": began and began.isoformat(),
        "created_at": decoding.normal_moment(said.get("created_at")),
        "started_at": decoding.normal_moment(said.get("started_at")),
        "completed_at": decoding.normal_moment(said.get("completed_at")),
        **(NO_COSTS if estimate is None else describe_estimated(estimate["micros"], estimate["basis"])),
        "earlier": [],
    }


def _describe(attempt: Attempt, place: str | None) -> dict[str, Any]:
    """Describe an attempt before the last one: a retry, or a job that was asked for again."""
    start = "" if place is None else f"{place}/"
    said = attempt.prediction and attempt.prediction.error
    before = codec.load_plan(attempt.plan) if attempt.plan else {}
    return {
        "kind": attempt.kind.value,
        "prediction_id": attempt.prediction_id,
        "error": said or (attempt.evidence and attempt.evidence.message),
        "submitted_at": moment(attempt.began),
        "files": [f"{start}{file.name}" for file in attempt.files],
        # None if they are those of today.
        "model": before.get("model"),
        "input": portable_input(before["input"]) if before else None,
    }


def expected(job: Job) -> int | None:
    """Return how many images were requested; None if the model is not one of those known here."""
    return count_requested(job.model, job.input)


def _find_seed(values: Mapping[str, Any], folder: Path, files: Sequence[str], prediction_id: str | None) -> int | None:
    """Return the seed of the input *values*, else the seed in the model's logs."""
    given = values.get("seed")
    if given is not None or not files:
        return given if isinstance(given, int) else None
    match sidecar.read_sidecar(folder / files[0]):
        case {"prediction": {"id": str(known), "logs": str(logs)}} if known == prediction_id:
            found = _SEED.search(logs)
            return int(found[1]) if found else None
        case _:
            return None


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _replace(path: Path, lines: Iterator[dict[str, Any]]) -> None:
    with temporary_path(path.parent) as drawn:
        # Arrays, because a million jobs have as many lines.
        indexes, ends = array("q"), array("q")
        _write(drawn, lines, indexes, ends)
        if all(before <= after for before, after in pairwise(indexes)):
            rename(drawn, path)
            return
        # The journal has them in the order in which they were planned first; rows may have come between since.
        with temporary_path(path.parent) as ordered:
            _copy(drawn, ordered, sorted(range(len(indexes)), key=indexes.__getitem__), ends)
            rename(ordered, path)


def _write(path: Path, lines: Iterator[dict[str, Any]], indexes: "array[int]", ends: "array[int]") -> None:
    """Write the lines; note the job index of each, and where it ends in the file, in bytes."""
    with path.open("xb") as file:
        for values in read_ahead(lines):
            file.write(_dump(values))
            indexes.append(values["index"])
            ends.append(file.tell())
        sync_file(file)


def _copy(drawn: Path, path: Path, order: Iterable[int], ends: "array[int]") -> None:
    with drawn.open("rb") as source, path.open("xb") as file:
        for number in order:
            start = ends[number - 1] if number else 0
            source.seek(start)
            file.write(source.read(ends[number] - start))
        sync_file(file)


def _dump(values: dict[str, Any]) -> bytes:
    # What some readers take for the end of a line is escaped; half of a pair of surrogates is no text.
    text = encoding.dump_line(values)
    if not text.isascii():
        text = _LINE_END.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return f"{text}\n".encode("utf-8", "replace")


_LINE_END = re.compile("[\x85\u2028\u2029]")
