"""Print what a batch really cost."""

from cometflux.cli.options.arguments import BaseUrl, Folder, JsonObject, Proxy
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.screen import Screen


def costs(folder: Folder, /, *, json: JsonObject = False, base_url: BaseUrl = None, proxy: Proxy = None) -> None:
    """Print what a batch really cost, from the account's log.

    Looks up the folder's predictions in the account's log, and records charges and
    refunds in the journal. It needs COMETAPI_ACCESS_TOKEN, the access token of the
    account, which is not the API key.
    """
    from cometflux.cli.batch.costs import show_costs

    show_costs(Screen(), folder, RunOptions(base_url=base_url, proxy=proxy), as_json=json)
