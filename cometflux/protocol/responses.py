"""Turn responses into predictions or errors. Each error says what happened to the money."""

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
from cometflux.protocol.refusals import NO_CREDIT, Shape, is_refusal
from cometflux.protocol.requests import _ID, Response

# ── responses ────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_created(response: Response, now: float, known_input: Mapping[str, Any] | None = None) -> Prediction:
    """Read the response to a submission of *known_input*. *now* is the wall clock, in seconds since 1970.

    The body is read before the status: this service also rejects with 500 and 503, and a broken response may carry an
    id.

    Raises:
        RejectedError: the service rejected the submission.
        UnknownSubmissionError: nothing proves whether it was accepted. If a torn response still shows an id, the error
            carries the id, and a poll can prove that the submission was accepted.
    """
    # An id proves that the submission was accepted, whatever the status is.
    prediction = decoding.load_created(response.body, known_input)
    if prediction is None:
        raise _refusal(response, now)
    if not _ID.fullmatch(prediction.id):
        raise UnknownSubmissionError(
            "the response carries an id that cannot be polled",
            f"HTTP {response.status}, id {prediction.id[:80]!r}",
            status=response.status,
            fault=response.fault,
            request_id=_request_id(response, _Fault()),
        )
    return prediction


def read_prediction(
    response: Response,
    prediction_id: str,
    now: float,
    other_id: str | None = None,
    known_input: Mapping[str, Any] | None = None,
) -> Prediction:
    """Read the response to a poll of *prediction_id*.

    *now* is the wall clock, in seconds since 1970. For *other_id* and *known_input* see `decoding.load_prediction`.

    Raises:
        RejectedError: the service rejected the request.
        AnswerError: the response cannot be read.
    """
    if response.cut:
        raise AnswerError(f"the response broke off: {response.cut}", prediction_id=prediction_id)
    if not 200 <= response.status < 300:
        error = _rejection(response, _read_fault(response.body), now)
        error.money, error.prediction_id = Money.ACCEPTED, prediction_id
        raise error
    return decoding.load_prediction(response.body, prediction_id, other_id, known_input)


class _Fault(NamedTuple):
    """The content of an error body, in any of the service's formats."""

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
    """Put the service's words on one line, so that they fit into a sentence."""
    line = " ".join(words.split()).removeprefix("- ").removesuffix(".").rstrip()
    return line if len(line) <= _LONGEST_WORDS else f"{line[:_LONGEST_WORDS]}…"


_LONGEST_WORDS = 1000


def _read_wait(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    # Clamp first: an integer may be too large for a float.
    return float(min(max(value, 0), LONGEST_PAUSE))


def _refusal(response: Response, now: float) -> CometfluxError:
    """Return the error for a response to a submission that has no id: rejected, or unknown."""
    fault = _read_fault(response.body)
    error: CometfluxError
    says_no = is_refusal(response.status, _shape(response, fault), fault.code)
    shown_id = _shown_id(response, is_any_shape=not says_no)
    if says_no and shown_id is None:
        error = _rejection(response, fault, now, ModelNotFoundError)
    else:
        content = response.cut or _describe_content(response)
        evidence = ", ".join(part for part in (f"HTTP {response.status}", _kind(response), content) if part)
        request_id = _request_id(response, fault)
        detail = f": {fault.detail}" if fault.detail else ""
        detail += _quote_request_id(request_id, fault.detail)
        message = f"nothing proves whether the submission was accepted ({evidence}){detail}"
        error = UnknownSubmissionError(
            message,
            evidence,
            status=response.status,
            fault=response.fault,
            request_id=request_id,
            prediction_id=shown_id,
        )
    error.is_foreign = shown_id is None and _is_foreign(response)
    return error


def _shape(response: Response, fault: _Fault) -> Shape:
    if not response.body:
        return Shape.EMPTY
    if fault.code or fault.detail:
        return Shape.WORDED
    is_torn_refusal = response.cut and any(_read_fault(whole).detail for whole in salvage.close_torn(response.body))
    return Shape.EMPTY if is_torn_refusal else Shape.OTHER


def _describe_content(response: Response) -> str:
    """Describe a body that is not a prediction."""
    if 300 <= response.status < 400:
        return "a redirect; is the base URL right?" if _is_foreign(response) else "a redirect"
    if _is_page(response):
        return "a web page; is the base URL right?" if _is_foreign(response) else "a web page"
    try:
        data = decoding.load_json(response.body)
    except AnswerError as error:
        return error.message
    if isinstance(data, dict):
        return "without the id of a prediction"
    return f"{decoding.kind_of(data)}, not an object"


def _shown_id(response: Response, *, is_any_shape: bool) -> str | None:
    """Return the id that a response shows without saying so plainly: torn, or the target of a redirect.

    In a rejection, only an id in the usual place counts.
    """
    shown = (
        salvage.load_torn(response.body, is_any_shape=is_any_shape)
        or response.shown_id
        or salvage.load_location(response.headers.get("location"))
    )
    return shown if shown and _ID.fullmatch(shown) else None


def _rejection(
    response: Response, fault: _Fault, now: float, not_found: type[RejectedError] = RejectedError
) -> RejectedError:
    status = response.status
    words = fault.detail or ("a web page, not the API" if _is_page(response) else "no reason was given")
    message = f"the service rejected the request with HTTP {status}: {words}"
    if 300 <= status < 400:
        message = f"the response is a redirect (HTTP {status}); the base URL is probably wrong"
    kind = _REJECTIONS.get(status, RejectedError)
    if status == 404 or fault.code == "model_not_found":
        kind = not_found
    if fault.code == NO_CREDIT:
        kind = CreditError
    request_id = _request_id(response, fault)
    message += _quote_request_id(request_id, fault.detail)
    error = kind(message, status, fault.code, fault.detail, request_id)
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


_REQUEST_ID_HEADERS = ("x-cometapi-request-id", "x-request-id")
_SHOWN_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def _request_id(response: Response, fault: _Fault) -> str | None:
    """Return the id by which the account's log and the support find the request; None if there is none."""
    if found := re.search(_REQUEST_ID, fault.detail or ""):
        return found[1]
    return next((response.headers[name] for name in _REQUEST_ID_HEADERS if response.headers.get(name)), None)


def _quote_request_id(request_id: str | None, detail: str | None) -> str:
    """Return the end of a message: the request's id, unless the service's own words have it."""
    if request_id is None or not _SHOWN_REQUEST_ID.fullmatch(request_id) or request_id in (detail or ""):
        return ""
    return f" (request id: {request_id})"


def _kind(response: Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()[:60]


def _is_page(response: Response) -> bool:
    return _kind(response) == "text/html" or response.body.lstrip()[:1] == b"<"


def _is_foreign(response: Response) -> bool:
    """Whether the response seems to come from something other than the API: a redirect, or a web page.

    A page with a 5xx or a 429 does not prove a wrong address: a busy proxy sends it. Nor does a page with a 413, which
    is about this one request.
    """
    may_be_proxy = response.status >= 500 or response.status in (408, 413, 414, 429, 431)
    return 300 <= response.status < 400 or (_is_page(response) and not may_be_proxy)


def is_transient(status: int) -> bool:
    """Whether the same request may succeed later: an error of the server, a timeout, or too many requests."""
    return status >= 500 or status in (408, 425, 429)


def stops_submission(error: CometfluxError) -> bool:
    """Whether the next submission would fail for the same reason: a rejected key, no credit, or a wrong address."""
    return error.is_foreign or isinstance(error, AuthenticationError | CreditError)
