"""Print what can still be spent."""

from typing import TYPE_CHECKING, Any

from rich.table import Table

from cometflux.cli.options.arguments import BaseUrl, JsonObject, Proxy
from cometflux.cli.terminal.console import make_console
from cometflux.cli.terminal.screen import Screen

if TYPE_CHECKING:
    from cometflux.account.balance import Balance


def balance(*, json: JsonObject = False, base_url: BaseUrl = None, proxy: Proxy = None) -> None:
    """Print how much you can still spend.

    The API key has its own limit. With COMETAPI_ACCESS_TOKEN, the access token of
    the account, the balance of the account is printed too.
    """
    from cometflux.cli.batch.account_access import read_own_key
    from cometflux.cli.batch.known_prediction import run_work
    from cometflux.session.fetch_balance import fetch_balance

    screen = Screen()
    found = run_work(fetch_balance(api_key=read_own_key(), base_url=base_url, proxy=proxy), screen, "the account")
    if json:
        screen.data_json(_described(found))
        return
    make_console().print(_table(found))
    for note in found.notes:
        screen.say(f"note: {note}")


def _described(balance: "Balance") -> dict[str, Any]:
    parts = [{"source": part.source, "left": _plain(part.left), "used": _plain(part.used)} for part in balance.parts]
    return {"dollars": _plain(balance.left), "parts": parts, "notes": balance.notes}


def _plain(micros: int | None) -> str | None:
    from cometflux.account.prices import to_dollars

    return None if micros is None else f"{to_dollars(micros):f}"


def _table(balance: "Balance") -> Table:
    from cometflux.account.prices import show_dollars

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in ("left", "used"):
        table.add_column(name, justify="right")
    for part in balance.parts:
        left = "no limit" if part.left is None else show_dollars(part.left)
        table.add_row(_NAMES[part.source], left, "" if part.used is None else show_dollars(part.used))
    return table


_NAMES = {"key": "API key", "account": "account"}
