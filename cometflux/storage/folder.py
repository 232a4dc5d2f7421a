"""Outputs on disk: written whole or not at all, and found again by the run after one that was killed.

What is sure here: a file appears under its final name only when it is complete and on the disk, and no file that
was there before is ever replaced. An image that is there already is known by its bytes, and by the prediction that
the record beside it names.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cometflux.errors import ConfigError, OutputError
from cometflux.images import summaries
from cometflux.images.formats import ImageFile
from cometflux.jobs import Job
from cometflux.protocol import encoding
from cometflux.provenance import embed
from cometflux.provenance.sidecar import load_record, open_plain, prediction_id_in, read_record, sidecar_path
from cometflux.storage import file_names
from cometflux.storage.atomic import sync_folder, temporary_file, write_new
from cometflux.storage.image_data import ENDINGS, Version, check_image

_COARSE = 2.0
"""Seconds to which some file systems round the time of a change."""

# ── the folder ───────────────────────────────────────────────────────────────────────────────────────────────────────


def prepare_folder(folder: Path) -> None:
    """Make *folder* and prove that files can be written to it, before money is spent on what goes there.

    Raises:
        ConfigError: it is no folder, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_file(folder, b"0" * 4096):
            pass
    except FileExistsError as error:
        raise ConfigError(_no_folder(folder)) from error
    except (OSError, ValueError) as error:
        # Each version of Python has other words for it.
        words = "its name holds a NUL" if "\0" in str(folder) else _words(error)
        raise ConfigError(f"the folder {str(folder)!r} cannot be written to: {words}") from error


def _no_folder(folder: Path) -> str:
    if folder.is_symlink() and not folder.exists():
        return f"{str(folder)!r} is a link that leads nowhere, not a folder"
    return f"{str(folder)!r} is {'a file, not a folder' if folder.is_file() else 'no folder'}"


