"""What is written in a cell or behind an option becomes a value of the parameter's type."""

import json
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cometflux.errors import InputError
from cometflux.flux import Kind, Parameter
from cometflux.images import LARGEST_IMAGE_INPUT, media_type
from cometflux.reading import check_regular

# A spreadsheet may write a whole number as 7.0.
_WHOLE = re.compile(r"([+-]?[0-9]{1,25})(?:\.0{1,9})?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,25}(?:\.[0-9]{0,25})?|\.[0-9]{1,25})(?:[eE][+-]?[0-9]{1,3})?")
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_LINK = re.compile(r"https?://|data:", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def from_text(parameter: Parameter, text: str, folder: Path) -> Any:
    """Read what a person wrote; paths are relative to *folder*.

    Raises:
        InputError: the text is no value of this type. Its range is not checked here.
    """
    return _READERS[parameter.kind](parameter, text, folder)


def from_json(parameter: Parameter, value: Any, folder: Path) -> Any:
    """Take a JSON value, whose type is its own; images are paths relative to *folder*, or links.

    Raises:
        InputError: an image is no string.
    """
    match parameter.kind:
        case Kind.IMAGE:
            return _image(parameter, value, folder)
        case Kind.IMAGES:
            return [_image(parameter, part, folder) for part in (value if isinstance(value, list) else [value])]
        case _:
            return value


def guess(text: str) -> Any:
    """Read the value of a parameter that nobody published: JSON where it is JSON, else the text."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def check_image_file(field: str, path: Path) -> None:
    """Look whether *path* is an image that can be sent, before anything is paid.

    Raises:
        InputError: it is no file, too large, or no PNG, JPEG, WebP or GIF.
    """
    try:
        found = path.stat()
        if not stat.S_ISDIR(found.st_mode):
            check_regular(field, str(path), found.st_mode)
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(field, str(path), f"the file cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(field, str(path), "this is no name of a file") from error
    if media_type(head) is None:
        raise InputError(field, str(path), "allowed is a PNG, JPEG, WebP or GIF image")
    if found.st_size > LARGEST_IMAGE_INPUT:
        raise InputError(
            field, str(path), f"the file has {found.st_size} bytes, and at most 8 MiB are sent; give a URL instead"
        )


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _text(parameter: Parameter, text: str, folder: Path) -> str:
    return str(text)


def _choice(parameter: Parameter, text: str, folder: Path) -> str:
    return text.strip()


def _whole(parameter: Parameter, text: str, folder: Path) -> int:
    found = _WHOLE.fullmatch(text.strip())
    if not found:
        raise InputError(parameter.name, text, f"allowed is {parameter.allowed}")
    return int(found[1])


def _number(parameter: Parameter, text: str, folder: Path) -> int | float:
    if not _NUMBER.fullmatch(text.strip()):
        raise InputError(parameter.name, text, f"allowed is {parameter.allowed}")
    value = float(text)
    return int(value) if value.is_integer() else value


def _boolean(parameter: Parameter, text: str, folder: Path) -> bool:
    value = _WORDS.get(text.strip().lower())
    if value is None:
        raise InputError(parameter.name, text, "allowed is true or false")
    return value


def _image(parameter: Parameter, value: Any, folder: Path) -> str | Path:
    text = value.strip() if isinstance(value, str) else ""
    if _LINK.match(text):
        return text
    if not text or _SCHEME.match(text):
        raise InputError(parameter.name, value, "allowed is the path of a file, an http(s) URL or a data URI")
    return folder / text


def _images(parameter: Parameter, text: str, folder: Path) -> list[str | Path]:
    if not text.lstrip().startswith("["):
        return [_image(parameter, text, folder)]
    value = guess(text)
    if not isinstance(value, list):
        raise InputError(parameter.name, text, 'allowed is one image, or a JSON list as in ["a.png", "b.png"]')
    return [_image(parameter, part, folder) for part in value]


_READERS: Mapping[Kind, Callable[[Parameter, str, Path], Any]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _whole,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.CHOICE: _choice,
    Kind.IMAGE: _image,
    Kind.IMAGES: _images,
}
