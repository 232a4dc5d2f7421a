"""The names of files: each a single component of a path, on any system."""

import re
import unicodedata
from collections.abc import Iterator

from cometflux.errors import InputError
from cometflux.jobs import Job
from cometflux.models import spelling


def file_stem(index: int, job: Job) -> str:
    """Name the files of a job: its index in five digits, and the beginning of its prompt.

    From 100,000 on a letter comes before the index, another one for each number of digits: names sort as the batch.
    """
    letter = "" if index < 100_000 else chr(ord("a") + len(str(index)) - 6)
    slug = slug_of(job.prompt or "")
    return f"{letter}{index:05d}-{slug}" if slug else f"{letter}{index:05d}"


def slug_of(prompt: str) -> str:
    """Return the beginning of a prompt as a part of a file name; empty if it has no letter and no digit."""
    return _slug(prompt if prompt.isascii() else _readable(prompt))


def earlier_stems(index: int, job: Job) -> tuple[str, ...]:
    """Return the other names that an earlier release may have given the files of a job; empty if there are none.

    Names had only the letters that ASCII has, and no letter before the index.
    """
    prompt = job.prompt or ""
    if index < 100_000 and prompt.isascii():
        return ()
    readable = prompt if prompt.isascii() else _readable(prompt)
    stems = dict.fromkeys([_joined(index, readable), _joined(index, _ascii(prompt))])
    stems.pop(file_stem(index, job), None)
    return tuple(stems)


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
        raise InputError("name", name, "must be another name: Windows reserves this one for a device")
    if len(name.encode()) > 200:
        raise InputError("name", name, f"must have at most 200 bytes, not {len(name.encode())}")
    return name


def is_inside(name: str) -> bool:
    """Whether *name* is a relative path, with ``/`` between its parts, that does not leave its folder."""
    return "\\" not in name and not {"", ".", ".."} & {*name.split("/")}


_STEM = r"""[^<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]+"""
_DEVICE = r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)"


_LONGEST_SLUG = 48
_MOST_BYTES = 96
"""Some encrypting file systems take names of at most 143 bytes, with the index, the numbers and the ending."""
_MOST_READ = 500
"""So many characters of a prompt are read for its name at most."""
_SEPARATORS = re.compile(r"[\0-/:-`{-\x7f]+")


def _joined(index: int, text: str) -> str:
    slug = _slug(text)
    return f"{index:05d}-{slug}" if slug else f"{index:05d}"


def _slug(text: str) -> str:
    words = unicodedata.normalize("NFC", _SEPARATORS.sub(" ", text.lower())).split(" ")
    return _cut("-".join(filter(None, words)))


def _cut(slug: str) -> str:
    """Cut a slug after a word, if that leaves most of it: not every script separates words."""
    if len(slug) <= _LONGEST_SLUG and len(slug.encode()) <= _MOST_BYTES:
        return slug
    most = min(_LONGEST_SLUG, len(slug.encode()[:_MOST_BYTES].decode(errors="ignore")))
    words = slug[: most + 1].rpartition("-")[0]
    if words and (slug.isascii() or len(words) * 2 > most):
        return words
    # An accent or a vowel sign stays with its letter.
    while most and unicodedata.category(slug[most])[0] == "M":
        most -= 1
    return slug[:most].rstrip("-")


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _readable(text: str) -> str:
    """Return the letters and digits of every script, with Latin accents removed and the rest as blanks."""
    letters: list[str] = []
    for letter in unicodedata.normalize("NFKC", text[:_MOST_READ]):
        category = unicodedata.category(letter)[0]
        if plain := _ascii(letter):
            letters.append(plain)
        elif letter.isspace() or not (category in "LMN" or spelling.is_blank(letter)):
            letters.append(" ")
        elif not spelling.is_blank(letter) and (category != "M" or (letters and not letters[-1].isascii())):
            letters.append(letter)
    return "".join(letters)


MOST_NAMES = 100
"""How many names are tried for one image. If all are taken, something is wrong with the place."""


def numbered(stem: str) -> Iterator[str]:
    """Yield the names for *stem*: itself, then those to use if it is taken; `MOST_NAMES` altogether."""
    yield stem
    for number in range(1, MOST_NAMES):
        yield f"{stem}+{number}"


def output_stems(stem: str, count: int) -> list[str]:
    """Name the outputs of one prediction, *count* of them."""
    return [stem] if count == 1 else [f"{stem}-{number}" for number in range(1, count + 1)]


def fold(name: str) -> str:
    """Write a name in the one way that it shares with all that some file system takes for the same."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
