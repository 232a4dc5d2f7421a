"""A server with rate limiters. Each limiter has its own path and records the requests that it accepted.

The path sets the limit: ``/50-10-header-0/replicate/v1`` means 50 requests a second, a burst of 10, the wait in a
header, and a constant limit. Each limiter is a token bucket, as in nginx, Envoy and Django: a request takes a token,
and the bucket refills at a constant rate.
"""

import asyncio
import json
import math
import time
from email.utils import formatdate

import attrs

from benchmarks.server import Answers

TRIP = 0.03
"""Seconds from a request to its response."""
FORMS = {"header": "Retry-After in whole seconds", "date": "as a date", "body": "in the body only", "none": "absent"}
STEP = 18.0
"""Seconds between the steps of a limit that falls to a fifth and returns."""
_ENDED = (
    b'{"id":"%026d","model":"black-forest-labs/flux-schnell","input":{"prompt":"a paper boat"},"error":null,'
    b'"output":["https://replicate.delivery/xezq/out-0.webp"],"status":"succeeded","urls":{}}'
)


@attrs.define
class Bucket:
    """A token bucket, and the requests that it has accepted and refused."""

    rate: float
    burst: float
    steps: bool
    began: float
    tokens: float = 0.0
    at: float = 0.0
    accepted: list[float] = attrs.field(factory=list)
    """The times of the accepted requests, in seconds since the first request."""
    refused: int = 0

    @classmethod
    def of(cls, row: str, now: float) -> "Bucket":
        """Create the bucket that *row*, a part of a path, describes."""
        rate, burst, _, steps = row.split("-")
        return cls(float(rate), float(burst), steps == "1", now, float(burst))

    def wait(self, now: float) -> float:
        """Take a token and return 0.0, or return the seconds until the next token."""
        age = now - self.began
        share = 0.2 if self.steps and STEP <= age < 2 * STEP else 1.0
        rate, burst = self.rate * share, max(self.burst * share, 1.0)
        self.tokens = min(burst, self.tokens + (age - self.at) * rate)
        self.at = age
        if self.tokens < 1:
            self.refused += 1
            return (1 - self.tokens) / rate
        self.tokens -= 1
        self.accepted.append(age)
        return 0.0


class Limited(Answers):
    """Responds to each submission with a succeeded prediction, or with 429."""

    buckets: dict[str, Bucket] = {}  # noqa: RUF012 - all connections share them

    def answer(self, request: bytes, closes: bool) -> None:
        """Respond to one request after `TRIP` seconds. A GET returns the counts of its limiter."""
        row = request.split(b"/")[1].decode()
        now = time.monotonic()
        if request.startswith(b"GET"):
            bucket = self.buckets[row]
            figures = {"accepted": bucket.accepted, "refused": bucket.refused}
            self.write(b"200 OK", json.dumps(figures).encode(), closes)
            return
        bucket = self.buckets.setdefault(row, Bucket.of(row, now))
        asyncio.get_running_loop().call_later(TRIP, self._decide, row, bucket.wait(now), closes)

    def _decide(self, row: str, wait: float, closes: bool) -> None:
        if wait:
            more, body = _refusal(row.split("-")[2], wait)
            self.write(b"429 Too Many Requests", body, closes, more)
            return
        Answers.count += 1
        self.write(b"201 Created", _ENDED % Answers.count, closes)


def _refusal(form: str, wait: float) -> tuple[bytes, bytes]:
    """Return the headers and the body of a 429."""
    seconds = math.ceil(wait)
    body = {"detail": "Request was throttled.", "status": 429}
    if form == "body":
        body |= {"retry_after": seconds}
    if form == "header":
        return b"Retry-After: %d\r\n" % seconds, json.dumps(body).encode()
    if form == "date":
        # A date has whole seconds, so it is rounded up.
        date = formatdate(math.ceil(time.time() + wait), usegmt=True)
        return f"Retry-After: {date}\r\n".encode(), json.dumps(body).encode()
    return b"", json.dumps(body).encode()