def sweep(folder: Path) -> int:
    """Remove the temporary files that killed runs left in *folder*, and return how many there were.

    Blocks; call it off the loop, before anything is written there.
    """
    count = 0
    # Nothing depends on it: what cannot be removed stays, and whether the folder will do is asked elsewhere.
    with contextlib.suppress(OSError, ValueError), os.scandir(folder) as entries:
        for entry in entries:
            if re.fullmatch(r"\.cometflux-[0-9a-f]{16}", entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    (folder / entry.name).unlink()
                    count += 1
    return count


def write_output(
    folder: Path,
    stem: str,
    data: bytes,
    record: Mapping[str, Any],
    *,
    is_named: bool = False,
    embeds: bool = False,
) -> ImageFile:
    """Write an output below *folder*, and beside it a JSON record of how it was made.

    A name that is taken gets ``+1``, ``+2`` and so on behind it. The same bytes under the name are taken for this
    output, unless the record beside them names another prediction; so is the same picture that a run with another
    setting for *embeds* left there. Blocks; call it off the loop.

    Args:
        folder: made where it is missing.
        stem: the files' name without its ending.
        data: the image.
        record: what is told of it, such as `record_of` makes.
        is_named: the stem is a caller's choice, so what is there under it in another spelling, as in capitals,
            counts as taken; one at a time.
        embeds: whether the record is to be in the image, too; what speaks against it stands in the record.

    Raises:
        OutputError: the output is no whole image, or the disk refused; ``path`` is set where only the record is
            missing.
    """
    extension = check_image(data)
    version = Version.holding(data, record) if embeds else Version.of(data)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = _spellings(folder, stem) if is_named else []
        for name in file_names.numbered(stem):
            path = folder / f"{name}.{extension}"
            if _is_spelt_otherwise(path, others):
                continue
            placed = _place_image(path, version, prediction_id_in(record)) or _place_other(
                path, version, data, prediction_id_in(record)
            )
            if placed and _place_record(placed.at(path), {**record, **placed.note}):
                return placed.at(path)
    except FileExistsError as error:
        raise OutputError(f"the image could not be written: {_no_folder(folder)}", is_disk=True) from error
    except (OSError, ValueError) as error:
        raise OutputError(
            f"the image could not be written to {str(folder)!r}: {_words(error)}", is_disk=True
        ) from error
    raise AssertionError("the names ended")


def _place_image(path: Path, version: Version, owner: str | None) -> Version | None:
    """Have *version* at *path* and return it; None where the name belongs to something else."""
    image = version.at(path)
    is_there = os.path.lexists(image.path)
    if os.path.lexists(sidecar_path(image.path)):
        told = read_record(sidecar_path(image.path), owner)
        # A record may have outlived its image, and is right again with just this one.
        if told is None or not (is_there or _heading(image).items() <= told.items()):
            return None
    if (not is_there and write_new(image.path, version.data)) or _holds(image):
        sync_folder(image.path.parent)
        return version
    return None


def _place_other(path: Path, version: Version, data: bytes, owner: str | None) -> Version | None:
    """Take what a run that embedded, or did not, has left of this output, instead of *version*; None where it has none.

    It may have been killed between the image and its record, and either of them may have been removed since.
    """
    told = read_record(sidecar_path(path), owner)
    if owner is None or (told is None and os.path.lexists(sidecar_path(path))):
        return None
    if os.path.lexists(path):
        others = _left_image(path, version, data, owner, told)
    else:
        others = [] if told is None else [Version.of(data), Version.holding(data, told)]
    placed = (_place_image(path, other, owner) for other in others if embed.is_same_picture(other.data, data))
    return next(filter(None, placed), None)


def _left_image(path: Path, version: Version, data: bytes, owner: str, told: Mapping[str, Any] | None) -> list[Version]:
    found = _read_image(path)
    other = Version.of(found, _note_of(found, version))
    if told is not None:
        is_ours = _heading(other.at(path)).items() <= told.items()
    else:
        is_ours = found == data or prediction_id_in(embed.extract(found)) == owner
    return [other] if is_ours else []


def _note_of(found: bytes, version: Version) -> Mapping[str, Any]:
    if embed.extract(found) is not None:
        return {"embedded": True}
    # Where nothing was to be embedded, there is nothing to say.
    return {"embedded": False, "not_embedded": "a run that did not embed had saved it"} if version.note else {}


def _read_image(path: Path) -> bytes:
    """Read what is under a name; nothing where that is no file, or cannot be read."""
    try:
        with open_plain(path) as file:
            return file.read()
    except (OSError, ValueError):
        return b""


def describe(path: Path) -> ImageFile:
    """Describe an image that has been written; blocks."""
    return ImageFile.of(path, _read_image(path))


def _place_record(image: ImageFile, record: Mapping[str, Any]) -> bool:
    """Have a record beside the image; False where another has been put there meanwhile."""
    path = sidecar_path(image.path)
    text = f"{encoding.dump_readable({**_heading(image), **record})}\n"
    try:
        if not os.path.lexists(path) and write_new(path, text.encode()):
            sync_folder(path.parent)
            return True
    except OSError as error:
        raise OutputError(
            f"{image.path.name} is saved, but not the record beside it: {_words(error)}", path=image.path, is_disk=True
        ) from error
    return read_record(path, prediction_id_in(record)) is not None


def _heading(image: ImageFile) -> dict[str, Any]:
    return {"file": image.path.name, "bytes": image.size, "sha256": image.digest}


def _spellings(folder: Path, stem: str) -> list[str]:
    """Name what is in *folder* under *stem*, whatever its capitals and its form of Unicode."""
    return [path.name for path in folder.iterdir() if file_names.fold(path.name).startswith(file_names.fold(stem))]


def _is_spelt_otherwise(path: Path, others: Sequence[str]) -> bool:
    mine = {file_names.fold(name): name for name in (path.name, sidecar_path(path).name)}
    return any(mine.get(file_names.fold(other), other) != other for other in others)


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


# ── finding again ────────────────────────────────────────────────────────────────────────────────────────────────────


def find_saved(folder: Path, stem: str, prediction_id: str, count: int) -> tuple[ImageFile, ...] | None:
    """Find the images that were written for a prediction; None unless all *count* are there, whole.

    Blocks; call it off the loop.
    """
    found = find_each(folder, stem, prediction_id, count)
    whole = tuple(image for image in found if image is not None)
    return whole if len(whole) == count else None


def find_each(folder: Path, stem: str, prediction_id: str, count: int) -> list[ImageFile | None]:
    """Find each of the *count* images that were written for a prediction; None in the place of one that is not there.

    An image is known by the record beside it, which names the prediction, the size and the digest. Looked at are the
    names that `write_output` would choose, up to the first that is free. Blocks; call it off the loop.
    """
    return [_find_image(folder, name, prediction_id) for name in file_names.output_stems(stem, count)]


def _find_image(folder: Path, stem: str, prediction_id: str) -> ImageFile | None:
    for name in file_names.numbered(stem):
        image = _recorded(folder, name, prediction_id)
        if image is not None and _holds(image):
            # The run that wrote it may have been killed before it did this.
            with contextlib.suppress(OSError):
                sync_folder(folder)
            return image
        if not any(os.path.lexists(folder / f"{name}.{ending}") for ending in ENDINGS):
            return None
    raise AssertionError("the names ended")


def _recorded(folder: Path, name: str, prediction_id: str) -> ImageFile | None:
    match read_record(folder / f"{name}.json", prediction_id):
        case {"file": str(file), "bytes": int(size), "sha256": str(digest)} if file.rpartition(".")[0] == name:
            return ImageFile(path=folder / file, size=size, digest=digest)
        case _:
            return None


def find_id(folder: Path, stem: str, job: Job, since: float) -> str | None:
    """Find the prediction of which an image was written for *job*, not before *since*, in seconds since 1970.

    None where there is no such image, whole. Blocks; call it off the loop.
    """
    asked = encoding.dump_line([job.model, summaries.describe_input(job.input)])
    for name in (stem, *file_names.output_stems(stem, 2)):
        match record := load_record(folder / f"{name}.json"):
            case {"model": str(model), "input": dict(values)} if encoding.dump_line([model, values]) == asked:
                owner = prediction_id_in(record)
                image = _recorded(folder, name, owner) if owner else None
                if image is not None and _holds(image) and image.path.stat().st_mtime >= since - _COARSE:
                    return owner
    return None


def check_files(folder: Path, files: Sequence[tuple[str, int, str]]) -> tuple[ImageFile, ...] | None:
    """Check the files that a run before this one saved, each given as its name, size and digest.

    None unless every one is there, directly in *folder*, unchanged. Blocks; call it off the loop.
    """
    if any(name != Path(name).name for name, _, _ in files):
        return None
    found = tuple(ImageFile(path=folder / name, size=size, digest=digest) for name, size, digest in files)
    return found if all(map(_holds, found)) else None


def _holds(image: ImageFile) -> bool:
    """Whether the file is there, with just these bytes."""
    try:
        with open_plain(image.path) as file:
            if os.fstat(file.fileno()).st_size != image.size:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == image.digest
    except (OSError, ValueError):
        return False
