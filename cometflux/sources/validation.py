"""Check the columns, cells and keys of a source of prompts. The planner collects the faults of all rows."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from cometflux import flux, jobs
from cometflux.basics.plain_text import is_utf8
from cometflux.errors import InputError
from cometflux.images import data_uris
from cometflux.images.data_uris import LARGEST_IMAGE_INPUT
from cometflux.images.formats import media_type
from cometflux.images.reference_files import is_news, open_image
from cometflux.journal.marks import Marks, mark_of
from cometflux.models.kinds import guess
from cometflux.models.model import Known, parameters_by_name, unknown_error
from cometflux.models.spelling import is_empty_word, is_spreadsheet_error, tidy, whole
from cometflux.models.words import closest, question
from cometflux.sources.errors import Fault
from cometflux.sources.rows import RESERVED, Quoted, Row, Source

Model: TypeAlias = Known | str
"""A known model, or the full name of another one, whose input is not checked."""

_WORDS = {"image": "the path of a file, an http(s) URL or a data URI"}
"""The values of a cell, which has no types of Python."""


def describe(error: InputError) -> str:
    """Return the message of *error* without Python types, which a cell does not have."""
    return error.message_in(_WORDS)


def find_parameter(model: Model, name: str) -> flux.Parameter | None:
    """Return a parameter of a model; None if the model is not known or does not have it."""
    return None if isinstance(model, str) else parameters_by_name(model).get(name)


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def find_unused_columns(source: Source, taken: Mapping[str, None], keep: Callable[[str], str]) -> dict[str, Fault]:
    """Return a fault for each column that neither a model, in *taken*, nor a template uses, and that is not kept.

    *keep* returns how a column of this name is kept.
    """
    known = {*taken, *RESERVED, *source.used, *source.kept}
    return {name: _unused_column(source, name, taken, keep) for name in source.columns if name not in known}


def _unused_column(source: Source, name: str, taken: Mapping[str, None], keep: Callable[[str], str]) -> Fault:
    if name in source.places:
        hint = _hint(name, taken, f"write {{{name}}} in the prompt, or take it out")
        return Fault(f"nothing uses {name!r}{also(hint, keep(name))}", source.places[name])
    hint = _hint(name, taken, f"take it out of the {'table' if source.header is None else 'file'}")
    return Fault(f"no row can use the column {name!r}{also(hint, keep(name))}", source.header)


def also(hint: str, keep: str) -> str:
    """Add to a hint how a column is kept, if it can be."""
    return hint if not keep else f"{hint}{'' if hint.endswith('?') else ';'} {keep} keeps it as a tag"


def _hint(name: str, taken: Mapping[str, None], otherwise: str) -> str:
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    if meant := question(closest(plain, [*RESERVED, *taken])):
        return f"; {meant}"
    if models := _models_with(name):
        return f"; it is a parameter of {models}"
    known = dict.fromkeys(each.name for model in flux.MODELS.values() for each in flux.parameters(model))
    if close := closest(plain, known, cutoff=0.8):
        return f"; {question(close)} it is a parameter of {_models_with(close)}"
    return f"; {otherwise}"


def _models_with(name: str) -> str:
    """List the models that have a parameter; empty if none has it."""
    models = [model.model.rpartition("/")[2] for model in flux.MODELS.values() if name in parameters_by_name(model)]
    return f"{', '.join(models[:3])}{' and others' if len(models) > 3 else ''}"


def misspells_prompt(row: Row, model: Known) -> bool:
    """Whether a column that the model does not have is spelled like ``prompt``. Its own fault is enough then."""
    strangers = [name.lower() for name in row.values if name not in parameters_by_name(model)]
    return closest("prompt", strangers) is not None


_REFERENCES = ("input_image", "input_images", "image", "image_prompt")


def reference_of(model: Model, otherwise: str | None = None) -> str:
    """Return the parameter by which a model takes a reference image.

    *otherwise* is the advice if it takes none; None for the advice on a cell.

    Raises:
        ValueError: it takes none, or it is not known which.
    """
    if isinstance(model, str):
        raise ValueError(f"{model} is not a known model; {otherwise or 'name the column as its parameter is named'}")
    images = [name for name, each in parameters_by_name(model).items() if each.kind.most_images]
    found = next((name for name in _REFERENCES if name in images), None)
    if found is not None or len(images) == 1:
        return found or images[0]
    slug = model.model.rpartition("/")[2]
    raise ValueError(
        f"{slug} takes several kinds of images; name one: {', '.join(images)}"
        if images
        else f"{slug} takes no reference image; {otherwise or 'leave the cell empty'}"
    )


# ── cells ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def find_no_value(name: str, value: str, *, is_prompt: bool) -> str | None:
    """Return the fault of a cell with a NUL, a spreadsheet's error, or as a prompt the word for an empty cell."""
    if "\0" in value:
        return f"{name}: {value!r} contains a NUL character; take it out"
    if is_spreadsheet_error(value):
        return f"{name}: {value.strip()!r} is the error of a spreadsheet; correct the formula, and save the file again"
    if is_prompt and is_empty_word(value):
        return f"{name}: {value.strip()!r} is how programs write an empty cell; leave the cell empty, or write a text"
    return None


