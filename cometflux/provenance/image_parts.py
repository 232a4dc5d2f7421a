"""The parts of PNG, JPEG and WebP files: find the XMP packet, add one, and compare the other parts. Pure.

The pixels are never decoded, and no other part is written anew but the header of a WebP, which says which parts follow.
"""

import struct
import zlib
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator

from cometflux.images import formats
from cometflux.images.formats import Data
from cometflux.provenance.splices import Splice

_MOST_PARTS = 100_000
"""A part may be as short as 4 bytes, and the list of parts takes far more memory than that."""
_PNG_XMP = b"iTXtXML:com.adobe.xmp\0"
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MOST_IN_JPEG = 65_533 - len(_JPEG_XMP)


class UnsuitableError(ValueError):
    """An image cannot hold a record, or embedding one would damage it. The text says why."""


class NoRoomError(UnsuitableError):
    """The packet is too long for this kind of image."""


Part = tuple[str, int, int]
"""The kind of a part, its start and its end. A kind is the file's own word, or one of `XMP`, `SIGNED` and `RECORD`."""
XMP = "an XMP packet"
SIGNED = "a C2PA signature"
RECORD = "a record in the form of version 0.1"


def parts_of(data: Data) -> list[Part]:
    """List the parts of an image, without the pixels of a JPEG.

    Raises:
        UnsuitableError: it is not an image of a kind that can hold a packet, or its parts do not add up.
    """
    kind = formats.media_type(data)
    if kind not in _PARTS:
        name = kind and kind.removeprefix("image/").upper()
        raise UnsuitableError(f"a {name} cannot hold a record" if name else "it is not an image")
    try:
        return list(_PARTS[kind](data))
    except struct.error:
        raise UnsuitableError("its parts do not add up") from None


def packet_in(data: Data, part: Part) -> bytes:
    """Return the packet of a part of the kind `XMP`."""
    kind, start, end = part
    assert kind == XMP
    match formats.media_type(data):
        case "image/png":
            # After the keyword: no compression, a method, a language and the keyword's translation.
            *_, packet = data[start + 4 + len(_PNG_XMP) : end - 4].split(b"\0", 3)
            return packet[1:] if packet.startswith(b"\0") else packet
        case "image/jpeg":
            return data[start + 4 + len(_JPEG_XMP) : end]
        case _:
            return data[start + 8 : end]


def place_packet(head: Data, packet: bytes) -> list[Splice]:
    """Return the changes that add a packet to an image, which must not have one yet.

    The beginning of the image is enough to know them: *head* is at least that, and may be all of it.

    Raises:
        UnsuitableError: there is no place or no room for it, or *head* is too short to know.
    """
    try:
        return _PLACES[formats.media_type(head)](head, packet)
    except (KeyError, struct.error):
        raise UnsuitableError("its parts do not add up") from None


def are_same(one: bytes, other: bytes, added: Container[str] = (XMP, RECORD, SIGNED)) -> bool:
    """Whether two images are the same but for parts of the kinds *added*, which embedding and signing add.

    Neither image is copied as a whole: that would take longer than all the rest.

    Raises:
        UnsuitableError: as `parts_of`.
    """
    mine, others = deque(_without(one, added)), deque(_without(other, added))
    while mine and others:
        size = min(len(mine[0]), len(others[0]), _BLOCK)
        # As bytes: views are compared byte by byte.
        if bytes(mine[0][:size]) != bytes(others[0][:size]):
            return False
        for pieces in (mine, others):
            if rest := pieces.popleft()[size:]:
                pieces.appendleft(rest)
    return not (mine or others)


_BLOCK = 64 * 1024


def _without(data: bytes, added: Container[str]) -> Iterator[memoryview]:
    """Return all of an image but the parts of the kinds *added*, in pieces that are not empty."""
    view, parts, start, pieces = memoryview(data), parts_of(data), 0, []
    is_webp = formats.media_type(data) == "image/webp"
    if is_webp:
        pieces.append(memoryview(_canvas(data)))
        start = parts[0][2] if parts[0][0] == "VP8X" else parts[0][1]
    for kind, at, end in parts:
        if kind in added:
            pieces.append(view[start:at])
            start = end + end % 2 if is_webp else end
    return filter(len, [*pieces, view[start:]])


def _has(data: Data, place: int, word: bytes) -> bool:
    return data[place : place + len(word)] == word


# ── PNG ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _png_parts(data: Data) -> Iterator[Part]:
    place, is_after_record = 8, False
    for _ in range(_MOST_PARTS):
        if place + 12 > len(data):
            raise UnsuitableError("its chunks do not add up")
        size, name = struct.unpack_from(">I4s", data, place)
        end = place + size + 12
        if end > len(data):
            raise UnsuitableError("its chunks do not add up")
        is_title = is_after_record and _has(data, place + 4, b"iTXtDescription\0\0\0\0\0")
        is_after_record = name == b"iTXt" and _has(data, place + 4, b"iTXtcometflux\0\0\0\0\0")
        if name == b"iTXt" and _has(data, place + 4, _PNG_XMP):
            kind = XMP
        elif is_after_record or is_title:
            kind = RECORD
        else:
            kind = SIGNED if name == b"caBX" else name.decode("latin-1")
        yield kind, place, end
        if name == b"IEND":
            return
        place = end
    raise UnsuitableError(_MANY)


