"""Reference images read from files: to be sent with a job, or to be told apart without sending them."""

import asyncio
import functools
import logging
import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux.errors import InputError
from cometflux.images import data_uris, summaries
from cometflux.jobs import Job

_log = logging.getLogger("cometflux")

LARGE_IMAGE_INPUT = 256 * 1000
"""Above this many bytes Replicate advises to give a URL instead of sending the image with the job."""
_FRESH = 2_000_000_000
"""Nanoseconds within which a file may be changed twice and bear the same time."""


async def read_images(job: Job) -> Job:
    """Return *job* with its images, paths and bytes, as data URIs; off the loop.

    Raises:
        InputError: a file cannot be read, is larger than 8 MiB, or is no PNG, JPEG, WebP or GIF.
    """
    if not holds_files(job.input):
        return job
    read = await asyncio.to_thread(_replace_images, job.input, _as_uri)
    return attrs.evolve(job, input=read, validate=False)


def describe_input(values: Mapping[str, Any], known: "Descriptions | None" = None) -> dict[str, Any]:
    """Copy an input with its images as their types, sizes and digests, whichever way they are given.

    A path, the bytes in it and a data URI of them are described alike. Blocks; call it off the loop. With *known*,
    a file that many jobs name is read once.

    Raises:
        InputError: a file cannot be read, or an image is larger than 8 MiB, or is no PNG, JPEG, WebP or GIF.
    """
    describe_file = _describe_file if known is None else known.of

    def describe(field: str, image: Path | bytes) -> dict[str, Any]:
        return describe_file(field, image) if isinstance(image, Path) else _describe_bytes(field, image)

    return summaries.describe_input(_replace_images(values, describe))


class Descriptions:
    """What stands for image files in records; remembers up to *most* of them, each while it stays as it is."""

    def __init__(self, most: int = 256) -> None:
        # The state of the file is part of what is asked, so that a changed file is another question.
        self._recall = functools.lru_cache(most)(lambda field, path, state: _describe_file(field, path))

    def of(self, field: str, path: Path) -> dict[str, Any]:
        """Describe the image in a file, as it is now.

        Raises:
            InputError: it cannot be read, is larger than 8 MiB, or is no PNG, JPEG, WebP or GIF.
        """
        state = _state(path)
        return _describe_file(field, path) if state is None else dict(self._recall(field, path, state))


def _state(path: Path) -> tuple[int, ...] | None:
    """Tell by what a change of a file is noticed; None where it could not be."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode) or time.time_ns() - found.st_mtime_ns < _FRESH:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def holds_files(value: Any) -> bool:
    """Whether a value of an input, or the input, holds images that are read or encoded before they are sent."""
    match value:
        case str() | int() | float() | None:
            return False  # most are
        case Path() | bytes():
            return True
        case list() | tuple():
            return any(map(holds_files, value))
        case Mapping():
            return any(map(holds_files, value.values()))
        case _:
            return False


def absolute(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy an input with its paths absolute, so that they can be read from another folder."""
    return _replace_images(values, lambda _, image: image.absolute() if isinstance(image, Path) else image)


_Replacement = Callable[[str, Path | bytes], Any]


def _replace_images(values: Mapping[str, Any], replace: _Replacement) -> dict[str, Any]:
    return {name: _replaced(name, value, replace) for name, value in values.items()}


def _replaced(field: str, value: Any, replace: _Replacement) -> Any:
    match value:
        case Path() | bytes():
            return replace(field, value)
        case list() | tuple():
            return [_replaced(field, part, replace) for part in value]
        case Mapping():
            return {name: _replaced(field, part, replace) for name, part in value.items()}
        case _:
            return value


def _as_uri(field: str, image: Path | bytes) -> str:
    data = _read_file(field, image) if isinstance(image, Path) else image
    uri = data_uris.data_uri(field, data)
    if len(data) > LARGE_IMAGE_INPUT:
        given = image if isinstance(image, Path) else "the image"
        _log.info("%s: %s has %d bytes; Replicate advises a URL above 256 kB", field, given, len(data))
    return uri


def _describe_file(field: str, path: Path) -> dict[str, Any]:
    return _describe_bytes(field, _read_file(field, path))


def _describe_bytes(field: str, data: bytes) -> dict[str, Any]:
    data_uris.check_input(field, data)
    return summaries.describe_bytes(data)


def _read_file(field: str, path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_at_once) as file:
            check_regular(field, path, os.fstat(file.fileno()).st_mode)
            # Bounded by what is read: it may grow meanwhile.
            data = file.read(data_uris.LARGEST_IMAGE_INPUT + 1)
    except OSError as error:
        raise InputError(field, path, f"the file cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(field, path, f"no file can have this path ({error})") from error
    try:
        data_uris.check_input(field, data)
    except InputError as error:
        # The name tells more than the size.
        raise InputError(field, path, error.allowed) from None
    return data


def check_regular(field: str, path: object, mode: int) -> None:
    """Refuse a pipe or a device: a pipe has its reader wait, and what is read from it once is gone.

    Raises:
        InputError: *mode* is not that of a file.
    """
    if not stat.S_ISREG(mode):
        raise InputError(field, path, "this is a pipe or a device; give a file, or the bytes themselves")


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
