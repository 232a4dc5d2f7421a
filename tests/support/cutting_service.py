"""A service for tests that bills each submission received whole, and cuts an exchange at a given byte.

It reads the head of a request to learn the length of the request. Bytes after the cut count as not received.
"""

import asyncio
import contextlib
import itertools
import json
import socket

import attrs
from socket_server import Server, end

KEY = "sk-canary-0123456789"

ANSWERS = {
    "created": (201, None),
    "refused": (422, {"title": "Input validation failed", "detail": "- input.prompt: no\n", "status": 422}),
    "throttled": (429, {"title": "Too many requests", "detail": "Request was throttled.", "status": 429}),
    "invalid-request": (500, {"error": {"message": "prompt is required", "code": "invalid_request"}}),
}
"""The responses to a submission: a status, and a body if it is not a prediction."""


@attrs.frozen
class Spots:
    """The ends of the parts of a request or response, in bytes from its beginning."""

    head: int
    end: int
    id_begins: int = 0
    id_ends: int = 0


@attrs.frozen(kw_only=True)
class Cut:
    """Where and how to cut, and the response without the cut."""

    side: str
    """``accept``: before anything is read; ``request``; ``early``: the request, but with a response; ``answer``."""
    place: object = None
    """A function from the spots to the number of bytes before the cut."""
    how: str = "close"
    """``close``, ``reset``, ``stall`` or ``fin``: the end of the TCP stream without a TLS close."""
    answer: str = "created"
    framing: str = "length"
    """How a response marks its end: ``length``, ``chunked`` or ``close``."""
    pause: float = 0.0
    """Seconds between the head of a response and the rest."""


@attrs.frozen
class Post:
    """A submission: the number of its connection, from 1, and whether it was received whole."""

    connection: int
    is_whole: bool


class CuttingService:
    """Accepts any submission and responds to any poll, and cuts submissions as planned by `strike`."""

    def __init__(self, *, tls=None):
        self._tls = tls
        self._server = None
        self._tasks = set()
        self._numbers = itertools.count(1)
        self._cut, self._left = None, 0
        self.port = 0
        self.bills = []
        self.posts = []
        self.polls = []
        """The connections of the polls."""
        self.cuts = 0
        """The number of cut submissions."""
        self.has_shown_id = False
        """Whether a response was sent at least to the end of its id."""

    def strike(self, cut, times=1):
        """Cut the next *times* submissions."""
        self._cut, self._left = cut, times

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def wholes(self):
        """The number of submissions received whole."""
        return sum(post.is_whole for post in self.posts)

    async def __aenter__(self):
        # A second socket may reserve the port while nobody listens.
        serving = asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls, backlog=1024, reuse_port=True
        )
        self._server = await serving
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self.hang_up("abort")

    async def hang_up(self, how):
        """End every connection: by a ``close``, a ``reset``, or at once."""
        for task in tuple(self._tasks):
            task.cancel(how)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        number = next(self._numbers)
        try:
            if self._cut and self._cut.side == "accept" and (cut := self._take()):
                await _end(writer, cut.how)
                return
            while await self._exchange(reader, writer, number):
                pass
        except asyncio.CancelledError as cancelled:
            if cancelled.args == ("reset",):
                await end(writer, "reset")
            elif cancelled.args != ("close",):
                # A TLS close would wait for the unread bytes.
                writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(asyncio.current_task())
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _exchange(self, reader, writer, number):
        """Read one request and respond to it; return whether the connection stays open."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.split(b" ", 2)
        if method == b"GET":
            self.polls.append(number)
            writer.write(_http(*self._prediction(path.rpartition(b"/")[2].decode())))
            await writer.drain()
            return True
        cut = self._take()
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        spots = Spots(len(head), len(head) + length)
        reach = cut.place(spots) if cut and cut.side in ("request", "early") else spots.end
        await reader.readexactly(max(0, reach - spots.head))
        self.posts.append(Post(number, reach == spots.end))
        if cut is None or cut.side == "early":
            writer.write(_http(*self._decide("created" if cut is None else cut.answer)))
        elif cut.side == "answer":
            await self._answer(writer, cut)
        elif reach == spots.end:
            # It was received whole, but gets no response.
            self._decide("created")
        if cut is not None:
            await _end(writer, cut.how)
            return False
        self.has_shown_id = True
        await writer.drain()
        return True

    def _take(self):
        if not self._left:
            return None
        self._left -= 1
        self.cuts += 1
        return self._cut

    def _prediction(self, name):
        if name not in self.bills:
            return 404, {"detail": "The requested resource could not be found.", "status": 404}
        return 200, {"id": name, "status": "succeeded", "output": "https://replicate.delivery/out-0.webp"}

    def _decide(self, answer):
        """Return a status and a body. An accepted submission is billed here."""
        status, body = ANSWERS[answer]
        if body is None:
            name = f"p{len(self.bills) + 1:025d}"
            self.bills.append(name)
            body = {"id": name, "input": {"id": "evil", "prompt": "x"}, "logs": "", "status": "starting"}
        return status, body

    async def _answer(self, writer, cut):
        wire, spots = frame(*self._decide(cut.answer), cut.framing)
        reach = cut.place(spots)
        self.has_shown_id = bool(spots.id_ends) and reach >= spots.id_ends
        begin = min(reach, spots.head) if cut.pause else reach
        writer.write(wire[:begin])
        if cut.pause:
            await writer.drain()
            await asyncio.sleep(cut.pause)
            writer.write(wire[begin:reach])


class FirstByte(Server):
    """A server that ends each connection at its first byte, before it has read anything.

    For a TLS client, that is in the middle of the handshake.
    """

    def __init__(self, how):
        super().__init__()
        self._how = how
        self.connections = 0

    async def serve(self, reader, writer):
        await reader.read(1)
        self.connections += 1
        await _end(writer, self._how)


async def _end(writer, how):
    if how == "fin":
        await writer.drain()
        writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        # The other side has closed by then.
        await asyncio.sleep(1000)
    else:
        await end(writer, how)


def _http(status, body):
    wire, _ = frame(status, body, "length")
    return wire


def frame(status, body, framing):
    """Encode a response; return its bytes and its spots."""
    headers = {"length": "Content-Length: {}", "chunked": "Transfer-Encoding: chunked", "close": "Connection: close"}
    text = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 {status} Chosen\r\nContent-Type: application/json\r\n{headers[framing].format(len(text))}\r\n\r\n"
    parts = [(b"", text, b"")]
    if framing == "chunked":
        pieces = [text[i : i + 9] for i in range(0, len(text), 9)]
        parts = [*((b"%x\r\n" % len(piece), piece, b"\r\n") for piece in pieces), (b"0\r\n\r\n", b"", b"")]
    wire = head.encode() + b"".join(b"".join(part) for part in parts)
    if "id" not in body:
        return wire, Spots(len(head), len(wire))
    # The position of each byte of the body in the encoded response.
    places, at = [], len(head)
    for before, piece, behind in parts:
        places += range(at + len(before), at + len(before) + len(piece))
        at += len(before) + len(piece) + len(behind)
    begins = text.index(b'"', len(b'{"id":'))
    ends = text.index(b'"', begins + 1)
    return wire, Spots(len(head), len(wire), places[begins], places[ends] + 1)
