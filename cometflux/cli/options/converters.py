"""Convert option values strictly: whole numbers without rounding, and texts that are not blank."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from cyclopts import Token

from cometflux.cli.errors import UsageError
from cometflux.errors import ConfigError, InputError
from cometflux.locations import Location, is_flattened, is_url
from cometflux.number_checks import LARGEST_WHOLE, whole_phrase


def whole(least: int, most: int = LARGEST_WHOLE) -> Callable[[Any, Sequence[Token]], int]:
    """Make a converter for whole numbers from *least*. It does not round, because a number may limit the cost."""
    allowed = whole_phrase(least, most)

    def read(_: Any, tokens: Sequence[Token]) -> int:
        text = tokens[0].value
        is_whole = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_WHOLE))
        if not is_whole or not least <= int(text) <= most:
            raise UsageError(f"{tokens[0].keyword}: {text!r} was given; must be {allowed}")
        return int(text)

    return read


def budget(_: Any, tokens: Sequence[Token]) -> Decimal:
    """Read a number of dollars above 0."""
    # Imported here, so that --help stays fast.
    from cometflux.account.prices import parse_dollars, to_dollars

    given = tokens[0].value
    try:
        micros = parse_dollars(given)
    except ValueError as error:
        raise UsageError(f"{tokens[0].keyword}: {given!r} was given; {error}") from error
    if not micros:
        raise UsageError(f"{tokens[0].keyword}: {given!r} was given; must be a number of dollars above 0")
    return to_dollars(micros)


def text(_: Any, tokens: Sequence[Token]) -> str:
    """Read a text, and raise if it is blank: a blank value would silently mean the default."""
    if not tokens[0].value.strip():
        if tokens[0].keyword is None:
            raise UsageError("the name of the folder is blank")
        raise UsageError(f"{tokens[0].keyword} is blank; give a value, or leave the option out")
    return tokens[0].value


def delimiter(_: Any, tokens: Sequence[Token]) -> str:
    """Read the delimiter of a table."""
    # As in prediction_id.
    from cometflux.sources.formats.csv_tables import read_delimiter

    try:
        return read_delimiter(tokens[0].value)
    except ValueError as error:
        raise UsageError(f"--delimiter: {error}") from error


def as_written(_: Any, tokens: Sequence[Token]) -> str:
    """Return a value unchanged."""
    return tokens[0].value


def prediction_id(_: Any, tokens: Sequence[Token]) -> str:
    """Read the id of a prediction."""
    # Imported here, so that --help stays fast.
    from cometflux.protocol import requests

    try:
        return requests.check_id(tokens[0].value)
    except InputError as error:
        raise UsageError(error.message) from error


def folder(_: Any, tokens: Sequence[Token]) -> Path:
    """Read the path of a folder on this machine. An object store's URL is refused."""
    return _path(_, tokens, "give the folder with the journal, which stays on this machine")


def plain_folder(_: Any, tokens: Sequence[Token]) -> Path:
    """Read the path of a folder on this machine that has no journal."""
    return _path(_, tokens, "give a folder on this machine")


def plain_folders(_: Any, tokens: Sequence[Token]) -> tuple[Path, ...]:
    """Read the paths of such folders, of an option that may be given several times."""
    return tuple(plain_folder(_, [each]) for each in tokens)


def picture(_: Any, tokens: Sequence[Token]) -> Path:
    """Read the path of a picture."""
    return _path(_, tokens, "fetch it first, and give the file")


def file(_: Any, tokens: Sequence[Token]) -> Path:
    """Read the path of a file on this machine."""
    return _path(_, tokens, "give a file on this machine")


def _path(_: Any, tokens: Sequence[Token], advice: str) -> Path:
    given = text(_, tokens)
    if is_url(given) or is_flattened(Path(given).parts):
        start = f"{tokens[0].keyword}: " if tokens[0].keyword else ""
        raise UsageError(f"{start}{given!r} is not a path on this machine; {advice}")
    return _expand(given)


def place(type_: Any, tokens: Sequence[Token]) -> Path | str:
    """Read the place for the pictures: a folder's path, or an object store's URL, which is normalized."""
    given = text(type_, tokens)
    try:
        if is_url(given):
            return str(Location.of(given))
    except ValueError as error:
        raise UsageError(f"{tokens[0].keyword}: {error}") from error
    if is_flattened(Path(given).parts):
        raise UsageError(f"{tokens[0].keyword}: {given!r} has one slash where a URL has two, as in s3://bucket/prefix")
    if "\0" in given:
        raise ConfigError(f"the folder {given!r} cannot be written to: its name holds a NUL")
    return _expand(given)


def _expand(given: str) -> Path:
    """Expand ``~``: a shell does not in ``--out=~/images``."""
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{given!r} begins with ~, and no home folder is known") from error