def _place_in_png(head: Data, packet: bytes) -> list[Splice]:
    kind, _, end = next(_png_parts(head))
    if kind != "IHDR":
        raise UnsuitableError("its header is not at its beginning")
    # No compression, no language, no translation of the keyword.
    body = _PNG_XMP + b"\0\0\0\0" + packet
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    # Before the pixels, so that readers find it without skipping them.
    return [Splice(end, b"", chunk)]


# ── JPEG ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _jpeg_parts(data: Data) -> Iterator[Part]:
    """Yield each segment before the pixels. The last part marks their start, and has no length."""
    place = 2
    for _ in range(_MOST_PARTS):
        mark, number, size = struct.unpack_from(">BBH", data, place)
        if mark != 0xFF or not 0xC0 <= number <= 0xFE or 0xD0 <= number <= 0xD9 or size < 2:
            raise UnsuitableError("its segments do not add up")
        if number == 0xDA:
            yield "pixels", place, place
            return
        end = place + 2 + size
        if end > len(data):
            raise UnsuitableError("its segments do not add up")
        kind = f"APP{number - 0xE0}"
        if number == 0xE1 and _has(data, place + 4, _JPEG_XMP):
            kind = XMP
        elif number == 0xE1 and _has(data, place + 4, b"Exif\0\0"):
            kind = RECORD
        elif number == 0xEB and data.find(b"jumb", place, end) >= 0:
            kind = SIGNED
        yield kind, place, end
        place = end
    raise UnsuitableError(_MANY)


def _place_in_jpeg(head: Data, packet: bytes) -> list[Splice]:
    if len(packet) > _MOST_IN_JPEG:
        raise NoRoomError("the record is longer than 64 KiB, the limit in a JPEG")
    # The JFIF header and the EXIF block must stay at the beginning.
    place = next(start for kind, start, _ in _jpeg_parts(head) if kind not in ("APP0", RECORD))
    segment = b"\xff\xe1" + struct.pack(">H", len(_JPEG_XMP) + len(packet) + 2) + _JPEG_XMP + packet
    return [Splice(place, b"", segment)]


# ── WebP ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_HAS_XMP, _HAS_EXIF, _HAS_ALPHA = 0x04, 0x08, 0x10
_WEBP_KINDS = {b"XMP ": XMP, b"C2PA": SIGNED, b"EXIF": RECORD}


def _webp_parts(data: Data) -> list[Part]:
    size = _webp_size(data)
    place = 12
    found: list[Part] = []
    while place + 8 <= size <= len(data):
        name, length = struct.unpack_from("<4sI", data, place)
        end = place + 8 + length
        if len(found) == _MOST_PARTS:
            raise UnsuitableError(_MANY)
        found.append((_WEBP_KINDS.get(name) or name.decode("latin-1"), place, end))
        # A part of odd length is padded.
        place = end + end % 2
    if place != size or not found:
        raise UnsuitableError("its chunks do not add up")
    return found


def _webp_size(data: Data) -> int:
    """Return the size of the file that the header announces."""
    return int(struct.unpack_from("<I", data, 4)[0]) + 8


def _place_in_webp(head: Data, packet: bytes) -> list[Splice]:
    size = _webp_size(head)
    canvas = _canvas(head, keeps_exif=True)
    header = b"VP8X" + struct.pack("<I", len(canvas)) + bytes([canvas[0] | _HAS_XMP]) + canvas[1:]
    # An extended header is replaced, and a file without one gets one.
    start = 30 if _has(head, 12, b"VP8X") else 12
    if size < start:
        raise UnsuitableError("its chunks do not add up")
    chunk = b"XMP " + struct.pack("<I", len(packet)) + packet + b"\0" * (len(packet) % 2)
    total = struct.pack("<I", len(header) + size - start + len(chunk) + 4)
    return [Splice(0, head[:start], b"RIFF" + total + b"WEBP" + header), Splice(size, b"", chunk)]


def _canvas(data: Data, *, keeps_exif: bool = False) -> bytes:
    """Return the extended header of an image, or an equivalent one, without the flags for a packet and a record."""
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X" and len(body) == 10 and data[16:20] == b"\n\0\0\0":
        flags = body[0] & ~_HAS_XMP if keeps_exif else body[0] & ~(_HAS_XMP | _HAS_EXIF)
        return bytes([flags]) + body[1:]
    if kind == b"VP8 ":
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", body, 6))
        return _header(0, width - 1, height - 1)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        return _header(_HAS_ALPHA if bits >> 28 & 1 else 0, bits & 0x3FFF, bits >> 14 & 0x3FFF)
    raise UnsuitableError("its header is not at its beginning")


def _header(flags: int, right: int, bottom: int) -> bytes:
    return struct.pack("<I", flags) + struct.pack("<I", right)[:3] + struct.pack("<I", bottom)[:3]


_PARTS: dict[str | None, Callable[[Data], Iterable[Part]]] = {
    "image/png": _png_parts,
    "image/jpeg": _jpeg_parts,
    "image/webp": _webp_parts,
}
_PLACES: dict[str | None, Callable[[Data, bytes], list[Splice]]] = {
    "image/png": _place_in_png,
    "image/jpeg": _place_in_jpeg,
    "image/webp": _place_in_webp,
}
_MANY = f"it has more than {_MOST_PARTS} parts"
