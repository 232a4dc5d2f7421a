"""A server with limiters: each way to limit has a path of its own, and keeps count of what it let through.

The path of a row says how it limits, as in ``/50-10-header-0/replicate/v1``: 50 requests a second, 10 at once, the wait
told in a header, a limit that stays. Each is a bucket, as in nginx, Envoy and Django: a token for each request, filled
at a constant rate.
"""

import asyncio
import json
import math
import time
from email.utils import formatdate

import attrs

from benchmarks.server import Answers

TRIP = 0.03
"""Seconds from a request to its answer."""
FORMS = {"header": "Retry-After in whole seconds", "date": "as a date", "body": "in the body only", "none": "absent"}
STEP = 18.0
"""Seconds from one limit to the next, where the limit steps to a fifth and back."""
_ENDED = (
    b'{"id":"%026d","model":"black-forest-labs/flux-schnell","input":{"prompt":"a paper boat"},"error":null,'
    b'"output":["https://replicate.delivery/xezq/out-0.webp"],"status":"succeeded","urls":{}}'
)


@attrs.define
class Bucket:
    """A limiter, and what it has done so far."""

    rate: float
    burst: float
    steps: bool
    began: float
    tokens: float = 0.0
    at: float = 0.0
    accepted: list[float] = attrs.field(factory=list)
    """When, in seconds since the first request."""
    refused: int = 0

    @classmethod
    def of(cls, row: str, now: float) -> "Bucket":
        """Read how the row limits."""
        rate, burst, _, steps = row.split("-")
        return cls(float(rate), float(burst), steps == "1", now, float(burst))

    def wait(self, now: float) -> float:
        """Take a token; return 0.0, or in how many seconds there is one."""
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
    """Answers each submission at once with its end, or with 429."""

    buckets: dict[str, Bucket] = {}  # noqa: RUF012 - all connections share them

    def answer(self, request: bytes, closes: bool) -> None:
        """Answer one request, after a while; a question is for what was counted."""
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
    """Return the headers and the body that tell to wait."""
    seconds = math.ceil(wait)
    said = {"detail": "Request was throttled.", "status": 429}
    if form == "body":
        said |= {"retry_after": seconds}
    if form == "header":
        return b"Retry-After: %d\r\n" % seconds, json.dumps(said).encode()
    if form == "date":
        # A date has whole seconds, so it is rounded up.
        date = formatdate(math.ceil(time.time() + wait), usegmt=True)
        return f"Retry-After: {date}\r\n".encode(), json.dumps(said).encode()
    return b"", json.dumps(said).encode()
