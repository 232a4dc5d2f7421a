"""The names of files: each a single component of a path, on any system."""

import itertools
import re
import unicodedata
from collections.abc import Iterator

from cometflux.errors import InputError
from cometflux.jobs import Job


def file_stem(index: int, job: Job) -> str:
    """Name the files of a job: its index in five digits, and the beginning of its prompt."""
    slug = _slug(job.prompt or "")
    return f"{index:05d}-{slug}" if slug else f"{index:05d}"


def id_stem(prediction_id: str) -> str:
    """Name the files of a prediction by its id.

    Raises:
        InputError: no id of the service could be like that.
    """
    stem = re.sub(r"[^A-Za-z0-9._~-]", "-", prediction_id)[:190].rstrip(".")
    return check_stem(f"id-{stem}" if re.match(_DEVICE, stem) else stem)


def check_stem(name: str) -> str:
    """Return *name* if it is a file name on any system, and stays inside the folder.

    Raises:
        InputError: it does not.
    """
    if not isinstance(name, str) or not re.fullmatch(_STEM, name) or name.strip(". ") == "":
        raise InputError("name", name, "must be a file name without its folder and its ending")
    if name.endswith((".", " ")):
        raise InputError("name", name, "must be a file name that does not end in a dot or a space")
    if re.match(_DEVICE, name):
        raise InputError("name", name, "must be any other name: Windows has a device of this one")
    if len(name.encode()) > 200:
        raise InputError("name", name, f"must have at most 200 bytes, not {len(name.encode())}")
    return name


_STEM = r"""[^<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]+"""
_DEVICE = r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)"


def _slug(text: str, most: int = 48) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    slug = "-".join(words)
    return slug if len(slug) <= most else slug[: most + 1].rpartition("-")[0] or slug[:most]


def numbered(stem: str) -> Iterator[str]:
    """Yield the names for *stem*: itself, then those to use if it is taken."""
    yield stem
    for number in itertools.count(1):
        yield f"{stem}+{number}"


def output_stems(stem: str, count: int) -> list[str]:
    """Name the outputs of one prediction, *count* of them."""
    return [stem] if count == 1 else [f"{stem}-{number}" for number in range(1, count + 1)]


def fold(name: str) -> str:
    """Write a name in the one way that it shares with all that some file system takes for the same."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
