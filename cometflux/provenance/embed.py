"""Embed the record of how an image was made in the image itself, and read it again. The pixels stay unchanged.

In a PNG the record is a text chunk with the keyword ``cometflux``; in a JPEG or WebP it is the user comment of the EXIF
block. The other parts of the file are not encoded again, and each time they are checked to be the same. If anything
fails, the image is returned unchanged, because it is paid for and matters more than its record.
"""

import contextlib
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from cometflux.images import formats
from cometflux.protocol import encoding
from cometflux.provenance import exif
from cometflux.provenance.exif import UnsuitableError
from cometflux.provenance.portable import portable_record
from cometflux.provenance.sidecar import load_record

_KEYWORD = "cometflux"
_TITLE = "Description"
"""The PNG standard's keyword for the text that viewers show. It gets the prompt."""
_MOST = 1024 * 1024
_LARGEST_IMAGE = 32 * 1024 * 1024
"""Embedding needs up to five times an image's size in memory."""
_LARGEST_BLOCK = 8 * 1024 * 1024
"""More bytes than an EXIF block with a record of ours has."""
_MOST_PARTS = 100_000
"""A part may be as short as 4 bytes, and the list of parts takes far more memory than that."""
_MOST_IN_JPEG = 65_533 - len(exif.HEAD)


@attrs.frozen(kw_only=True)
class Embedded:
    """The result of embedding a record in an image."""

    data: bytes
    reason: str | None = None
    """Why the image is unchanged; None if the record is in it."""

    @property
    def note(self) -> dict[str, Any]:
        """The fields that the sidecar gets about the embedding."""
        return {"embedded": True} if self.reason is None else {"embedded": False, "not_embedded": self.reason}


def embed(data: bytes, record: Mapping[str, Any]) -> Embedded:
    """Embed *record* in an image, in the form that may be shared: see `portable_record`.

    If there is no room for it, the logs are left out. Needs piexif for JPEG and WebP. Never raises.
    """
    try:
        shown = portable_record(record)
        kind = formats.media_type(data)
        if kind not in _WRITERS:
            name = kind and kind.removeprefix("image/").upper()
            raise UnsuitableError(f"a {name} cannot hold a record" if name else "it is not an image")
        if len(data) > _LARGEST_IMAGE:
            raise UnsuitableError(f"it is larger than {_LARGEST_IMAGE >> 20} MiB")
        if not formats.is_whole(data):
            raise UnsuitableError("it is not complete")
        if extract(data) is not None:
            raise UnsuitableError("it has a record already")
        return Embedded(data=_first_that_fits(data, _WRITERS[kind], shown))
    except UnsuitableError as error:
        return Embedded(data=data, reason=str(error))
    except Exception as error:  # noqa: BLE001 - a paid image is saved even if embedding fails
        return Embedded(data=data, reason=f"embedding broke ({type(error).__name__}: {error})")


class _NoRoomError(UnsuitableError):
    """The record is too long for this kind of image."""


def _first_that_fits(data: bytes, write: "_Writer", shown: dict[str, Any]) -> bytes:
    try:
        return _verified(data, write(data, shown), shown)
    except _NoRoomError:
        # The logs are the longest part of the record and the least important.
        brief = {**shown, "prediction": {**shown["prediction"], "logs": None}}
        return _verified(data, write(data, brief), brief)


def _verified(data: bytes, grown: bytes, shown: dict[str, Any]) -> bytes:
    if not formats.is_whole(grown) or extract(grown) != shown or not is_same_picture(data, grown):
        raise UnsuitableError("its structure is unusual, and embedding could have damaged it")
    return grown


def extract(data: bytes) -> dict[str, Any] | None:
    """Read the record in an image; None if there is no readable record. Never raises."""
    with contextlib.suppress(ValueError, struct.error):
        match formats.media_type(data):
            case "image/png":
                return _read_png(data)
            case "image/jpeg":
                return _read_comment(
                    data, ((start + 10, end) for kind, start, end in _segments(data) if kind == "Exif")
                )
            case "image/webp":
                places = _chunks(data)[0]
                return _read_comment(data, ((start + 8, end) for kind, start, end in places if kind == b"EXIF"))
    return None


def is_same_picture(one: bytes, other: bytes) -> bool:
    """Whether two images are the same except for the record in them."""
    try:
        return formats.media_type(one) == formats.media_type(other) and _picture(one) == _picture(other)
    except (UnsuitableError, struct.error):
        return False


