"""Checks that bytes are a whole image, and chooses its file extension."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux.errors import OutputError
from cometflux.images import formats
from cometflux.images.formats import ImageFile
from cometflux.provenance import embed

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}
ENDINGS = ("json", *EXTENSIONS.values())

# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def check_image(data: bytes) -> str:
    """Return the file name extension of an output by its true type.

    Raises:
        OutputError: it is not an image, or not the whole of one.
    """
    kind = formats.media_type(data)
    if kind is None:
        raise OutputError(f"the output is not an image ({len(data)} bytes)", is_transient=True)
    if not formats.is_whole(data):
        raise OutputError(f"the output is cut short ({len(data)} bytes)", is_transient=True)
    return EXTENSIONS[kind]


@attrs.frozen(kw_only=True)
class Version:
    """The bytes of an output as they are, or are to be, where it is saved."""

    data: bytes
    size: int
    digest: str
    note: Mapping[str, Any] = attrs.field(factory=dict)
    """What the record beside them is to say besides."""

    @classmethod
    def of(cls, data: bytes, note: Mapping[str, Any] | None = None) -> "Version":
        """Take *data* as they are."""
        return cls(data=data, size=len(data), digest=hashlib.sha256(data).hexdigest(), note=note or {})

    @classmethod
    def holding(cls, data: bytes, record: Mapping[str, Any]) -> "Version":
        """Put *record* into *data*, where that can be done."""
        embedded = embed.embed(data, record)
        return cls.of(embedded.data, embedded.note)

    def at(self, path: Path) -> ImageFile:
        """Describe the file at *path* that holds them."""
        return ImageFile(path=path, size=self.size, digest=self.digest)
