"""Read bodies that came compressed although they were requested uncompressed. A bomb stops at the limit."""

import zlib

_MOST_CODINGS = 3


class CompressionError(Exception):
    """A body cannot be decompressed; the message says why."""


def decompress(body: bytes, coding: str, most: int) -> tuple[bytes, str | None]:
    """Undo the codings of a Content-Encoding header.

    Args:
        body: the body as it came. It may be torn.
        coding: the value of the header.
        most: maximum bytes of the result, and of each step on the way.

    Returns:
        The bytes, and how they broke off; None if they are complete. A torn body gives as many bytes as can be read.
    """
    names = [name for part in coding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if len(names) > _MOST_CODINGS:
        return body, f"it came compressed {len(names)} times"
    cut = None
    for name in reversed(names):
        try:
            body, is_whole = _CODINGS.get(name, _unknown)(body, most + 1)
        except (CompressionError, zlib.error) as error:
            return body, f"it came compressed ({name[:20]}), and cannot be read: {error}"
        if len(body) > most:
            return body[:most], f"it is larger than {most} bytes"
        if not is_whole:
            cut = f"it came compressed ({name}), and its end is missing"
    return body, cut


def _unknown(body: bytes, most: int) -> tuple[bytes, bool]:
    raise CompressionError("there is no decoder for it")


def _gunzip(body: bytes, most: int) -> tuple[bytes, bool]:
    # Stores label plain files as gzip.
    return _inflate(body, most, 16 + zlib.MAX_WBITS) if body[:2] == b"\x1f\x8b" else (body, True)


def _undeflate(body: bytes, most: int) -> tuple[bytes, bool]:
    try:
        return _inflate(body, most, zlib.MAX_WBITS)
    except zlib.error:
        # Some servers leave the wrapper out.
        return _inflate(body, most, -zlib.MAX_WBITS)


def _inflate(body: bytes, most: int, window: int) -> tuple[bytes, bool]:
    """Decompress *body* piece by piece, so that a fault does not take the bytes before it along."""
    stream = zlib.decompressobj(window)
    found = bytearray()
    for start in range(0, len(body), _PIECE):
        try:
            found += stream.decompress(body[start : start + _PIECE], most - len(found))
        except zlib.error:
            if not found:
                raise
            break
        if stream.eof or len(found) >= most:
            break
    return bytes(found), stream.eof


_PIECE = 64


def _unbrotli(body: bytes, most: int) -> tuple[bytes, bool]:
    try:
        import brotli  # type: ignore[import-not-found]
    except ImportError:
        raise CompressionError("the package brotli is not installed") from None
    try:
        stream = brotli.Decompressor()
        # Releases before 1.2 do not know the limit, and a bomb would fill the memory.
        return stream.process(body, output_buffer_limit=most), stream.is_finished()
    except TypeError:
        raise CompressionError("the package brotli is older than 1.2") from None
    except brotli.error as error:
        raise CompressionError(str(error)) from None


_CODINGS = {"gzip": _gunzip, "x-gzip": _gunzip, "deflate": _undeflate, "br": _unbrotli}
