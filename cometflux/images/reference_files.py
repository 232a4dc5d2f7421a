"""Read reference images from files, to send them with a job or to describe them in a record."""

import asyncio
import functools
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from cometflux.basics.plain_text import log as _log
from cometflux.basics.regular_files import IrregularFileError, open_regular
from cometflux.errors import InputError
from cometflux.images import data_uris, summaries
from cometflux.images.orientation import turned_note
from cometflux.jobs import Job

LARGE_IMAGE_INPUT = 256 * 1000
"""Above this many bytes, Replicate advises to give a URL instead of sending the image with the job."""
_FRESH = 2_000_000_000
"""Nanoseconds within which a file may change twice without a change of its modification time."""


async def read_images(job: Job) -> Job:
    """Return *job* with its paths and bytes replaced by data URIs, and its own data URIs checked, in a thread.

    Logs a warning, once for each image, if an EXIF orientation turns it.

    Raises:
        InputError: a file cannot be read, or an image is larger than 8 MiB, cut short, or not a PNG, JPEG, WebP or GIF.
    """
    uris, has_files = data_uris.find_uris(job), holds_files(job.input)
    if uris:
        await asyncio.to_thread(_check_uris, uris)
    if not has_files:
        return job
    read = await asyncio.to_thread(_replace_images, job.input, _as_uri)
    return attrs.evolve(job, input=read, validate=False)


def _check_uris(uris: list[tuple[str, str]]) -> None:
    for field, uri in uris:
        data_uris.check_data_uri(field, uri)
        _note_if_turned(f"the data URI of {field}", uri)


_noted: dict[int, object] = {}
"""The hashes of turned images that the user knows about."""
_MOST_NOTED = 1024


def is_news(image: bytes | str) -> bool:
    """Whether an image is turned by its EXIF orientation and this is the first call about it in this process."""
    if not data_uris.examine(image).is_turned:
        return False
    if len(_noted) >= _MOST_NOTED:
        _noted.clear()
    # One step, because several threads may read the same image at once.
    mine = object()
    return _noted.setdefault(hash(image), mine) is mine


def _note_if_turned(name: str, image: bytes | str) -> None:
    if is_news(image):
        _log.warning("%s", turned_note([name]))


def describe_input(values: Mapping[str, Any], known: "Descriptions | None" = None) -> dict[str, Any]:
    """Copy an input with each image replaced by its type, size and digest.

    A path, the file's bytes and a data URI of them have the same description. Blocks, so call it in a thread. With
    *known*, a file that many jobs use is read once.

    Raises:
        InputError: a file cannot be read, or an image is larger than 8 MiB or not a PNG, JPEG, WebP or GIF.
    """
    describe_file = _describe_file if known is None else known.of

    def describe(field: str, image: Path | bytes) -> dict[str, Any]:
        return describe_file(field, image) if isinstance(image, Path) else _describe_bytes(field, image)

    return summaries.describe_input(_replace_images(values, describe))


class Descriptions:
    """A cache of the descriptions of up to *most* image files. A changed file is read again."""

    def __init__(self, most: int = 256) -> None:
        # The state of the file is part of the cache's key, so a changed file is read again.
        self._recall = functools.lru_cache(most)(lambda field, path, state: _describe_file(field, path))

    def of(self, field: str, path: Path) -> dict[str, Any]:
        """Describe the image in a file, as it is now.

        Raises:
            InputError: the file cannot be read, is larger than 8 MiB, or is not a PNG, JPEG, WebP or GIF.
        """
        state = _state(path)
        return _describe_file(field, path) if state is None else dict(self._recall(field, path, state))


def _state(path: Path) -> tuple[int, ...] | None:
    """Return values that change when a file changes; None if a change could go unnoticed."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode) or time.time_ns() - found.st_mtime_ns < _FRESH:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def holds_files(value: Any) -> bool:
    """Whether an input, or a value in it, holds images that must be read or encoded before they are sent."""
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
    """Copy an input with its paths made absolute, so that they can be read from another folder."""
    return _replace_images(values, lambda _, image: image.absolute() if isinstance(image, Path) else image)


def with_fixed_paths(job: Job) -> Job:
    """Return *job* with absolute paths: the program may change its current folder before they are read."""
    if not holds_files(job.input):
        return job
    try:
        fixed = absolute(job.input)
    except FileNotFoundError:
        # The current folder was deleted, so the file cannot be read either, which is reported then.
        return job
    return Job.checked(job.model, fixed, job.key, validate=job.validate, schema=job.schema, tags=job.tags)


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
    _note_if_turned(str(image) if isinstance(image, Path) else f"the image {field}", data)
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
        with open_image(field, path) as file:
            # The limit is on the bytes read, because the file may grow meanwhile.
            data = file.read(data_uris.LARGEST_IMAGE_INPUT + 1)
    except OSError as error:
        raise InputError(field, path, f"the file cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(field, path, "no file can have this path") from error
    try:
        data_uris.check_input(field, data)
    except InputError as error:
        # The path is more useful in the error than the bytes.
        raise InputError(field, path, error.allowed) from None
    return data


def open_image(field: str, path: Path) -> BinaryIO:
    """Open an image file. A pipe is refused: reading from it may block, and its bytes can be read only once.

    Raises:
        InputError: it is a pipe, a socket or a device.
        OSError: it cannot be opened.
        ValueError: no file can have this path.
    """
    try:
        return open_regular(path, follows_links=True)
    except IrregularFileError as error:
        raise InputError(field, path, "this is a pipe or a device; give a file, or the bytes themselves") from error
