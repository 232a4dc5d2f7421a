"""Single options, read strictly: whole numbers as they are written, and texts that are not blank."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cyclopts import Token

from cometflux.cli.errors import UsageError
from cometflux.locations import Location, is_flattened, is_url
from cometflux.number_checks import whole_phrase

_LONGEST = 9


def whole(least: int, most: int | None = None) -> Callable[[Any, Sequence[Token]], int]:
    """Make a converter for whole numbers from *least*; nothing is rounded, since a number may be of things to buy."""
    allowed = whole_phrase(least, most)

    def read(_: Any, tokens: Sequence[Token]) -> int:
        text = tokens[0].value
        is_whole = text.isascii() and text.isdigit() and len(text) <= _LONGEST
        if not is_whole or int(text) < least or (most is not None and int(text) > most):
            raise UsageError(f"{tokens[0].keyword}: {text!r} was given; must be {allowed}")
        return int(text)

    return read


def text(_: Any, tokens: Sequence[Token]) -> str:
    """Read a text; a blank one would silently mean what holds without the option."""
    if not tokens[0].value.strip():
        if tokens[0].keyword is None:
            raise UsageError("the name of the folder is blank")
        raise UsageError(f"{tokens[0].keyword} is blank; give a value, or leave the option out")
    return tokens[0].value


def as_written(_: Any, tokens: Sequence[Token]) -> str:
    """Take a word as it is."""
    return tokens[0].value


def folder(_: Any, tokens: Sequence[Token]) -> Path:
    """Read the path of a folder, which is on this machine even where pictures are in an object store."""
    return _path(_, tokens, "give the folder with the journal, which stays on this machine")


def picture(_: Any, tokens: Sequence[Token]) -> Path:
    """Read the path of a picture."""
    return _path(_, tokens, "fetch it first, and give the file")


def _path(_: Any, tokens: Sequence[Token], advice: str) -> Path:
    given = text(_, tokens)
    if is_url(given) or is_flattened(Path(given).parts):
        start = f"{tokens[0].keyword}: " if tokens[0].keyword else ""
        raise UsageError(f"{start}{given!r} is no path on this machine; {advice}")
    return Path(given)


def place(type_: Any, tokens: Sequence[Token]) -> Path | str:
    """Read where pictures go: the path of a folder, or the URL of a place in an object store, in its usual form."""
    given = text(type_, tokens)
    try:
        if is_url(given):
            return str(Location.of(given))
    except ValueError as error:
        raise UsageError(f"{tokens[0].keyword}: {error}") from error
    if is_flattened(Path(given).parts):
        raise UsageError(f"{tokens[0].keyword}: {given!r} has one slash where a URL has two, as in s3://bucket/prefix")
    return Path(given)
