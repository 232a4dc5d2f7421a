"""The record of how an image was made, in a JSON file next to it."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

from cometflux.errors import AnswerError
from cometflux.images import summaries
from cometflux.jobs import Job
from cometflux.predictions import Prediction
from cometflux.protocol import decoding

LARGEST_RECORD = 16 * 1024 * 1024


def read_beside(image: Path) -> Any:
    """Read the record beside an image; None where there is none that can be read. Blocks."""
    try:
        with open_plain(image.with_suffix(".json")) as file:
            return decoding.load_json(file.read(LARGEST_RECORD))
    except (OSError, ValueError, AnswerError):
        return None


def prediction_id_in(record: Any) -> str | None:
    """Return the prediction's id in a record; None if it holds none."""
    match record:
        case {"prediction": {"id": str(prediction_id)}}:
            return prediction_id
        case _:
            return None


_PLAIN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_plain(path: Path) -> BufferedReader:
    """Open a file to read it; links are not followed, and what is no regular file is not opened."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    # It may be replaced just now: a pipe would have the reader wait for a writer.
    return os.fdopen(os.open(path, _PLAIN), "rb")


# ── the record ───────────────────────────────────────────────────────────────────────────────────────────────────────


def record_of(prediction: Prediction, job: Job | None, key: str | None, index: int | None) -> dict[str, Any]:
    """Tell how an image was made, for the record beside it; reference images stand as paths, URLs or digests.

    Without its *job*, the record holds what the service echoed.
    """
    return {
        "key": key,
        "index": index,
        "model": job.model if job else prediction.model,
        "input": summaries.describe_input(job.input if job else prediction.input),
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
    }
