"""How long a response asks to wait, and how many requests it still allows."""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_PAUSE = 300.0
"""The longest pause for which a response can ask, in seconds."""

# ── waiting and repeating ────────────────────────────────────────────────────────────────────────────────────────────

_WAIT_WORDS = r"(?i)(?:resets in ~?|available in )([0-9]{1,9}(?:\.[0-9]{1,9})?) ?s"


def read_retry_after(
    headers: Mapping[str, str], from_body: float | None, detail: str | None, now: float
) -> float | None:
    """Read how long the service asks us to wait, in seconds, at most 300; None where it does not say.

    It may stand in the header, as seconds or as a date, in the body's ``retry_after``, in the text alone, or in
    ``ratelimit-reset``.
    *now* is the wall clock, in seconds since 1970.
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
    try:
        moment = parsedate_to_datetime(text)
        # The older of HTTP's forms name no zone, and mean UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError, OSError):
        return None


def read_allowance(headers: Mapping[str, str]) -> tuple[float, float] | None:
    """Read how many requests remain, and in how many seconds there are more again; None where it does not say."""
    said = headers.get("ratelimit-remaining"), headers.get("ratelimit-reset")
    # What a transport of the caller's hands over may be anything, and an id stands in the same answer.
    figures = [each.strip() for each in said if isinstance(each, str)]
    # str.isdigit alone would let other scripts' digits through.
    if len(figures) < 2 or not all(each.isascii() and each.isdigit() for each in figures):
        return None
    return float(figures[0][:12]), min(float(figures[1][:12]), LONGEST_PAUSE)