def find_unwritable_tags(row: Row) -> Iterator[Fault]:
    """Yield a fault for each tag that no record can hold: half a character, or a file's name of another encoding."""
    for name, text in row.tags.items():
        if not (is_utf8(name) and is_utf8(text)):
            yield Fault(f"{name}: {text!a} is not text that UTF-8 can encode", row.places.get(name, row.line))


def read_cell(model: Model, name: str, value: Any, folder: Path, *, is_typed: bool) -> Any:
    """Read a cell as a value of the parameter's type. Image paths that are texts are relative to *folder*.

    Raises:
        InputError: the cell is not such a value.
    """
    if isinstance(value, Path):
        parameter = find_parameter(model, name)
        return [value] if parameter is not None and parameter.kind.is_list else value
    if not is_typed:
        return read_text(model, name, value, folder)
    if (parameter := find_parameter(model, name)) is not None:
        return parameter.kind.read_json(name, value, folder)
    return tidy(value) if name == "prompt" and isinstance(value, str) else whole(value)


def read_text(model: Model, name: str, text: str | list[str], folder: Path) -> Any:
    """Read a text, or a list of texts, as a value of the parameter's type. Image paths are relative to *folder*.

    Raises:
        InputError: the text is not such a value.
    """
    parameter = find_parameter(model, name)
    if isinstance(text, list):
        if parameter is not None and not parameter.kind.is_list:
            raise InputError(name, text, f"must be {parameter.allowed}")
        parts = [read_text(model, name, each, folder) for each in text]
        return parts if parameter is None else [item for items in parts for item in items]
    if parameter is not None:
        return parameter.kind.read_text(name, text, folder)
    if name == "prompt":
        return tidy(text)
    is_guessed = isinstance(model, str) and not isinstance(text, Quoted)
    return whole(guess(text)) if is_guessed else str(text)


