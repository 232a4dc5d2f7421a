"""Embed the record of how an image was made in the image itself, and read it again. The pixels stay unchanged.

The record and IPTC's marks of a generated image are one XMP packet, which is inserted. The other parts of the file are
not encoded again, and each time they are checked to be the same. If anything fails, the image is returned unchanged,
because it is paid for and matters more than its record.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import attrs

from cometflux.images import formats
from cometflux.images.formats import Data
from cometflux.protocol import encoding
from cometflux.provenance import image_parts, old_records, xmp
from cometflux.provenance.image_parts import RECORD, SIGNED, XMP, NoRoomError, UnsuitableError
from cometflux.provenance.portable import portable_record
from cometflux.provenance.sidecar import load_record
from cometflux.provenance.splices import Splice, Splicer, reverse, spliced

_MOST = 1024 * 1024
_LARGEST_PART = 8 * 1024 * 1024
"""More bytes than a packet or an EXIF block with a record of ours has."""
LARGEST_IMAGE = 32 * 1024 * 1024
"""Embedding and signing need up to four times an image's size in memory."""


class Mark(StrEnum):
    """What an image says about where it comes from."""

    SIGNED = "signed"
    """It carries C2PA content credentials. Whether they are valid is not checked."""
    MARKED = "marked"
    """Its XMP says that it is generated, by IPTC's digital source type."""
    BARE = "bare"
    """Neither."""


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

    If there is no room for it, the logs are left out. Never raises.
    """
    try:
        if len(data) > LARGEST_IMAGE:
            raise UnsuitableError(f"it is larger than {LARGEST_IMAGE >> 20} MiB")
        if formats.media_type(data) is not None and not formats.is_whole(data):
            raise UnsuitableError("it is not complete")
        parts = image_parts.parts_of(data)
        kinds = {kind for kind, _, _ in parts}
        if SIGNED in kinds:
            raise UnsuitableError("it is signed (C2PA), and a change would break the signature")
        if _extract(data, parts) is not None:
            raise UnsuitableError("it has a record already")
        if XMP in kinds:
            raise UnsuitableError("it has XMP of its own")
        return Embedded(data=_embed(data, record))
    except UnsuitableError as error:
        return Embedded(data=data, reason=str(error))
    except Exception as error:  # noqa: BLE001 - a paid image is saved even if embedding fails
        return Embedded(data=data, reason=f"embedding failed ({type(error).__name__}: {error})")


def _embed(data: bytes, record: Mapping[str, Any]) -> bytes:
    shown, splices = _place_record(data, record)
    grown = spliced(data, splices)
    if not formats.is_whole(grown) or extract(grown) != shown or not is_same_picture(data, grown):
        raise UnsuitableError("its structure is unusual, and embedding could have damaged it")
    return grown


def _place_record(head: Data, record: Mapping[str, Any]) -> tuple[dict[str, Any], list[Splice]]:
    """Return what of *record* an image takes, and the changes that put it there; its beginning is enough for that."""
    shown = portable_record(record)
    try:
        return shown, _place(head, shown, record)
    except NoRoomError:
        # The logs are the longest part of the record and the least important.
        brief = {**shown, "prediction": {**shown["prediction"], "logs": None}}
        return brief, _place(head, brief, record)


def _place(head: Data, shown: dict[str, Any], record: Mapping[str, Any]) -> list[Splice]:
    if len(encoding.dump_line(shown).encode()) > _MOST:
        raise NoRoomError("the record is longer than 1 MiB")
    return image_parts.place_packet(head, xmp.write_packet(shown, _writer_in(record)))


def _writer_in(record: Mapping[str, Any]) -> str | None:
    match record.get("tags"):
        case {"prompt_writer": str(name)}:
            return name
        case _:
            return None


class Embedder:
    """Embeds a record in an image while its bytes come. Whether that went well is known when all have come.

    What it makes is what `embed` makes of the whole image. It never raises.

    Args:
        record: the record; see `embed`.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record
        self._splicer: Splicer | None = None
        self._shown: dict[str, Any] = {}

    def change(self, chunks: Sequence[bytes]) -> Iterable[Data | memoryview]:
        """Return the bytes to write instead of *chunks*, which follow those before."""
        if self._splicer is None:
            head, rest = b"", iter(chunks)
            for chunk in rest:
                head += chunk
                if len(head) >= _HEAD:
                    break
            self._splicer = Splicer(self._begin(head))
            chunks = [head, *rest]
        return (piece for chunk in chunks for piece in self._splicer.change(chunk))

    def _begin(self, head: bytes) -> list[Splice]:
        try:
            self._shown, splices = _place_record(head, self._record)
        except Exception:  # noqa: BLE001 - `embed` says why, when the image is whole
            return []
        return splices

    @property
    def is_changed(self) -> bool:
        """Whether anything that was written differs from what came."""
        return bool(self._made)

    @property
    def growth(self) -> int:
        """By how many bytes the image is longer now."""
        return sum(len(each.new) - len(each.old) for each in self._made)

    @property
    def _made(self) -> list[Splice]:
        return [] if self._splicer is None else self._splicer.made

    def is_done(self, data: Data) -> bool:
        """Whether *data*, which are all that was written, hold the record, and no less than `embed` asks for."""
        try:
            # It is the last change that adds the packet.
            *before, packet = self._made
            start = packet.place + sum(len(each.new) - len(each.old) for each in before)
            parts = image_parts.parts_of(data)
            mine = [part for part in parts if part[:2] == (XMP, start)]
            others = [part for part in parts if part not in mine]
            return (
                len(data) - self.growth <= LARGEST_IMAGE
                and not any(kind in (XMP, SIGNED) for kind, _, _ in others)
                and _extract(data, others) is None
                and _extract(data, mine) == self._shown
            )
        except Exception:  # noqa: BLE001 - as in `embed`, which is the other way
            return False

    def undo(self, data: Data) -> bytes:
        """Return the image as it came. *data* are all that was written."""
        return spliced(data, reverse(self._made))


