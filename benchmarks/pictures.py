"""A server whose predictions have pictures of a given size, which it also serves: ``/1500000/replicate/v1``.

It records when each submission came, as ``GET /times``.
"""

import json
import time
import zlib
from functools import cache
from struct import pack

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

    def answer(self, request: bytes, closes: bool) -> None:
        """Respond to one request."""
        if request == b"GET /times":
            self.write(b"200 OK", json.dumps(self.times).encode(), closes)
            return
        size = int(request.split(b"/")[1])
        if request.startswith(b"POST"):
            self.times.append(time.time())
            name = b"%026d" % len(self.times)
            self.write(b"201 Created", answer_created(name), closes)
        elif b"/out/" in request:
            self.write(b"200 OK", picture(size), closes)
        else:
            name = request.rpartition(b"/")[2]
            port = self._transport.get_extra_info("sockname")[1]
            self.write(b"200 OK", _ENDED % (name, port, size, name), closes)
