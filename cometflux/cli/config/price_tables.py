"""The tables of prices in the configuration files, ``[prices]``: dollars by model.

A project's file may come from somebody else, so it can only raise a price: a lower one would stretch a budget.
"""

import re
from collections.abc import Mapping
from typing import Any

import attrs

from cometflux.account.prices import Basis, Catalogue, Price, read_prices
from cometflux.cli.options.known_prices import KnownPrices, merge_prices
from cometflux.errors import ConfigError

TABLE = "prices"
"""The name of the table."""
_KEY_VALUE = re.compile(r"(?i)(bearer\b|sk-)")


@attrs.frozen(kw_only=True)
class PriceTables:
    """The tables of both files."""

    user: Mapping[str, Price] = attrs.field(factory=dict)
    user_place: str = ""
    """The user's file and the line, as messages name it."""
    project: Mapping[str, Price] = attrs.field(factory=dict)
    project_place: str = ""
    """The project's file, as messages name it."""


def join_prices(given: Mapping[str, Price], tables: PriceTables, found: Catalogue) -> KnownPrices:
    """Join the prices *given* in options, those of the files, and those of the catalogue."""
    prices, ignored = merge_prices(given, tables.user, tables.project, found.prices, tables.project_place)
    own = {*given, *tables.user}
    doubts = {model: why for model, why in found.doubts.items() if model not in own}
    return KnownPrices(prices=prices, doubts={**doubts, **ignored}, note=found.note)


def read_table(value: object) -> dict[str, Price]:
    """Read a table that was checked."""
    return read_prices(TABLE, value, Basis.OWN_TABLE)


def fault_of(value: object) -> str | None:
    """Return what is wrong with a table; None if nothing is."""
    try:
        read_table(value)
    except ConfigError as error:
        # A key that was put here by mistake must not be shown.
        given = "a text" if isinstance(error.given, str) and _KEY_VALUE.match(error.given) else error.shown
        dotted = isinstance(value, Mapping) and any(map(_is_dotted, value.values()))
        hint = '; put a name that has a dot in quotes: "flux-1.1-pro" = 0.04' if dotted else ""
        return f"{error.setting}: {given} was given; {error.allowed}{hint}"
    return None


def _is_dotted(value: Any) -> bool:
    """Whether TOML took a name such as flux-1.1-pro for a table in a table."""
    return isinstance(value, Mapping) and not {"per_request", "per_image"} & value.keys()
