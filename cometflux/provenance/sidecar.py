"""The sidecar of an image: a JSON file next to it that records how it was made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux.basics.regular_files import read_regular
from cometflux.errors import AnswerError
from cometflux.images import summaries
from cometflux.jobs import Job
from cometflux.models.output_of import replace_outputs
from cometflux.predictions import Prediction
from cometflux.protocol import decoding

LARGEST_RECORD = 16 * 1024 * 1024
_MOST_VALUES = 500_000
"""Most lists and objects in a record. Each takes up to 256 bytes of memory, and only two of the file."""


def read_sidecar(image: Path) -> Any:
    """Read the sidecar of an image; None if there is no readable one. Blocks."""
    try:
        return load_sidecar(image)
    except (OSError, ValueError):
        return None


def load_sidecar(image: Path) -> Any:
    """Read the sidecar of an image. Blocks.

    Raises:
        OSError: there is none, or it cannot be read.
        ValueError: it is not JSON.
    """
    return load_record(read_regular(image.with_suffix(".json"), LARGEST_RECORD))


def load_record(data: bytes) -> Any:
    """Read a record from its bytes.

    Raises:
        ValueError: it is not JSON, or has too many lists and objects for a record.
    """
    if data.count(b"[") + data.count(b"{") > _MOST_VALUES:
        raise ValueError("it has too many values")
    try:
        return decoding.load_json(data)
    except AnswerError as error:
        raise ValueError("it is not JSON") from error


def prediction_id_in(record: Any) -> str | None:
    """Return the prediction's id in a record; None if there is no id."""
    match record:
        case {"prediction": {"id": str(prediction_id)}}:
            return prediction_id
        case _:
            return None


@attrs.frozen(kw_only=True)
class Submission:
    """One submission of one job, which no other journal, job or attempt shares. It proves whose an image is."""

    journal: str
    """The journal's own name."""
    job: str
    """The journal's name for the job: identical jobs have the same body."""
    attempt: int
    """The number of the job's submission, from 1."""
    body: str
    """SHA-256 of the body that was sent."""


def submission_in(record: Any) -> Submission | None:
    """Return the submission in a record; None if there is none, as in the records of version 0.1."""
    match record:
        case {"submission": {"journal": str(journal), "job": str(job), "attempt": int(attempt), "body": str(body)}}:
            return Submission(journal=journal, job=job, attempt=attempt, body=body)
        case _:
            return None


NO_SOURCES: Mapping[tuple[str, int], Mapping[str, str]] = {}


def name_outputs(values: Mapping[str, Any], sources: Mapping[tuple[str, int], Mapping[str, str]]) -> dict[str, Any]:
    """Copy an input with the name of each image of another job in its place, as in ``@draft[0]``."""
    named: dict[str, Any] = replace_outputs(
        values, lambda output: sources[output.mark]["image"] if output.mark in sources else str(output)
    )
    return named


# ── the record ───────────────────────────────────────────────────────────────────────────────────────────────────────


def record_of(
    prediction: Prediction,
    job: Job | None,
    key: str | None,
    index: int | None,
    submission: Submission | None = None,
    sources: Mapping[tuple[str, int], Mapping[str, str]] = NO_SOURCES,
) -> dict[str, Any]:
    """Return the record of how an image was made. Reference images are given as paths, URLs or digests.

    Without the *job*, the record has the model and input that the service echoed. Without a journal there is no
    *submission*. ``tags`` are there if the job has some. So are *sources*, the saved images of other jobs that were
    sent with it, by `OutputOf.mark`.
    """
    tags = {"tags": dict(job.tags)} if job and job.tags else {}
    described = summaries.summarize_input(job.input if job else prediction.input)
    proof = {} if submission is None else {"submission": attrs.asdict(submission)}
    return {
        "key": key,
        "index": index,
        "model": job.model if job else prediction.model,
        "input": name_outputs(described, sources) if sources else described,
        "prediction": {
            "id": prediction.id,
            "status": prediction.status,
            "version": prediction.version,
            "created_at": prediction.created_at,
            "started_at": prediction.started_at,
            "completed_at": prediction.completed_at,
            "metrics": prediction.metrics,
            "logs": prediction.logs,
        },
        **tags,
        **({"sources": [dict(each) for each in sources.values()]} if sources else {}),
        **proof,
    }
