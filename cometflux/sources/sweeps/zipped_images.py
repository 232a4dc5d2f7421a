"""Read the images of a zip, within bounds and without unpacking it to the disk."""

import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from cometflux.basics.regular_files import open_regular
from cometflux.images import data_uris
from cometflux.images.data_uris import LARGEST_IMAGE_INPUT

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif")
"""The endings of the images that the service takes."""
NO_IMAGE = f"holds no image: no {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
_MOST_BYTES = 64 * 2**20
"""Of all images together, because they are held in memory."""
_MOST_RATIO = 100
_SMALL = 2**20
"""An image below this many bytes may have any ratio: a plain one packs well."""


def is_shown(name: str) -> bool:
    """Whether a name is that of an image that is not hidden."""
    parts = PurePosixPath(name).parts
    is_hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return name.lower().endswith(ENDINGS) and not is_hidden


def read_zip(path: Path) -> list[tuple[str, str]]:
    """Read the images of a zip as data URIs, each with its name in it, in the order of the names. Blocks.

    Raises:
        ValueError: it is not a zip, a name leads out of it, a member is a link or swells, or it holds no image.
        OSError: it cannot be read.
    """
    with open_regular(path, follows_links=True) as file, _open(file) as archive:
        members = archive.infolist()
        _check(members)
        chosen = sorted((each for each in members if is_shown(each.filename)), key=lambda each: each.filename)
        _check_sizes(chosen)
        return [(each.filename, _read(archive, each)) for each in chosen]


def _open(file: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise ValueError("it is not a zip file") from error


def _check(members: Sequence[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for each in members:
        # The name as it was written: reading has put / for the separator of this system, and cut it at a NUL.
        name, written = each.filename, each.orig_filename
        if _leads_out(written):
            raise ValueError(f"{written!r} leads out of it")
        mode = each.external_attr >> 16
        if stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError(f"{name!r} is {'a link' if stat.S_ISLNK(mode) else 'no file'}")
        if name in seen:
            raise ValueError(f"two files have the name {name!r}")
        seen.add(name)


def _leads_out(name: str) -> bool:
    is_strange = "\\" in name or "\0" in name or ":" in name
    return is_strange or name.startswith("/") or ".." in PurePosixPath(name).parts


def _check_sizes(members: Sequence[zipfile.ZipInfo]) -> None:
    if not members:
        raise ValueError(f"it {NO_IMAGE}")
    for each in members:
        if each.flag_bits & 1:
            raise ValueError(f"{each.filename!r} is encrypted")
        # The others may take any amount of memory.
        if each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{each.filename!r} is packed in an unusual way; pack it with deflate")
        if each.file_size > LARGEST_IMAGE_INPUT:
            raise ValueError(f"{each.filename!r} has {each.file_size} bytes, and at most 8 MiB are sent")
        if each.file_size > max(_SMALL, _MOST_RATIO * each.compress_size):
            raise ValueError(f"{each.filename!r} expands to more than {_MOST_RATIO} times its size")
    if (size := sum(each.file_size for each in members)) > _MOST_BYTES:
        most = f"at most {_MOST_BYTES >> 20} MiB are read from a zip"
        raise ValueError(f"its images have {size} bytes, and {most}; unpack it, and give the folder")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    try:
        with archive.open(member) as file:
            # No more than the size that was checked, whatever comes out.
            data = file.read(member.file_size + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{member.filename!r} cannot be read ({str(error) or 'it is cut short'})") from error
    if (fault := data_uris.examine(data).fault) is not None:
        raise ValueError(f"{member.filename!r}: {fault}")
    return data_uris.data_uri(member.filename, data)
