"""Files in and out: reference images read, outputs written whole or not at all.

What is sure here: a file appears under its final name only when it is complete and on the disk, and no file that
was there before is ever replaced.
"""

import asyncio
import errno
import hashlib
import itertools
import logging
import os
import re
import secrets
import tempfile
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from cometflux import converter, images
from cometflux.errors import ConfigError, InputError, OutputError
from cometflux.jobs import Job
from cometflux.predictions import Prediction

_log = logging.getLogger("cometflux")

LARGE_IMAGE_INPUT = 256 * 1000
"""Above this many bytes Replicate advises to give a URL instead of sending the image with the job."""
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}


# ── in ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def read_images(job: Job) -> Job:
    """Return *job* with its images, paths and bytes, as data URIs; off the loop.

    Raises:
        InputError: a file cannot be read, is larger than 8 MiB, or is no PNG, JPEG, WebP or GIF.
    """
    if not any(_holds_files(value) for value in job.input.values()):
        return job
    read = await asyncio.to_thread(_read_input, job.input)
    return attrs.evolve(job, input=read, validate=False)


def _holds_files(value: Any) -> bool:
    match value:
        case Path() | bytes():
            return True
        case list() | tuple():
            return any(map(_holds_files, value))
        case Mapping():
            return any(map(_holds_files, value.values()))
        case _:
            return False


def _read_input(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _read_value(name, value) for name, value in values.items()}


def _read_value(field: str, value: Any) -> Any:
    match value:
        case Path():
            return _as_uri(field, _read_file(field, value), value)
        case bytes():
            return _as_uri(field, value, None)
        case list() | tuple():
            return [_read_value(field, part) for part in value]
        case Mapping():
            return {name: _read_value(field, part) for name, part in value.items()}
        case _:
            return value


def _read_file(field: str, path: Path) -> bytes:
    try:
        # Bounded by what is read: a path may name a pipe or grow meanwhile.
        with path.open("rb") as file:
            return file.read(images.LARGEST_IMAGE_INPUT + 1)
    except OSError as error:
        raise InputError(field, str(path), f"the file cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(field, str(path), f"no file can have this path ({error})") from error


def _as_uri(field: str, data: bytes, path: Path | None) -> str:
    uri = images.data_uri(field, data)
    if len(data) > LARGE_IMAGE_INPUT:
        _log.info("%s: %s has %d bytes; Replicate advises a URL above 256 kB", field, path or "the image", len(data))
    return uri


# ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def prepare_folder(folder: Path) -> None:
    """Make *folder* and prove that files can be written to it, before money is spent on what goes there.

    Raises:
        ConfigError: it is no folder, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".cometflux-") as probe:
            probe.write(b"0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except FileExistsError as error:
        raise ConfigError(f"{str(folder)!r} is a file, not a folder") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"the folder {str(folder)!r} cannot be written to: {reason}") from error


def file_stem(index: int, job: Job) -> str:
    """Name the files of a job: its index in five digits, and the beginning of its prompt."""
    slug = _slug(job.prompt or "")
    return f"{index:05d}-{slug}" if slug else f"{index:05d}"


def check_stem(name: str) -> str:
    """Return *name* where it can name a file in a folder, and nothing outside it.

    Raises:
        InputError: it cannot.
    """
    if (
        not isinstance(name, str)
        or not re.fullmatch(r"[^/\\\x00-\x1f\x7f\ud800-\udfff]+", name)
        or name.strip(". ") == ""
    ):
        raise InputError("name", name, "allowed is a file name without its folder and its ending")
    if len(os.fsencode(name)) > 200:
        raise InputError("name", name, "allowed are 200 bytes")
    return name


def _slug(text: str, most: int = 48) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    slug = "-".join(words)
    return slug if len(slug) <= most else slug[: most + 1].rpartition("-")[0] or slug[:most]


def check_image(data: bytes) -> str:
    """Return the file name extension of an output by its true type.

    Raises:
        OutputError: it is not an image, or not the whole of one.
    """
    kind = images.media_type(data)
    if kind is None:
        raise OutputError(f"the output is not an image ({len(data)} bytes)", is_transient=True)
    if not _is_whole(kind, data):
        raise OutputError(f"the output is cut short ({len(data)} bytes)", is_transient=True)
    return _EXTENSIONS[kind]


def write_output(folder: Path, stem: str, data: bytes, record: Mapping[str, Any]) -> Path:
    """Write an output below *folder*, and beside it a JSON record of how it was made; return the image's path.

    A name that is taken gets ``+1``, ``+2`` and so on behind it. Blocks; call it off the loop.

    Raises:
        OutputError: the output is no whole image, or the disk refused; ``path`` is set where only the record is
            missing.
    """
    extension = check_image(data)
    digest = hashlib.sha256(data).hexdigest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = _write_whole(folder, stem, extension, data)
    except OSError as error:
        words = error.strerror or type(error).__name__
        raise OutputError(f"the image could not be written to {str(folder)!r}: {words}", is_disk=True) from error
    sidecar = {"file": path.name, "bytes": len(data), "sha256": digest, **record}
    try:
        _write_whole(folder, path.stem, "json", f"{converter.dump_readable(sidecar)}\n".encode())
    except OSError as error:
        words = error.strerror or type(error).__name__
        raise OutputError(
            f"{path.name} is saved, but not the record beside it: {words}", path=path, is_disk=True
        ) from error
    return path


def _is_whole(kind: str, data: bytes) -> bool:
    """Check an image's own mark of its end, or its own count of its bytes."""
    match kind:
        case "image/png":
            return data.rstrip(b"\0").endswith(b"IEND\xaeB`\x82")
        case "image/jpeg":
            return b"\xff\xd9" in data[-64:]
        case "image/webp":
            return len(data) >= int.from_bytes(data[4:8], "little") + 8
        case _:
            return data.rstrip(b"\0").endswith(b";")


def _write_whole(folder: Path, stem: str, extension: str, data: bytes) -> Path:
    """Write a file under a name that is free, so that it is there whole or not at all."""
    temporary = folder / f".cometflux-{secrets.token_hex(8)}"
    try:
        # Not tempfile: that makes files which only their owner can read.
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        path = _claim(temporary, folder, stem, extension)
        _sync_folder(folder)
        return path
    finally:
        temporary.unlink(missing_ok=True)


_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def _claim(temporary: Path, folder: Path, stem: str, extension: str) -> Path:
    for number in itertools.count():
        suffix = f"+{number}" if number else ""
        path = folder / f"{stem}{suffix}.{extension}"
        if os.path.lexists(path.with_name(f"{stem}{suffix}.json")):
            # The record goes by the same name as its image.
            continue
        try:
            # A link, unlike a rename, never replaces what is there.
            path.hardlink_to(temporary)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(path):
                continue
            temporary.rename(path)
        return path
    raise AssertionError("itertools.count ended")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def record_of(prediction: Prediction, job: Job | None, key: str | None, index: int | None) -> dict[str, Any]:
    """Tell how an image was made, for the record beside it; reference images stand as paths, URLs or digests.

    Without its *job*, the record holds what the service echoed.
    """
    return {
        "key": key,
        "index": index,
        "model": job.model if job else prediction.model,
        "input": images.describe_input(job.input if job else prediction.input),
        "prediction": {
            "id": prediction.id,
            "status": prediction.status,
            "version": prediction.version,
            "created_at": prediction.created_at,
            "started_at": prediction.started_at,
            "completed_at": prediction.completed_at,
            "metrics": prediction.metrics,
            "logs": prediction.logs,
        },
    }
