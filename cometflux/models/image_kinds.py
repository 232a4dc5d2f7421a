"""The kinds of parameters that hold reference images."""

import base64
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from cometflux.errors import InputError
from cometflux.models.kinds import ParameterKind, check_encodable, guess
from cometflux.models.output_of import AnyJob, OutputOf

Image: TypeAlias = str | Path | bytes | OutputOf | AnyJob
"""A reference image: an http(s) URL or a data URI as str, a file as Path, the bytes of a file, or another job's."""

_LINK_OR_DATA = re.compile(r"https?://|data:", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LINK = r"(?i)https?://[^\s/?#]"
_DATA_URI = r"(?i)data:([^,;]*)([^,]*),"

_readable: set[tuple[int, int]] = set()
"""The data URIs that could be read, by size and hash: many jobs may share one."""
_MOST_READABLE = 1024

ANY_NUMBER = 2**31
"""The maximum number of images in a list whose length no schema limits."""
_AN_IMAGE = "an http(s) URL, a data URI, a pathlib.Path or bytes"


@attrs.frozen
class ImageKind(ParameterKind):
    """One reference image."""

    name = "image"
    metavar = "IMAGE"
    most_images = 1
    phrase = _AN_IMAGE
    summary = "file, URL or data URI"

    @property
    def json_schema(self) -> dict[str, Any]:
        """A string: the image is sent as a URL or a data URI."""
        return {"type": "string"}

    def check(self, field: str, value: object) -> None:
        """Refuse a value that cannot be an image; no file is opened."""
        if isinstance(value, Path | OutputOf) or (isinstance(value, bytes) and value):
            return
        if not isinstance(value, str):
            raise self.refusal(field, value)
        if found := re.match(_DATA_URI, value):
            _check_data_uri(field, value, found[1].lower())
            return
        if not re.match(_LINK, value):
            is_file = "://" not in value and not value.startswith("data:")
            raise self._not_a_link(field, value) if is_file else self.refusal(field, value)
        if re.search(r"\s", value):
            raise self.refusal(field, value, "a URL has no whitespace")
        check_encodable(field, value)

    def _not_a_link(self, field: str, value: str) -> InputError:
        # Not a hint: it is about Python, and other faces have their own words for this kind.
        allowed = f"must be {self.phrase}; wrap the name of a file in pathlib.Path"
        return InputError(field, value, allowed, kind=self)

    def read_text(self, field: str, text: str, folder: Path) -> str | Path | OutputOf:
        """Read a link, the output of another job as ``@key``, or a path relative to *folder*."""
        return self.read_json(field, text, folder)

    def read_json(self, field: str, value: Any, folder: Path) -> str | Path | OutputOf:
        """Read a link, the output of another job as ``@key``, or a path relative to *folder*."""
        text = value.strip() if isinstance(value, str) else ""
        if text.startswith("@"):
            return OutputOf.parse(field, text)
        if _LINK_OR_DATA.match(text):
            return text
        if not text or _SCHEME.match(text):
            raise InputError(field, value, "must be the path of a file, an http(s) URL or a data URI")
        return folder / text


def _check_data_uri(field: str, value: str, kind: str) -> None:
    """Refuse a data URI that cannot hold an image; the bytes themselves are examined before they are sent."""
    if kind and kind != "application/octet-stream" and not kind.startswith("image/"):
        raise InputError(field, value, f"must be the data URI of an image, and this one is {kind}")
    mark = (len(value), hash(value))
    if mark in _readable:
        return
    try:
        read_image_uri(value)
    except ValueError as error:
        raise InputError(field, value, str(error)) from error
    check_encodable(field, value)
    if len(_readable) >= _MOST_READABLE:
        _readable.clear()
    _readable.add(mark)


def read_image_uri(uri: str) -> tuple[str, bytes]:
    """Return the declared type of a data URI, in lower case, and its bytes. White space in base64 is ignored.

    Raises:
        ValueError: it is not a data URI, its base64 is broken, or it is empty.
    """
    found = re.match(_DATA_URI, uri)
    if found is None:
        raise ValueError("it is not a data URI")
    data = urllib.parse.unquote_to_bytes(uri[found.end() :])
    if found[2].lower().endswith(";base64"):
        try:
            data = base64.b64decode(b"".join(data.split()), validate=True)
        except ValueError as error:
            raise ValueError(f"the base64 of the data URI is broken ({error})") from error
    if not data:
        raise ValueError("the data URI is empty")
    return found[1].strip().lower(), data


_IMAGE_KIND = ImageKind()


@attrs.frozen
class ImagesKind(ParameterKind):
    """A list of reference images."""

    name = "images"
    metavar = "IMAGE"
    is_list = True

    most_images: int

    @property
    def phrase(self) -> str:
        """The maximum number of images, and the kinds of images."""
        return self.phrase_in({})

    def phrase_in(self, words: Mapping[str, str]) -> str:
        """Return the maximum number and the kinds of images; *words* may have another phrase for one image."""
        most = "" if self.most_images == ANY_NUMBER else f" at most {self.most_images}"
        return f"a list of{most} images, each {_IMAGE_KIND.phrase_in(words)}"

    @property
    def summary(self) -> str:
        """The maximum number of images."""
        most = "any number of" if self.most_images == ANY_NUMBER else f"up to {self.most_images}"
        return f"{most} files, URLs or data URIs"

    @property
    def json_schema(self) -> dict[str, Any]:
        """A list of strings."""
        most = {} if self.most_images == ANY_NUMBER else {"maxItems": self.most_images}
        return {"type": "array", "items": _IMAGE_KIND.json_schema, **most}

    def check(self, field: str, value: object) -> None:
        """Refuse a value that is not a list of images, or is too long."""
        if isinstance(value, str | bytes | Path):
            raise InputError(field, value, "give a list, even for a single image")
        if not isinstance(value, list | tuple):
            raise self.refusal(field, value)
        if len(value) > self.most_images:
            allowed = f"must be a list of at most {self.most_images} images, and it holds {len(value)}"
            raise InputError(field, value, allowed)
        for image in value:
            _IMAGE_KIND.check(field, image)

    def read_text(self, field: str, text: str, folder: Path) -> list[str | Path | OutputOf]:
        """Read one image, or a JSON list of them."""
        if not text.lstrip().startswith("["):
            return self.read_json(field, text, folder)
        value = guess(text)
        if not isinstance(value, list):
            raise InputError(field, text, 'must be one image, or a JSON list as in ["a.png", "b.png"]')
        return self.read_json(field, value, folder)

    def read_json(self, field: str, value: Any, folder: Path) -> list[str | Path | OutputOf]:
        """Read one image, or a list of them."""
        parts = value if isinstance(value, list) else [value]
        return [_IMAGE_KIND.read_json(field, part, folder) for part in parts]