def _picture(data: bytes) -> list[bytes]:
    """Return the parts of an image that embedding neither adds nor changes."""
    match formats.media_type(data):
        case "image/png":
            return _picture_of_png(data)
        case "image/jpeg":
            segments = list(_segments(data))
            return [*(data[start:end] for kind, start, end in segments if kind != "Exif"), data[segments[-1][2] :]]
        case "image/webp":
            return _picture_of_webp(data)
        case _:
            raise UnsuitableError("it cannot hold a record")


# ── PNG ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _write_png(data: bytes, shown: dict[str, Any]) -> bytes:
    text = encoding.dump_line(shown)
    if len(text.encode()) > _MOST:
        raise _NoRoomError("the record is longer than 1 MiB")
    places = list(_png_chunks(data))
    if not places or places[0][0] != b"IHDR":
        raise UnsuitableError("its header is not at its beginning")
    if b"caBX" in {kind for kind, _, _ in places}:
        raise UnsuitableError(_SIGNED)
    added = _text_chunk(_KEYWORD, text)
    prompt = shown["input"].get("prompt")
    has_title = any(data.startswith(f"{_TITLE}\0".encode(), start + 8) for _, start, _ in places)
    if isinstance(prompt, str) and "\0" not in prompt and not has_title:
        added += _text_chunk(_TITLE, prompt)
    # Before the pixels, so that readers find it without skipping them.
    end = places[0][2]
    return data[:end] + added + data[end:]


def _text_chunk(keyword: str, text: str) -> bytes:
    # No compression, no language, no translation of the keyword.
    body = f"{keyword}\0\0\0\0\0{text}".encode()
    return struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk, including the last: its kind, its start and its end."""
    place = 8
    for _ in range(_MOST_PARTS):
        if place + 12 > len(data):
            raise UnsuitableError("its chunks do not add up")
        size, kind = struct.unpack_from(">I4s", data, place)
        end = place + size + 12
        if end > len(data):
            raise UnsuitableError("its chunks do not add up")
        yield kind, place, end
        if kind == b"IEND":
            return
        place = end
    raise UnsuitableError(_MANY)


def _read_png(data: bytes) -> dict[str, Any] | None:
    for _, start, end in _png_chunks(data):
        if data.startswith(_OURS, start + 4):
            start += 4 + len(_OURS)
            return _record(load_record(data[start : end - 4])) if end - 4 - start <= _MOST else None
    return None


def _picture_of_png(data: bytes) -> list[bytes]:
    places = list(_png_chunks(data))
    parts: list[bytes] = []
    is_after_ours = False
    for _, start, end in places:
        is_ours = data.startswith(_OURS, start + 4)
        if not is_ours and not (is_after_ours and data.startswith(_TITLED, start + 4)):
            parts.append(data[start:end])
        is_after_ours = is_ours
    return [*parts, data[places[-1][2] :]]


_OURS, _TITLED = (f"iTXt{keyword}\0\0\0\0\0".encode() for keyword in (_KEYWORD, _TITLE))


# ── JPEG ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _write_jpeg(data: bytes, shown: dict[str, Any]) -> bytes:
    segments = list(_segments(data))
    known = [(start, end) for kind, start, end in segments if kind == "Exif"]
    if len(known) > 1:
        raise UnsuitableError("it has several EXIF blocks")
    if any(b"jumb" in data[start:end] for kind, start, end in segments if kind == "APP11"):
        raise UnsuitableError(_SIGNED)
    start, end = known[0] if known else (2, 2)
    block = _block(data[start + 10 : end] if known else b"", shown)
    if len(block) > _MOST_IN_JPEG:
        raise _NoRoomError("the record is longer than 64 KiB, the limit in a JPEG")
    # piexif would replace the JFIF header, which must stay at the beginning.
    first = next((start for kind, start, _ in segments if kind != "APP0"), 2)
    rest = data[first:start] + data[end:] if known else data[first:]
    return data[:first] + exif.insert(block, data[:2] + rest)[2:]


def _segments(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield each segment before the pixels: its kind, its start and its end.

    The last one marks the start of the pixels; its end equals its start.
    """
    place = 2
    for _ in range(_MOST_PARTS):
        mark, kind, size = struct.unpack_from(">BBH", data, place)
        if mark != 0xFF or not 0xC0 <= kind <= 0xFE or 0xD0 <= kind <= 0xD9 or size < 2:
            raise UnsuitableError("its segments do not add up")
        if kind == 0xDA:
            yield "pixels", place, place
            return
        end = place + 2 + size
        if end > len(data):
            raise UnsuitableError("its segments do not add up")
        is_exif = kind == 0xE1 and data.startswith(exif.HEAD, place + 4)
        yield "Exif" if is_exif else f"APP{kind - 0xE0}", place, end
        place = end
    raise UnsuitableError(_MANY)


