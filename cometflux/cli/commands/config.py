"""Print the settings and their sources, for people or as JSON. The key is never shown."""

import os
import re
from collections.abc import Iterator
from typing import Any

import attrs
from cyclopts import App
from rich.table import Table
from rich.text import Text

from cometflux.account.prices import Price, to_dollars
from cometflux.basics.plain_text import plain
from cometflux.cli.config.files import project_file, user_file
from cometflux.cli.config.price_tables import PriceTables
from cometflux.cli.config.read_settings import SettingValue, read_configuration, read_price_tables
from cometflux.cli.options import help_format
from cometflux.cli.options.arguments import JsonObject
from cometflux.cli.options.groups import OPTIONS
from cometflux.cli.options.known_prices import merge_prices, short_name
from cometflux.cli.terminal.console import make_wide_console
from cometflux.cli.terminal.screen import Screen
from cometflux.session.settings import DEFAULT_BASE_URL

config = App(
    name="config",
    help="Show the settings, and where they are set.",
    help_flags=help_format.FLAGS,
    group_parameters=OPTIONS,
    usage="Usage: cometflux config COMMAND",
    help_epilogue="Example:\n  cometflux config show",
)


@config.command(
    name="show", usage="Usage: cometflux config show [OPTIONS]", help_epilogue="Example:\n  cometflux config show"
)
def show_config(*, json: JsonObject = False) -> None:
    """Show every setting and its source.

    The first source that has a setting wins: an option, COMETFLUX_* in the
    environment, the project's cometflux.toml, your own file, the default. The key
    is never shown.
    """
    values = read_configuration()
    prices = [*_prices(read_price_tables())]
    if json:
        shown = {name: _describe(value) for name, value in values.items()}
        shown |= {each.name: each.describe() for each in prices}
        Screen().data_json({**shown, "api_key": _describe_key()})
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("setting", "value", "from"):
        table.add_column(column, overflow="fold", no_wrap=column == "setting")
    for name, value in values.items():
        place = value.place or "default"
        table.add_row(name, Text(plain(_word(value))), Text(plain(f"{place}; {value.note}" if value.note else place)))
    for each in prices:
        where = f"{each.place}; {each.note}" if each.note else each.place
        table.add_row(Text(plain(each.name)), each.price.dollars, Text(plain(where)))
    key = _describe_key()
    table.add_row("api_key", "set" if key["is_set"] else "not set", key["place"] or f"set {_KEYS[0]}, or use --local")
    make_wide_console().print(table)


@config.command(usage="Usage: cometflux config path", help_epilogue="Example:\n  cometflux config path")
def path() -> None:
    """Show the paths of the configuration files: your own, and the project's."""
    screen = Screen()
    rows = [
        ("user", user_file(), "none: no home folder is known; set HOME or XDG_CONFIG_HOME"),
        ("project", project_file(), "none here; it would be ./cometflux.toml"),
    ]
    for name, path, absent in rows:
        there = "" if path is None or path.exists() else "  (not there)"
        screen.data(f"{name:<8} {absent if path is None else plain(str(path))}{there}")


_KEYS = ("COMETAPI_KEY", "COMETAPI_API_KEY")


def _describe(value: SettingValue) -> dict[str, Any]:
    shown_value = _shown(value)
    return {"value": shown_value, "source": value.source, "place": value.place or None, "note": value.note or None}


@attrs.frozen(kw_only=True)
class _OwnPrice:
    """A price in a file."""

    name: str
    price: Price
    source: str
    place: str
    note: str | None
    """Says which price of another file was ignored."""

    def describe(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        unit = "per_image" if self.price.is_per_image else "per_request"
        value = {unit: float(to_dollars(self.price.micros))}
        return {"value": value, "source": self.source, "place": self.place, "note": self.note}


def _prices(tables: PriceTables) -> Iterator[_OwnPrice]:
    """Yield the prices of both files."""
    known, ignored = merge_prices({}, tables.user, tables.project, {}, tables.project_place)
    for model, price in sorted(known.items()):
        is_own = tables.user.get(model) is price
        yield _OwnPrice(
            name=f"prices.{short_name(model)}",
            price=price,
            source="user" if is_own else "project",
            place=tables.user_place if is_own else tables.project_place,
            note=ignored.get(model),
        )


def _describe_key() -> dict[str, Any]:
    name = next((name for name in _KEYS if os.environ.get(name, "").strip()), None)
    return {"is_set": name is not None, "source": "environment" if name else None, "place": name}


def _shown(value: SettingValue) -> Any:
    if value.setting.name == "base_url" and value.value is None:
        return DEFAULT_BASE_URL
    # A proxy's URL may contain a password, and a base URL a key in its query.
    return re.sub(r"//[^/]*@", "//…@", re.split("[?#]", value.value)[0]) if _is_url(value) else value.value


def _is_url(value: SettingValue) -> bool:
    return value.setting.name in ("base_url", "proxy") and value.value is not None


def _word(value: SettingValue) -> str:
    shown_value = _shown(value)
    return "-" if shown_value is None else str(shown_value)
