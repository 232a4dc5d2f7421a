"""The bytes of an output: a whole image, its file extension, and whether a saved file is this output."""

import hashlib
from collections.abc import Mapping
from typing import Any

import attrs

from cometflux.errors import OutputError
from cometflux.images import formats
from cometflux.images.formats import Data
from cometflux.provenance import embed
from cometflux.provenance.embed import Mark
from cometflux.provenance.sidecar import prediction_id_in
from cometflux.provenance.signing import Signer
from cometflux.provenance.xmp import GENERATED
from cometflux.storage.spool import Spooled

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}
MOST_EMBEDDED = 2 * 1024 * 1024
"""More bytes than an embedded record and a signature can add to an image."""


def check_image(data: Data) -> str:
    """Return the file name extension of an output by its true type.

    Raises:
        OutputError: it is not an image, or not the whole of one.
    """
    kind, size = formats.media_type(data), data.received if isinstance(data, Spooled) else len(data)
    if kind is None:
        raise OutputError(f"the output is not an image ({size} bytes)", is_transient=True)
    if not formats.is_whole(data):
        raise OutputError(f"the output is cut short ({size} bytes)", is_transient=True)
    return EXTENSIONS[kind]


def original(data: Data) -> bytes:
    """Return an output in memory, as it came."""
    return data.original() if isinstance(data, Spooled) else data[:]


@attrs.frozen(kw_only=True)
class Version:
    """The bytes of an output as they are, or will be, in their place."""

    data: Data
    size: int
    digest: str
    mark: Mark
    """What the image says about where it comes from."""
    note: Mapping[str, Any] = attrs.field(factory=dict)
    """Whether the image holds the record, too, and why it is not signed; empty if neither was wanted."""

    @classmethod
    def of(cls, data: Data, note: Mapping[str, Any] | None = None) -> "Version":
        """Take *data* as they are."""
        digest = data.digest if isinstance(data, Spooled) else hashlib.sha256(data).hexdigest()
        return cls(data=data, size=len(data), digest=digest, mark=embed.mark_of(data), note=note or {})

    @classmethod
    def holding(cls, data: Data, record: Mapping[str, Any]) -> "Version":
        """Embed *record* in *data*, if that can be done and was not done while they came."""
        if isinstance(data, Spooled) and data.embedder is not None:
            return cls.of(data, {"embedded": True})
        embedded = embed.embed(data[:], record)
        return cls.of(data if embedded.reason else embedded.data, embedded.note)

    @classmethod
    def signed(cls, data: bytes, record: Mapping[str, Any], signer: Signer, *, embeds: bool) -> "Version":
        """Embed *record* in *data* if *embeds*, then sign them; each if it can be done."""
        embedded = embed.embed(data, record) if embeds else None
        signed = signer.sign(data if embedded is None else embedded.data, record.get("model"))
        return cls.of(signed.data, {**(embedded.note if embedded else {}), **signed.note})

    def to_record(self, name: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record of just these bytes under *name*; *record* says how they were made."""
        facts = {"digital_source_type": GENERATED, "mark": self.mark, **self.note}
        return {**self._heading(name), **record, **facts}

    def is_described(self, name: str, record: Mapping[str, Any]) -> bool:
        """Whether *record* is the record of just these bytes under *name*."""
        return self._heading(name).items() <= record.items()

    def _heading(self, name: str) -> dict[str, Any]:
        """Return the first lines of the record: by them the image is known again. It names the file beside it."""
        return {"file": name.rpartition("/")[2], "bytes": self.size, "sha256": self.digest}


# ── left by earlier runs ─────────────────────────────────────────────────────────────────────────────────────────────


def recognise(
    found: bytes, name: str, new: Version, data: bytes, owner: str, record: Mapping[str, Any] | None
) -> Version | None:
    """Take the bytes of a saved file for the output *data* of the prediction *owner*; None if they are not.

    Without its *record*, a file shows that it is this output by its bytes, or by the record that is embedded in it.
    The service may report a prediction differently by now, and then the embedded record differs from *new*'s. A
    signature differs each time.
    """
    embedded = embed.extract(found)
    version = Version.of(found)
    if record is not None:
        is_ours = version.is_described(name, record)
    else:
        is_ours = found == data or prediction_id_in(embedded) == owner or embed.is_signed_copy(found, data)
    if not is_ours or not (found == data or embed.is_same_picture(found, data)):
        return None
    return attrs.evolve(version, note=_note(new, version, has_record=embedded is not None))


def _note(new: Version, found: Version, *, has_record: bool) -> Mapping[str, Any]:
    note: dict[str, Any] = {}
    # A run that does not embed says nothing about it, and so with signing.
    if has_record:
        note["embedded"] = True
    elif "embedded" in new.note:
        note |= {"embedded": False, "not_embedded": "a run that did not embed had saved it"}
    if found.mark is not Mark.SIGNED and (new.mark is Mark.SIGNED or "not_signed" in new.note):
        note["not_signed"] = new.note.get("not_signed", "a run that did not sign had saved it")
    return note


def remake(name: str, data: bytes, record: Mapping[str, Any]) -> Version | None:
    """Make the image that *record* describes from *data*: plain, or with the record embedded; None if it is neither.

    A signed image cannot be reproduced: a new signature makes a different file, which gets another name.
    """
    for version in (Version.of(data), Version.holding(data, record)):
        if version.is_described(name, record):
            return version
    return None
