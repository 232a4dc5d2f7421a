"""The API's requests and responses as values, and the requests that create, get and cancel a prediction."""

import re
from collections.abc import Mapping
from typing import Any

import attrs

from cometflux.errors import InputError
from cometflux.jobs import Job
from cometflux.protocol import encoding

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:-]{0,255}")


@attrs.frozen
class Request:
    """A request: a method, a path below the base URL, and a JSON body or None."""

    method: str
    path: str
    body: bytes | None = None
    echo: int = 0
    """Maximum bytes of echoed input in the response. The limit for the response grows by this number."""
    input: Mapping[str, Any] | None = attrs.field(default=None, eq=False, repr=False)
    """The input of a submission. A response that echoes it shares this object, which saves memory."""


@attrs.frozen(kw_only=True)
class Response:
    """A response: its status, headers and body, as they came."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """Looked up by lower-case names. The names in a plain dict must be in lower case."""
    body: bytes = b""
    cut: str | None = None
    """How the body broke off before its end; None if it is complete."""
    fault: str | None = None
    """The class name of the exception that broke it off; None if no exception did."""
    shown_id: str | None = None
    """An id in the bytes after a malformed head or a wrong length, to be confirmed by a poll; None if there is none."""


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def create_request(job: Job) -> Request:
    """Build the request that submits *job*. The service bills it if it accepts it.

    Raises:
        InputError: the input cannot be sent.
    """
    body = encoding.dump_body(job)
    return Request("POST", f"/models/{job.model}/predictions", body, _echo(len(body)), job.input)


def get_request(prediction_id: str, input_size: int = 0) -> Request:
    """Build the request that gets a prediction, whose input has about *input_size* bytes.

    Raises:
        InputError: the id has characters that cannot be sent in a path.
    """
    return Request("GET", f"/predictions/{check_id(prediction_id)}", echo=_echo(input_size))


def _echo(size: int) -> int:
    # A response may escape each character that is not ASCII, which makes six bytes of two.
    return 3 * size


def cancel_request(prediction_id: str) -> Request:
    """Build the request that cancels a prediction. The route is Replicate's; CometAPI does not document it.

    Raises:
        InputError: the id has characters that cannot be sent in a path.
    """
    return Request("POST", f"/predictions/{check_id(prediction_id)}/cancel")


def check_id(prediction_id: str) -> str:
    """Return a prediction's id if it can be sent in a path.

    Raises:
        InputError: it cannot.
    """
    if not isinstance(prediction_id, str) or not _ID.fullmatch(prediction_id):
        raise InputError("prediction id", prediction_id, "must be at most 256 letters, digits and . _ ~ : -")
    return prediction_id
