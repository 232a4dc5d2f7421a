"""Addresses in an object store: of a place where images are saved, and of a saved file."""

import re
from typing import Self

import attrs

SCHEMES = ("s3", "gs", "az")
"""Amazon S3 and compatible stores, Google Cloud Storage, Azure Blob Storage."""
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_PREFIX = re.compile(r"[^\x00-\x1f\x7f?#\\]*")


@attrs.frozen(kw_only=True)
class Location:
    """A place in an object store; ``str()`` of it is its URL."""

    scheme: str
    """One of `SCHEMES`."""
    bucket: str
    """The bucket; Azure calls it a container."""
    prefix: str = ""
    """The start of every object's name, without the slash that follows it; empty for the bucket itself."""

    @classmethod
    def of(cls, url: str) -> Self:
        """Read a URL such as ``s3://bucket/prefix``.

        Raises:
            ValueError: the text is not such a URL, or its scheme is not supported. The message shows no password.
        """
        found = _URL.fullmatch(url) if isinstance(url, str) else None
        if found is None:
            raise ValueError("must be a URL such as s3://bucket/prefix")
        scheme = found["scheme"].lower()
        if scheme not in SCHEMES:
            raise ValueError(f"nothing can be saved to {scheme}://; give the path of a folder, or {_SHAPES}")
        bucket, _, prefix = found["rest"].partition("/")
        if "@" in bucket:
            raise ValueError(f"{scheme}:// is followed by a user or a password; credentials come from the environment")
        if not _BUCKET.fullmatch(bucket):
            raise ValueError(f"{bucket!r} is not the name of a bucket; must be {scheme}://bucket/prefix")
        prefix = prefix.rstrip("/")
        if prefix and any(part in ("", ".", "..") for part in prefix.split("/")):
            raise ValueError(
                f"{prefix!r} leads elsewhere; it must be names separated by one slash, none of them . or .."
            )
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"{prefix!r} has a control character or one of ? # \\; must be a prefix without them")
        return cls(scheme=scheme, bucket=bucket, prefix=prefix)

    def __str__(self) -> str:
        return "/".join(filter(None, [f"{self.scheme}://{self.bucket}", self.prefix]))


_SHAPES = ", ".join(f"{scheme}://bucket/prefix" for scheme in SCHEMES)


@attrs.frozen(kw_only=True)
class StoredFile:
    """A file in an object store; ``str()`` of it is its URL."""

    location: Location
    name: str
    """Its name in its place, which may have slashes."""

    def __str__(self) -> str:
        return f"{self.location}/{self.name}"

    def __repr__(self) -> str:
        return f"StoredFile({str(self)!r})"


@attrs.frozen(kw_only=True)
class StoredImage:
    """An image in an object store, with its size and digest to recognize it by."""

    path: StoredFile
    size: int
    """In bytes."""
    digest: str
    """The SHA-256 of its bytes, in hexadecimal."""
    mark: str | None = attrs.field(default=None, eq=False)
    """``signed``, ``marked`` or ``bare``: what it says about where it comes from. None if that was not looked at."""

    @property
    def name(self) -> str:
        """Its name in its place."""
        return self.path.name


def is_url(text: str) -> bool:
    """Whether a text is a URL; every other text is the path of a folder."""
    return _URL.fullmatch(text) is not None


def is_flattened(parts: tuple[str, ...]) -> bool:
    """Whether *parts* come from a URL that was made into a path, which merges its two slashes into one."""
    return len(parts) > 1 and parts[0].lower() in {f"{scheme}:" for scheme in SCHEMES}
