"""Read the headers of a response about time: how long to wait, how many requests remain, and the service's clock."""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_PAUSE = 300.0
"""Longest pause that one response can cause, in seconds."""

# ── waiting and repeating ────────────────────────────────────────────────────────────────────────────────────────────

_WAIT_WORDS = r"(?i)(?:resets in ~?|available in )([0-9]{1,9}(?:\.[0-9]{1,9})?) ?s"


def read_retry_after(
    headers: Mapping[str, str], from_body: float | None, detail: str | None, now: float
) -> float | None:
    """Return how many seconds the service says to wait, at most 300; None if it does not say.

    The sources, in this order: the ``retry-after`` header, as seconds or a date; the body's ``retry_after``, passed as
    *from_body*; the text *detail*; and the ``ratelimit-reset`` header, if no request remains. *now* is the wall clock,
    in seconds since 1970.
    """
    wait = _read_header_wait(headers.get("retry-after", "").strip(), now)
    if wait is None:
        wait = from_body
    if wait is None and detail and (found := re.search(_WAIT_WORDS, detail)):
        wait = float(found[1])
    if wait is None and (allowance := read_allowance(headers)) is not None and allowance[0] == 0:
        wait = allowance[1]
    return None if wait is None else min(max(wait, 0.0), LONGEST_PAUSE)


def _read_header_wait(text: str, now: float) -> float | None:
    # str.isdigit alone would let other scripts' digits through.
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_PAUSE)
    date = _read_date(text)
    return None if date is None else date - now


def _read_date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        # HTTP's older date formats have no time zone, and mean UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def read_allowance(headers: Mapping[str, str]) -> tuple[float, float] | None:
    """Return how many requests remain and in how many seconds the limit resets; None if the headers do not say."""
    texts = headers.get("ratelimit-remaining"), headers.get("ratelimit-reset")
    # The caller's own transport may return anything. Do not raise: the same response may hold a paid id.
    figures = [each.strip() for each in texts if isinstance(each, str)]
    # str.isdigit alone would let other scripts' digits through.
    if len(figures) < 2 or not all(each.isascii() and each.isdigit() for each in figures):
        return None
    return float(figures[0][:12]), min(float(figures[1][:12]), LONGEST_PAUSE)


def read_clock(headers: Mapping[str, str]) -> float | None:
    """Return the time of the response by the service's clock, in seconds since 1970; None if it is not known."""
    return _read_date(headers.get("date", ""))
