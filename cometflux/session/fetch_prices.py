"""Fetch the prices of the service's public catalogue, for a session."""

from typing import Any

from cometflux.account.catalogue import fetch_catalogue
from cometflux.account.lists import root_of
from cometflux.account.prices import Prices
from cometflux.errors import AccountError
from cometflux.session.settings import read_base_url, read_proxy
from cometflux.transport.event_loop import running_loop


async def fetch_prices(
    *, base_url: str | None = None, proxy: str | None = None, trust_env: bool = False, ssl: Any = None
) -> Prices:
    """Fetch the prices of CometAPI's public catalogue, for ``open_session(prices=…)``. No key is needed or sent.

    The prices are estimates: the catalogue does not say whether its price already includes the discount, so the higher
    price counts. Fetching takes at most 5 seconds. ``{**await fetch_prices(), "owner/name": 0.04}`` replaces one of
    them by a price of yours.

    Args:
        base_url: the API's URL; else ``COMETFLUX_BASE_URL``, then ``https://api.cometapi.com/replicate/v1``.
        proxy: the URL of an HTTP proxy; None for a direct connection.
        trust_env: whether to use the proxy that the environment names; see `open_session`.
        ssl: an ``ssl.SSLContext`` with your certificates; None for the usual ones.

    Raises:
        ConfigError: *base_url* or another argument is unusable.
        AccountError: the catalogue has no prices, or cannot be read.
    """
    running_loop()
    base_url = read_base_url(base_url)
    proxy = read_proxy(proxy, base_url, trust_env=trust_env)
    found = await fetch_catalogue(root_of(base_url), proxy=proxy, ssl=ssl)
    if not found.prices:
        raise AccountError(found.note)
    return Prices(found.prices)