_HEAD = 128 * 1024
"""Bytes in which the place of a packet is, but for very odd images."""


def extract(data: bytes) -> dict[str, Any] | None:
    """Read the record in an image; None if there is no readable record. Never raises."""
    try:
        return _extract(data, image_parts.parts_of(data))
    except ValueError:
        return None


def _extract(data: Data, parts: list[image_parts.Part]) -> dict[str, Any] | None:
    for part in parts:
        kind, start, end = part
        if kind not in (XMP, RECORD) or end - start > _LARGEST_PART:
            continue
        if kind == XMP:
            text = xmp.find_record(image_parts.packet_in(data, part))
        else:
            text = old_records.find_record(data[start:end])
        if text is not None and (record := _read(text)) is not None:
            return record
    return None


def _read(text: str) -> dict[str, Any] | None:
    if len(text) > _MOST:
        return None
    try:
        value = load_record(text.encode("utf-8", "replace"))
    except ValueError:
        return None
    match value:
        case {"cometflux": {"model": _, "input": dict(), "prediction": {"id": str()}} as record}:
            return dict(record)
        case {"model": _, "input": dict(), "prediction": {"id": str()}}:
            return dict(value)
        case _:
            return None


def mark_of(data: Data) -> Mark:
    """Find out what an image says about where it comes from. Never raises."""
    try:
        parts = image_parts.parts_of(data)
    except ValueError:
        return Mark.BARE
    if any(kind == SIGNED for kind, _, _ in parts):
        return Mark.SIGNED
    packets = (image_parts.packet_in(data, part) for part in parts if part[0] == XMP)
    return Mark.MARKED if any(map(xmp.is_marked, packets)) else Mark.BARE


def is_same_picture(one: bytes, other: bytes) -> bool:
    """Whether two images are the same except for the record and the signature in them."""
    try:
        return formats.media_type(one) == formats.media_type(other) and image_parts.are_same(one, other)
    except ValueError:
        return False


def is_signed_copy(signed: bytes, plain: bytes) -> bool:
    """Whether *signed* is the image *plain*, which has no signature, with a signature added."""
    if mark_of(signed) is not Mark.SIGNED or mark_of(plain) is Mark.SIGNED:
        return False
    kinds = {formats.media_type(signed), formats.media_type(plain)}
    return len(kinds) == 1 and image_parts.are_same(signed, plain, (SIGNED,))
