"""The requests of the API as values: create, get and cancel a prediction."""

import re
from collections.abc import Mapping
from typing import Any

import attrs

from cometflux.errors import (
    InputError,
)
from cometflux.jobs import Job
from cometflux.protocol import encoding

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:-]{0,255}")


@attrs.frozen
class Request:
    """What to send: a method, a path below the base URL, and a JSON body or None."""

    method: str
    path: str
    body: bytes | None = None
    echo: int = 0
    """How many bytes of the input the answer may repeat, on top of what an answer usually has."""
    input: Mapping[str, Any] | None = attrs.field(default=None, eq=False, repr=False)
    """What a submission asks for, so that an answer that repeats it need not be kept beside it."""


@attrs.frozen(kw_only=True)
class Response:
    """What came back: a status read from a real answer, its headers and its body."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """Looked up by names in lower case: a plain dict has to have them so, a case-insensitive mapping need not."""
    body: bytes = b""
    cut: str | None = None
    """How the body broke off before its end; None when it is whole."""
    fault: str | None = None
    """The class name of what broke it off; None where no exception did."""


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def create_request(job: Job) -> Request:
    """Build the request that submits *job*; its answer decides about money."""
    body = encoding.dump_body(job)
    return Request("POST", f"/models/{job.model}/predictions", body, _echo(len(body)), job.input)


def get_request(prediction_id: str, input_size: int = 0) -> Request:
    """Build the question after a prediction, whose input had about *input_size* bytes."""
    return Request("GET", f"/predictions/{_safe_id(prediction_id)}", echo=_echo(input_size))


def _echo(size: int) -> int:
    # An answer may escape each character that is not ASCII: six bytes for two.
    return 3 * size


def cancel_request(prediction_id: str) -> Request:
    """Build the request to stop a prediction: Replicate's route, which CometAPI does not document."""
    return Request("POST", f"/predictions/{_safe_id(prediction_id)}/cancel")


def _safe_id(prediction_id: str) -> str:
    if not isinstance(prediction_id, str) or not _ID.fullmatch(prediction_id):
        raise InputError("prediction id", prediction_id, "allowed are at most 256 letters, digits and . _ ~ : -")
    return prediction_id
