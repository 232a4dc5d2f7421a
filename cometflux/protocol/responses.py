"""What goes over the wire and what it means: requests built, responses read, retries judged. No socket here."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from cometflux.errors import (
    AnswerError,
    AuthenticationError,
    CometfluxError,
    CreditError,
    ModelNotFoundError,
    Money,
    RateLimitError,
    RejectedError,
    UnknownSubmissionError,
)
from cometflux.predictions import Prediction
from cometflux.protocol import decoding, salvage
from cometflux.protocol.rate_headers import LONGEST_PAUSE, read_retry_after
from cometflux.protocol.requests import _ID, Response

# ── responses ────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_created(response: Response, now: float, given: Mapping[str, Any] | None = None) -> Prediction:
    """Read the answer to a submission of the input *given*. *now* is the wall clock, in seconds since 1970.

    The body is read before the status: this service refuses with 500 and 503, and a broken answer may carry an id.

    Raises:
        RejectedError: the service refused it.
        UnknownSubmissionError: nothing proves what became of it. Where a torn answer still shows an id, the error
            carries it, and a question after it can prove that it was accepted.
    """
    # An id is proof of a bill, whatever the status says.
    prediction = decoding.load_created(response.body, given)
    if prediction is None:
        raise _refusal(response, now)
    if not _ID.fullmatch(prediction.id):
        raise UnknownSubmissionError(
            "the answer carries an id that cannot be asked after",
            f"HTTP {response.status}, id {prediction.id[:80]!r}",
            status=response.status,
            fault=response.fault,
            request_id=_request_id(response, _Fault()),
        )
    return prediction


def read_prediction(
    response: Response, asked: str, now: float, also: str | None = None, given: Mapping[str, Any] | None = None
) -> Prediction:
    """Read the answer to a question after the prediction *asked*, which may go by the id *also* as well.

    *given* is its input, where that is known.

    Raises:
        RejectedError: the service refused to answer.
        AnswerError: nobody can read the answer.
    """
    if response.cut:
        raise AnswerError(f"the answer broke off: {response.cut}", prediction_id=asked)
    if not 200 <= response.status < 300:
        error = _rejection(response, _read_fault(response.body), now)
        error.money, error.prediction_id = Money.ACCEPTED, asked
        raise error
    return decoding.load_prediction(response.body, asked, also, given)


class _Fault(NamedTuple):
    """What an error body says, in whichever of the service's formats."""

    code: str | None = None
    detail: str | None = None
    retry_after: float | None = None


def _read_fault(body: bytes) -> _Fault:
    try:
        data = decoding.load_json(body)
    except AnswerError:
        return _Fault()
    if not isinstance(data, dict):
        return _Fault()
    # The gateway nests {message, code} in "error" or sends them flat; Replicate sends {title?, detail}.
    source = data["error"] if isinstance(data.get("error"), dict) else data
    detail = source.get("message") or source.get("detail") or source.get("title") or source.get("error")
    code = source.get("code")
    return _Fault(
        code=code if isinstance(code, str) and code else None,
        detail=_sentence(decoding.load_words(detail)) if detail else None,
        retry_after=_read_wait(data.get("retry_after")),
    )


def _sentence(words: str) -> str:
    """Put the service's words on one line, to stand within a sentence of ours."""
    line = " ".join(words.split()).removeprefix("- ").removesuffix(".").rstrip()
    return line if len(line) <= _LONGEST_WORDS else f"{line[:_LONGEST_WORDS]}…"


_LONGEST_WORDS = 1000


def _read_wait(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    # Compared before it is converted: an integer may be too large for a float.
    return float(min(max(value, 0), LONGEST_PAUSE))


# Codes that are plain refusals although they come as 500 or 503.
_REFUSALS = frozenset({"invalid_request", "model_not_found"})
# Answers after which the service may still have taken the request: a proxy's or client's time-out.
_UNSURE = frozenset({408, 499})


def _refusal(response: Response, now: float) -> CometfluxError:
    """Name what an answer without an id means for the money."""
    fault = _read_fault(response.body)
    error: CometfluxError
    torn_id = _salvage(response.body)
    says_no = fault.code in _REFUSALS or (300 <= response.status < 500 and response.status not in _UNSURE)
    if says_no and torn_id is None:
        error = _rejection(response, fault, now, ModelNotFoundError)
    else:
        what = response.cut or _what(response)
        evidence = ", ".join(part for part in (f"HTTP {response.status}", _kind(response), what) if part)
        detail = f": {fault.detail}" if fault.detail else ""
        message = f"no proof of what became of the submission ({evidence}){detail}"
        error = UnknownSubmissionError(
            message,
            evidence,
            status=response.status,
            fault=response.fault,
            request_id=_request_id(response, fault),
            prediction_id=torn_id,
        )
    error.is_foreign = _is_foreign(response)
    return error


def _what(response: Response) -> str:
    """Name what stands where a prediction is expected."""
    if _is_page(response):
        return "a web page; is the base URL right?" if _is_foreign(response) else "a web page"
    try:
        data = decoding.load_json(response.body)
    except AnswerError as error:
        return error.message
    if isinstance(data, dict):
        return "without the id of a prediction"
    return f"{decoding.kind_of(data)} where an object is expected"


def _salvage(body: bytes) -> str | None:
    prediction_id = salvage.load_torn(body)
    return prediction_id if prediction_id and _ID.fullmatch(prediction_id) else None


def _rejection(
    response: Response, fault: _Fault, now: float, not_found: type[RejectedError] = RejectedError
) -> RejectedError:
    status = response.status
    words = fault.detail or ("a web page, not the API" if _is_page(response) else "no reason was given")
    message = f"the service refused with HTTP {status}: {words}"
    if 300 <= status < 400:
        message = f"the service answered with a redirect (HTTP {status}); the base URL is probably wrong"
    kind = _REJECTIONS.get(status, RejectedError)
    if status == 404 or fault.code == "model_not_found":
        kind = not_found
    error = kind(message, status, fault.code, fault.detail, _request_id(response, fault))
    if isinstance(error, RateLimitError):
        error.retry_after = read_retry_after(response.headers, fault.retry_after, fault.detail, now)
    return error


_REJECTIONS: dict[int, type[RejectedError]] = {
    401: AuthenticationError,
    402: CreditError,
    403: AuthenticationError,
    429: RateLimitError,
}
_REQUEST_ID = r"(?i)request id:? ([A-Za-z0-9._-]+)"


def _request_id(response: Response, fault: _Fault) -> str | None:
    found = re.search(_REQUEST_ID, fault.detail or "")
    return found[1] if found else response.headers.get("x-request-id")


def _kind(response: Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()[:60]


def _is_page(response: Response) -> bool:
    return _kind(response) == "text/html" or response.body.lstrip()[:1] == b"<"


def _is_foreign(response: Response) -> bool:
    """Whether something else than the API seems to answer: a redirect, or a web page where there is an API.

    A page behind a 5xx or a 429 is a proxy's way to say that it is busy, and one behind a 413 speaks of one body; they
    prove no wrong address.
    """
    speaks_of_this = response.status >= 500 or response.status in (408, 413, 414, 429, 431)
    return 300 <= response.status < 400 or (_is_page(response) and not speaks_of_this)


def is_transient(status: int) -> bool:
    """Whether the same request may succeed later: an error of the server, a timeout, or too many requests."""
    return status >= 500 or status in (408, 425, 429)


def stops_submission(error: CometfluxError) -> bool:
    """Whether an answer to one submission dooms the next: a refused key, no credit, or a wrong address."""
    return error.is_foreign or isinstance(error, AuthenticationError | CreditError)
