"""Keep the prices of the catalogue in the user's cache folder, for a day. No fault of the file is an error."""

import contextlib
import json
from typing import Any

from cometflux.account.prices import Basis, Catalogue, Price
from cometflux.basics.regular_files import read_regular
from cometflux.cli.config.files import kept_catalogue_file
from cometflux.number_checks import is_whole
from cometflux.storage.atomic import replace

_LARGEST = 8 * 1024 * 1024
_DAY = 86_400.0
_HOUR = 3_600.0
"""How long a catalogue that could not be read is not fetched again, in seconds."""
_MOST_MICROS = 10**15


def read_kept(root: str, now: float) -> Catalogue | None:
    """Return the catalogue below *root* as it is kept; None if it is too old, broken, or of another service.

    *now* is the Unix time, in seconds.
    """
    path = kept_catalogue_file()
    if path is None:
        return None
    # Whoever wrote it, any bytes may be there.
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        kept = json.loads(read_regular(path, _LARGEST, follows_links=True))
        found = Catalogue(
            prices={model: _price(*each) for model, each in kept["prices"].items()},
            doubts={model: _text(each) for model, each in kept["doubts"].items()},
            note=None if kept["note"] is None else _text(kept["note"]),
        )
        longest = _DAY if found.note is None else _HOUR
        if kept["root"] == root and 0 <= now - kept["fetched_at"] < longest:
            return found
    return None


def keep(root: str, found: Catalogue, now: float) -> None:
    """Keep the catalogue below *root*, in place of the one before, if the folder can be written to."""
    path = kept_catalogue_file()
    if path is None:
        return
    values = {
        "root": root,
        "fetched_at": now,
        "prices": {model: [price.micros, price.basis] for model, price in found.prices.items()},
        "doubts": dict(found.doubts),
        "note": found.note,
    }
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, json.dumps(values, allow_nan=False).encode())


def _price(micros: Any, basis: Any) -> Price:
    if not is_whole(micros, 1, _MOST_MICROS):
        raise ValueError("this is not a price")
    return Price(micros=micros, basis=Basis(basis))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("this is not a text")
    return value
