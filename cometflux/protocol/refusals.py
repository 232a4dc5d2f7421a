"""Which responses to a submission prove that it was not accepted. A response that proves nothing leaves it unknown."""

import enum


class Shape(enum.Enum):
    """The body of a response that carries no id."""

    WORDED = "worded"
    """The service's own error body: JSON with a reason or a code."""
    EMPTY = "empty"
    """None, or the beginning of an error body that broke off: the status counts."""
    OTHER = "other"
    """A web page, a text, JSON of another form: a proxy may have sent it."""


CODES = frozenset({"invalid_request", "model_not_found"})
"""Codes of plain rejections. This service sends them with 500 and 503, too."""
NO_CREDIT = "insufficient_user_quota"
"""Code of a rejection because the account is empty, whatever its status."""
# The service did not take the request, whether it says why or not. A 404 is that of the route.
_PLAIN = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422, 429})
# A proxy sends these before it passes the request on, and with any body.
_IN_FRONT = frozenset({413, 429})
# A timeout, and a client that hung up: the request may have been carried out.
_UNSURE = frozenset({408, 499})


def is_refusal(status: int, shape: Shape, code: str | None) -> bool:
    """Whether a response without an id proves that the submission was not accepted.

    A redirect never does: a 303 says that the POST was carried out (RFC 9110, section 15.4.4).
    """
    match shape:
        case Shape.WORDED if code in CODES:
            return 200 <= status < 300 or 400 <= status < 600
        case Shape.WORDED:
            return 400 <= status < 500 and status not in _UNSURE
        case Shape.EMPTY:
            return status in _PLAIN
        case Shape.OTHER:
            return status in _IN_FRONT
