"""The caller's own names for files: a template such as ``{model}/{seed}`` makes a relative path without an ending.

A template has plain names in braces, never attributes or items. Every name is checked to be safe on every file system
and to stay inside its folder, and two jobs of a batch never share one.
"""

import math
import re
import unicodedata
from collections.abc import Collection
from typing import Any

import attrs

from cometflux import flux
from cometflux.errors import InputError
from cometflux.jobs import Job
from cometflux.models.words import closest, question
from cometflux.storage.file_names import check_stem, slug_of

DEFAULT = "{index:05d}-{slug}"
"""The names of files if the caller gives none."""
_FIELDS = ("index", "key", "model", "prompt", "slug")
_TOKEN = re.compile(r"\{([^{}]*)\}|[{}]")
# The name of a parameter or a column, and for a whole number the width to which it is filled.
_SLOT = re.compile(r"([^\W\d]\w*(?:[ -]+\w+)*)(?::(0?[1-9]?\d?)d)?")
_MOST_BYTES = 700
"""An object store takes names of 1024 bytes, with the place's own prefix."""
_OURS = re.compile(r"(?i).*\.(png|jpg|webp|gif|jsonl?|html)")


@attrs.frozen
class _Slot:
    name: str
    width: str | None = None
    """The format of a whole number, as ``05``; None to write a value as it is."""


@attrs.frozen
class NameTemplate:
    """A parsed template."""

    parts: tuple[str | _Slot, ...]
    columns: frozenset[str] = frozenset()
    """The names of tags that a job may have or lack."""

    @classmethod
    def parse(cls, text: str, columns: Collection[str] = ()) -> "NameTemplate":
        """Parse a template. *columns* are the names of tags that a job may have or lack.

        Raises:
            InputError: it is blank, a brace is unmatched, or a pair of braces has something other than a name.
        """
        if not isinstance(text, str) or not text.strip():
            raise InputError("name", text, f"must be a template such as {DEFAULT}")
        parts: list[str | _Slot] = []
        end = 0
        for found in _TOKEN.finditer(text):
            slot = None if found[1] is None else _SLOT.fullmatch(found[1].strip())
            if slot is None:
                raise InputError("name", text, f"{found[0]} is not a field; write its name in braces, as {{key}}")
            parts += [text[end : found.start()], _Slot(slot[1], slot[2])]
            end = found.end()
        return cls(tuple(part for part in [*parts, text[end:]] if part), frozenset(columns))

    def fill(self, index: int, job: Job) -> str:
        """Name the files of a job: a relative path with ``/`` between its parts, without an ending.

        Raises:
            InputError: the job has no such field, or the result is not a name.
        """
        texts = (part if isinstance(part, str) else self._text(part, index, job) for part in self.parts)
        return check_path("".join(texts))

    def _text(self, slot: _Slot, index: int, job: Job) -> str:
        value = _value(slot.name, index, job)
        if value is None:
            raise self._missing(slot.name, job)
        return _written(slot, value)

    def _missing(self, name: str, job: Job) -> InputError:
        if name in _FIELDS or name in self.columns or _is_parameter(name):
            return InputError("name", name, f"{{{name}}} has no value here")
        known = [*dict.fromkeys([*_FIELDS, *job.input, *job.tags])]
        fields = f"fields are {', '.join(known[:12])}; a column that is not a parameter must be kept"
        hint = question(closest(name, known), "{{{}}}".format) or fields
        return UnknownFieldError("name", name, f"{{{name}}} is not a field of the jobs", hint=hint)


def find_names(text: str | None, columns: Collection[str] = ()) -> NameTemplate | None:
    """Parse a template; None if files are named as always.

    Raises:
        InputError: as for `NameTemplate.parse`.
    """
    return None if text is None or text == DEFAULT else NameTemplate.parse(text, columns)


class UnknownFieldError(InputError):
    """A template uses a field that a job does not have and that is not a parameter of any known model."""


def _is_parameter(name: str) -> bool:
    return any(name == each.name for model in flux.MODELS.values() for each in flux.parameters(model))


def _written(slot: _Slot, value: Any) -> str:
    if slot.width is not None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise InputError("name", value, f"{{{slot.name}}} is not a whole number here, so it has no width")
        return f"{value:{slot.width}d}"
    match value:
        case str():
            return value.strip()
        case bool():
            return "true" if value else "false"
        case int() | float() if not isinstance(value, float) or math.isfinite(value):
            return str(value)
    raise InputError("name", slot.name, f"{{{slot.name}}} is neither text nor a number here")


def _value(name: str, index: int, job: Job) -> Any:
    match name:
        case "index":
            return index
        case "key":
            return job.key
        case "model":
            return job.model.rpartition("/")[2]
        case "slug":
            return slug_of(job.prompt or "") or None
    return job.input.get(name, job.tags.get(name))


def check_path(name: str) -> str:
    """Return *name* in its normal form, if it is a relative path that is safe on any system.

    Raises:
        InputError: it is not.
    """
    name = unicodedata.normalize("NFC", name)
    if name.startswith("/"):
        raise InputError("name", name, "must stay in the folder, and so must not begin with a slash")
    *folders, stem = name.split("/")
    for part in (*folders, stem):
        _check_part(name, part)
    for part in folders:
        if _OURS.fullmatch(part):
            raise InputError("name", name, f"must not have a folder named as a file is, {part}")
    if len(name.encode()) > _MOST_BYTES:
        raise InputError("name", name, f"must have at most {_MOST_BYTES} bytes, not {len(name.encode())}")
    return name


def _check_part(name: str, part: str) -> None:
    if not part.strip():
        raise InputError("name", name, "must not have an empty part; a value of it is empty, or a slash stands alone")
    if part in (".", ".."):
        raise InputError("name", name, f"must stay in the folder, and so must not have the part {part}")
    if part.startswith((".", " ")):
        raise InputError("name", name, "must not have a part that begins with a dot or a space")
    if found := _UNSAFE.search(part):
        hint = "{slug} is the prompt without such characters"
        raise InputError("name", name, f"must not have {found[0]!a}, which some file systems refuse", hint=hint)
    try:
        check_stem(part)
    except InputError as error:
        raise InputError("name", name, error.allowed) from None


_UNSAFE = re.compile(r"""[<>:"\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]""")
