"""Find the prediction's id in a response that does not say it plainly."""

import re
from collections.abc import Iterator

from cometflux.errors import AnswerError
from cometflux.protocol.compression import decompress
from cometflux.protocol.decoding import find_id, load_created, load_json


def load_torn(body: bytes, *, is_any_shape: bool = False) -> str | None:
    """Salvage a prediction's id from a response that broke off or is otherwise not JSON.

    Returns None unless the whole id is there. A text in the echoed input is never taken for the id. *is_any_shape* says
    that the id also counts where only some gateways have it; see `find_id`.
    """
    for text in close_torn(body):
        prediction = load_created(text)
        if prediction is not None:
            return prediction.id
        if is_any_shape and (found := find_id(text)) is not None:
            return found
    return None


def is_complete(body: bytes) -> bool:
    """Whether *body* is a whole JSON object, as far as its braces show. A wrong length may cut it after any brace."""
    return body.rstrip()[-1:] == b"}" and (body.count(b"{") == body.count(b"}") or _is_json(body))


def _is_json(body: bytes) -> bool:
    try:
        return bool(load_json(body))
    except AnswerError:
        return False


def load_wire(wire: bytes, *, is_any_shape: bool = False) -> str | None:
    """Salvage a prediction's id from the bytes of a response, from its status line on, whose head cannot be read.

    For *is_any_shape* see `load_torn`.
    """
    wire, place, target = wire.lstrip(), 0, None
    while found := _HEAD.match(wire, place):
        place, target = found.end(), _LOCATION.search(found[0]) or target
    body = wire[place:]
    if _CHUNK.match(body):
        body = _join_chunks(body)
    if coding := _MARKS_OF_CODINGS.get(body[:1]):
        body, _ = decompress(body, coding, _LARGEST_WIRE)
    return load_torn(body, is_any_shape=is_any_shape) or load_location(target and target[1].decode("latin-1"))


# Up to the first blank line, whatever is in it. Heads of interim responses (1xx) may come first.
_HEAD = re.compile(rb"HTTP.*?\n\r*\n", re.DOTALL | re.IGNORECASE)
_LOCATION = re.compile(rb"\nlocation[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_MARKS_OF_CODINGS = {b"\x1f": "gzip", b"x": "deflate"}
_CHUNK = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\n]*)?\r?\n")
_LARGEST_WIRE = 32 * 1024 * 1024


def _join_chunks(body: bytes) -> bytes:
    joined, place = bytearray(), 0
    while (found := _CHUNK.match(body, place)) and (size := int(found[1], 16)):
        joined += body[found.end() : found.end() + size]
        place = found.end() + size
        place += 2 if body[place : place + 2] == b"\r\n" else 1
    return bytes(joined)


def close_torn(body: bytes) -> Iterator[bytes]:
    """Yield JSON texts that a body which broke off may have begun, the longest first."""
    return (text.encode() for text in _closed(body.decode("utf-8", "replace").removeprefix("\ufeff")))


def load_location(target: str | None) -> str | None:
    """Return the id of the prediction that the Location header *target* names; None if it names none."""
    found = _PREDICTION.search(target or "")
    return found[1] if found else None


_PREDICTION = re.compile(r"\A[^?#]*/predictions/([^/?#\s]+)/?(?:[?#].*)?\Z")


def _closed(text: str) -> Iterator[str]:
    """Yield versions of a cut JSON text with its brackets closed.

    The first is closed at the end of the text, the second after the last complete value. The third ends at the last
    comma of the outermost object, in case the text has a fault such as a comma too many.
    """
    closers: list[str] = []
    whole = 0, ""
    outermost = 0
    for number, (place, mark) in enumerate(_marks(text)):
        if number == _MOST_MARKS:
            break
        if mark in "{[":
            closers.insert(0, "}" if mark == "{" else "]")
        elif mark in "}]" and closers:
            closers.pop(0)
        if len(closers) > _DEEPEST_TORN:
            break
        if mark == "," and len(closers) == 1:
            outermost = place
        whole = (place if mark == "," else place + 1), "".join(closers)
        # Text after the end does not belong to the response.
        if not closers:
            break
    else:
        yield text + "".join(closers)
    yield text[: whole[0]] + whole[1]
    if outermost:
        yield text[:outermost] + text.lstrip()[:1].replace("{", "}").replace("[", "]")


_DEEPEST_TORN = 32
_MOST_MARKS = 100_000


def _marks(text: str) -> Iterator[tuple[int, str]]:
    """Yield each bracket and comma outside strings, with its position."""
    # A string may be cut anywhere, even within an escape. Then it extends to the end of the text.
    for found in re.finditer(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[{}\[\],]', text, re.DOTALL):
        if not found[0].startswith('"'):
            yield found.start(), found[0]