# ── WebP ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_HAS_EXIF, _HAS_ALPHA = 0x08, 0x10


def _write_webp(data: bytes, shown: dict[str, Any]) -> bytes:
    places, size = _chunks(data)
    kinds = [kind for kind, _, _ in places]
    if b"C2PA" in kinds:
        raise UnsuitableError(_SIGNED)
    if kinds.count(b"EXIF") > 1:
        raise UnsuitableError("it has several EXIF blocks")
    known = next((data[start + 8 : end] for kind, start, end in places if kind == b"EXIF"), b"")
    block = _block(known.removeprefix(exif.HEAD), shown)
    if len(kinds) == 1:
        return exif.insert(block, data[:size]) + data[size:]
    # piexif would take the size of an animation from its last frame, and ignores transparency in frames.
    return _insert_chunk(data, places, block) + data[size:]


def _insert_chunk(data: bytes, places: list[tuple[bytes, int, int]], block: bytes) -> bytes:
    if places[0][0] != b"VP8X":
        raise UnsuitableError("its header is not at its beginning")
    parts = [(kind, data[start + 8 : end]) for kind, start, end in places if kind != b"EXIF"]
    header = parts[0][1]
    parts[0] = (b"VP8X", bytes([header[0] | _HAS_EXIF]) + header[1:])
    kinds = [kind for kind, _ in parts]
    parts.insert(kinds.index(b"XMP ") if b"XMP " in kinds else len(kinds), (b"EXIF", block))
    body = b"".join(kind + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for kind, part in parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _chunks(data: bytes) -> tuple[list[tuple[bytes, int, int]], int]:
    """Return each chunk's kind, start and end, and the size of the file that the header announces."""
    size = struct.unpack_from("<I", data, 4)[0] + 8
    place = 12
    found: list[tuple[bytes, int, int]] = []
    while place + 8 <= size <= len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        end = place + 8 + length
        if len(found) == _MOST_PARTS:
            raise UnsuitableError(_MANY)
        found.append((kind, place, end))
        # A part of odd length is padded.
        place = end + end % 2
    if place != size or not found:
        raise UnsuitableError("its chunks do not add up")
    return found, size


def _picture_of_webp(data: bytes) -> list[bytes]:
    places, size = _chunks(data)
    parts = [data[start:end] for kind, start, end in places if kind not in (b"VP8X", b"EXIF")]
    return [_canvas(data), *parts, data[size:]]


def _canvas(data: bytes) -> bytes:
    """Return the extended header of an image, or an equivalent one, without the flag for an EXIF block."""
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X" and len(body) == 10:
        return bytes([body[0] & ~_HAS_EXIF]) + body[1:]
    if kind == b"VP8 ":
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", body, 6))
        return _header(0, width - 1, height - 1)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        return _header(_HAS_ALPHA if bits >> 28 & 1 else 0, bits & 0x3FFF, bits >> 14 & 0x3FFF)
    raise UnsuitableError("its header is not at its beginning")


def _header(flags: int, right: int, bottom: int) -> bytes:
    return struct.pack("<I", flags) + struct.pack("<I", right)[:3] + struct.pack("<I", bottom)[:3]


# ── EXIF ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _block(known: bytes, shown: dict[str, Any]) -> bytes:
    # The keyword distinguishes the record from comments of other programs.
    text = encoding.dump_line({_KEYWORD: shown})
    if len(text) > _MOST:
        raise _NoRoomError("the record is longer than 1 MiB")
    return exif.add(known, text) if known else exif.make(text)


def _read_comment(data: bytes, blocks: Iterable[tuple[int, int]]) -> dict[str, Any] | None:
    for start, end in blocks:
        if end - start > _LARGEST_BLOCK:
            continue
        text = exif.find_comment(data[start:end].removeprefix(exif.HEAD))
        match None if text is None or len(text) > _MOST else load_record(text.encode("utf-8", "replace")):
            case {"cometflux": record}:
                return _record(record)
    return None


def _record(value: Any) -> dict[str, Any] | None:
    match value:
        case {"model": _, "input": dict(), "prediction": {"id": str()}}:
            return dict(value)
        case _:
            return None


_MANY = f"it has more than {_MOST_PARTS} parts"
_SIGNED = "it is signed (C2PA), and a change would break the signature"
_Writer = Callable[[bytes, dict[str, Any]], bytes]
_WRITERS: dict[str | None, _Writer] = {"image/png": _write_png, "image/jpeg": _write_jpeg, "image/webp": _write_webp}