@attrs.define
class InputChecker:
    """Checks values of parameters. Each image is read and checked once, however many rows have it."""

    strict: bool = False
    """Whether a request body with a parameter that the model does not have is a mistake."""
    validate: bool = True
    """Whether to check the values of known models."""
    strange: dict[tuple[Known, str], None] = attrs.field(factory=dict)
    """The parameters of request bodies that their model does not have, each with its model."""
    turned: dict[str, None] = attrs.field(factory=dict)
    """The names of the images that an EXIF orientation turns."""
    _images: dict[tuple[str, Path], InputError | None] = attrs.field(factory=dict)

    def take(self, model: Model, name: str, read: Callable[[Model], Any], *, is_body: bool) -> Any:
        """Return the checked value of a parameter; *read* reads it as *model* takes it.

        In a request body (*is_body*) the model may be without the parameter, unless the check is strict.

        Raises:
            InputError: the model does not have the parameter, or the value is not allowed.
        """
        if isinstance(model, str):
            return read(model)
        is_strange = find_parameter(model, name) is None
        if not self.validate:
            return read(model.model) if is_strange else _read_if_possible(model, read)
        if is_strange and is_body and not self.strict:
            self.strange[model, name] = None
            # So that the job does not warn again.
            jobs.is_news(model.model, name)
            return read(model.model)
        value = read(model)
        self.check(model, name, value)
        return value

    def check(self, model: Model, name: str, value: Any) -> None:
        """Check one value; a model that is not known takes any.

        Raises:
            InputError: the model does not have the parameter, or the value is not allowed.
        """
        if isinstance(model, str):
            return
        parameter = parameters_by_name(model).get(name)
        if parameter is None:
            raise unknown_error(model, name, value)
        parameter.check(value)
        if not parameter.kind.most_images:
            return
        for image in value if isinstance(value, list) else [value]:
            if isinstance(image, Path):
                self._check_file(name, image)
            elif data_uris.is_data_uri(image):
                data_uris.check_data_uri(name, image)
                self._note(f"the data URI of {name}", image)

    def _note(self, name: str, image: bytes | str) -> None:
        if data_uris.examine(image).is_turned:
            self.turned[name] = None
            # So that the session does not warn again.
            is_news(image)

    def _check_file(self, name: str, path: Path) -> None:
        if (name, path) not in self._images:
            self._images[name, path] = None
            try:
                self._note(str(path), check_image_file(name, path))
            except InputError as error:
                self._images[name, path] = error
        known = self._images[name, path]
        if known is not None:
            raise known.under(name)


def _read_if_possible(model: Known, read: Callable[[Model], Any]) -> Any:
    """Read a value as the model takes it, else as if the model were not known."""
    try:
        return read(model)
    except InputError:
        return read(model.model)


def check_image_file(field: str, path: Path) -> bytes:
    """Read the image file at *path*, and check that it can be sent, before anything is paid.

    Raises:
        InputError: it is not a regular file, is too large or cut short, or is not a PNG, JPEG, WebP or GIF image.
    """
    try:
        with open_image(field, path) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(LARGEST_IMAGE_INPUT + 1)
    except OSError as error:
        raise InputError(field, str(path), f"the file cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(field, str(path), "this is not a file name") from error
    if size > LARGEST_IMAGE_INPUT and media_type(data) is not None:
        raise InputError(field, str(path), f"the file has {size} bytes, and at most 8 MiB are sent; give a URL instead")
    if (fault := data_uris.examine(data).fault) is not None:
        raise InputError(field, str(path), fault)
    return data


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class KeyChecker:
    """Checks that every key is unique, also among the keys of *count* copies of each row. Keeps marks, not keys."""

    def __init__(self, unit: str, count: int, label: str) -> None:
        self._unit = unit
        self._count = count
        self._label = label
        self._lines = Marks()
        """Twice the line of the row with each key, and 1 more for the key of a copy."""

    def add(self, row: Row) -> list[Fault]:
        """Note the key of a row; return a fault for each key that is there already."""
        key, faults = row.values.get("key"), list[Fault]()
        if not isinstance(key, str):
            return faults
        here = 2 * (row.line or 0)
        # A row's own key is found again with its own line if another row has it on the same line, as in a sweep.
        size = len(self._lines)
        found = self._lines.setdefault(mark_of(key), here)
        if found % 2:
            faults.append(self._clash(key, row.line, found // 2))
        elif len(self._lines) == size:
            first = "another combination" if row.places else f"{self._unit} {found // 2}"
            error = InputError("key", key, f"{first} has this key already")
            faults.append(Fault(describe(error), row.places.get("key", row.line)))
        for number in range(2, self._count + 1):
            copy = f"{key}-{number}"
            found = self._lines.setdefault(mark_of(copy), here + 1)
            if not found % 2:
                faults.append(self._clash(copy, found // 2, row.line or 0))
        return faults

    def has(self, key: str) -> bool:
        """Whether a row so far, or a copy of one, has this key."""
        return self._lines.get(mark_of(key)) is not None

    def _clash(self, key: str, line: int | None, other: int) -> Fault:
        reason = f"a copy of {self._unit} {other} has this key already, with {self._label} {self._count}"
        return Fault(describe(InputError("key", key, reason)), line)
