"""Where images go that are not to be on the disk: the address of a place in an object store, and of a file there."""

import re
from typing import Self

import attrs

SCHEMES = ("s3", "gs", "az")
"""Amazon S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage."""
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_PREFIX = re.compile(r"[^\x00-\x1f\x7f?#\\]*")


@attrs.frozen(kw_only=True)
class Location:
    """A place in an object store; ``str()`` of it is its URL."""

    scheme: str
    """One of `SCHEMES`."""
    bucket: str
    """What Azure calls a container."""
    prefix: str = ""
    """What the names of the objects begin with, without the slash between; empty for the bucket itself."""

    @classmethod
    def of(cls, url: str) -> Self:
        """Read a URL such as ``s3://bucket/prefix``.

        Raises:
            ValueError: it is none, or leads to no place of which this package knows; the message shows no password.
        """
        found = _URL.fullmatch(url)
        if found is None:
            raise ValueError("allowed is a URL such as s3://bucket/prefix")
        scheme = found["scheme"].lower()
        if scheme not in SCHEMES:
            raise ValueError(f"nothing can be saved to {scheme}://; allowed is the path of a folder, or {_SHAPES}")
        bucket, _, prefix = found["rest"].partition("/")
        if "@" in bucket:
            raise ValueError(f"{scheme}:// is followed by a user or a password; credentials come from the environment")
        if not _BUCKET.fullmatch(bucket):
            raise ValueError(f"{bucket!r} is no name of a bucket; allowed is {scheme}://bucket/prefix")
        prefix = prefix.rstrip("/")
        if prefix and any(part in ("", ".", "..") for part in prefix.split("/")):
            raise ValueError(
                f"{prefix!r} leads elsewhere; allowed are names with one slash between, none of them . or .."
            )
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"{prefix!r} holds a control character or one of ? # \\; allowed is a prefix without")
        return cls(scheme=scheme, bucket=bucket, prefix=prefix)

    def __str__(self) -> str:
        return "/".join(filter(None, [f"{self.scheme}://{self.bucket}", self.prefix]))


_SHAPES = ", ".join(f"{scheme}://bucket/prefix" for scheme in SCHEMES)


@attrs.frozen(kw_only=True)
class StoredFile:
    """A file in an object store; ``str()`` of it is its URL."""

    location: Location
    name: str
    """The last part of its URL."""

    def __str__(self) -> str:
        return f"{self.location}/{self.name}"

    def __repr__(self) -> str:
        return f"StoredFile({str(self)!r})"


@attrs.frozen(kw_only=True)
class StoredImage:
    """An image in an object store, and by what it is known again."""

    path: StoredFile
    size: int
    """In bytes."""
    digest: str
    """The SHA-256 of its bytes, in hexadecimal."""


def is_url(text: str) -> bool:
    """Whether a text names a place by a URL; everything else is the path of a folder."""
    return _URL.fullmatch(text) is not None


def is_flattened(parts: tuple[str, ...]) -> bool:
    """Whether the *parts* of a path are those of a URL that was taken for one, which makes one slash of two."""
    return len(parts) > 1 and parts[0].lower() in {f"{scheme}:" for scheme in SCHEMES}
