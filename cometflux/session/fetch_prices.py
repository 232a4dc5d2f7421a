"""Fetch the prices of the service's public catalogue, for a session."""

from typing import Any

from cometflux.account.catalogue import fetch_catalogue
from cometflux.account.lists import root_of
from cometflux.account.prices import Prices
from cometflux.errors import AccountError
from cometflux.session.settings import read_base_url, read_proxy


async def fetch_prices(*, base_url: str | None = None, proxy: str | None = None, ssl: Any = None) -> Prices:
    """Fetch the prices of CometAPI's public catalogue, for ``open_session(prices=…)``. No key is needed or sent.

    The prices are estimates: the catalogue does not say whether its price already has the discount in it, so the higher
    reading counts. Fetching takes at most 5 seconds. ``{**await fetch_prices(), "owner/name": 0.04}`` puts a price of
    yours over them.

    Args:
        base_url: the API's URL; else ``COMETFLUX_BASE_URL``, then ``https://api.cometapi.com/replicate/v1``.
        proxy: the URL of an HTTP proxy; None for a direct connection.
        ssl: an ``ssl.SSLContext`` with your certificates; None for the usual ones.

    Raises:
        ConfigError: *base_url* or another argument is unusable.
        AccountError: the catalogue has no prices, or cannot be read.
    """
    root = root_of(read_base_url(base_url))
    found = await fetch_catalogue(root, proxy=read_proxy(proxy), ssl=ssl)
    if not found.prices:
        raise AccountError(found.note)
    return Prices(found.prices)
