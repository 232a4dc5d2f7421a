"""A server whose predictions have pictures of a given size, which it also serves: ``/1500000/replicate/v1``.

A limit may follow the size: ``/2000-50/replicate/v1`` accepts 50 submissions a second, a fifth of them at once, and
refuses others, as a token bucket does. It records when each submission was accepted, and how many were refused, as
``GET /times``.
"""

import json
import math
import time
import zlib
from functools import cache
from struct import pack

from benchmarks.limited import Bucket
from benchmarks.server import Answers, answer_created

_ENDED = (
    b'{"id":"%s","model":"black-forest-labs/flux-schnell","version":"hidden","input":{"prompt":"a paper boat"},'
    b'"logs":"","error":null,"source":"api","created_at":"2026-01-01T10:18:07.51Z",'
    b'"output":["http://127.0.0.1:%d/%d/out/%s.png"],"status":"succeeded","urls":{}}'
)


@cache
def picture(size: int) -> bytes:
    """Return a whole PNG of one pixel and *size* bytes."""
    head = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    tail = _chunk(b"IDAT", zlib.compress(b"\0\0\0\0")) + _chunk(b"IEND", b"")
    # A private chunk, which every reader skips.
    return head + _chunk(b"fiLl", bytes(size - len(head) - len(tail) - 12)) + tail


def _chunk(kind: bytes, data: bytes) -> bytes:
    return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))


class Pictures(Answers):
    """Accepts every submission; every prediction is over at the first poll, and has a picture."""

    times: list[float] = []  # noqa: RUF012 - all connections share them
    buckets: dict[float, Bucket] = {}  # noqa: RUF012
    """The limiters, by their rate."""

    def answer(self, request: bytes, closes: bool) -> None:
        """Respond to one request."""
        if request == b"GET /times":
            refused = sum(each.refused for each in self.buckets.values())
            self.write(b"200 OK", json.dumps({"accepted": self.times, "refused": refused}).encode(), closes)
            return
        row, _, limit = request.split(b"/")[1].partition(b"-")
        size = int(row)
        if request.startswith(b"POST"):
            if limit and (wait := self._wait(float(limit))):
                body = b'{"detail":"Request was throttled.","status":429}'
                self.write(b"429 Too Many Requests", body, closes, b"Retry-After: %d\r\n" % math.ceil(wait))
                return
            self.times.append(time.time())
            name = b"%026d" % len(self.times)
            self.write(b"201 Created", answer_created(name), closes)
        elif b"/out/" in request:
            self.write(b"200 OK", picture(size), closes)
        else:
            name = request.rpartition(b"/")[2]
            port = self._transport.get_extra_info("sockname")[1]
            self.write(b"200 OK", _ENDED % (name, port, size, name), closes)

    def _wait(self, rate: float) -> float:
        """Take a token, or return the seconds until the next one."""
        now = time.monotonic()
        if rate not in self.buckets:
            self.buckets[rate] = Bucket(rate, rate / 5, False, now, rate / 5)
        return self.buckets[rate].wait(now)
