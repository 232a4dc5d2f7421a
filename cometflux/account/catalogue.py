"""Fetch the service's public catalogue of models for its prices, within seconds and without the key.

The prices are for estimates only. So no fault of the catalogue is an error: there are fewer prices, and one note.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import attrs

from cometflux.account import routes
from cometflux.account.catalogue_reader import CataloguePage, read_page, read_rows
from cometflux.account.prices import Catalogue
from cometflux.errors import CometfluxError
from cometflux.protocol.requests import Request
from cometflux.transport.aiohttp import LARGEST_RESPONSE, AiohttpTransport

_LONGEST = 5.0
"""How long the catalogue may take altogether, in seconds."""
LARGEST_CATALOGUE = 2 * LARGEST_RESPONSE
"""Maximum bytes that are read of all pages together."""
_MOST_PAGES = 50


async def fetch_catalogue(root: str, *, proxy: str | None = None, ssl: Any = None) -> Catalogue:
    """Fetch and read all pages of the catalogue below *root*, the URL of the account's routes.

    Args:
        root: the URL, without a slash at the end.
        proxy: the URL of an HTTP proxy; None for a direct connection.
        ssl: an ``ssl.SSLContext`` with your certificates; None for the usual ones.
    """
    # The smallest largest output, because data URIs would count beside the bytes of a response.
    transport = AiohttpTransport(None, root, proxy=proxy, ssl=ssl, largest_output=1)
    pages = _Pages(transport)
    fault: str | None = None
    try:
        async with asyncio.timeout(_LONGEST):
            fault = await pages.fetch()
    except TimeoutError:
        fault = f"it did not arrive within {_LONGEST:g} s"
    finally:
        await transport.aclose()
    found = read_rows(pages.rows)
    if fault is None:
        return found if found.prices else attrs.evolve(found, note="the price catalogue has no prices")
    return attrs.evolve(found, note=f"the price catalogue cannot be read{' whole' if found.prices else ''}: {fault}")


class _Pages:
    """The pages that have come.

    Args:
        transport: sends the requests, without a key.
    """

    def __init__(self, transport: AiohttpTransport) -> None:
        self._transport = transport
        self._size = 0
        self.rows: list[Mapping[str, Any]] = []

    async def fetch(self) -> str | None:
        """Fetch all pages; return why some are missing, None if none is."""
        path, known = routes.CATALOGUE, set[str]()
        for number in range(2, _MOST_PAGES + 2):
            page = await self._fetch_page(path)
            if page.fault is not None:
                return page.fault
            self.rows += page.rows
            if page.total is None or len(self.rows) >= page.total:
                return None
            names = {repr(row.get("id")) for row in page.rows}
            # A service that ignores the number sends the same page again.
            if names <= known:
                break
            known |= names
            path = f"{routes.CATALOGUE}?{urlencode({'page': number, 'page_size': len(page.rows)})}"
        return "models that it announces are missing"

    async def _fetch_page(self, path: str) -> CataloguePage:
        left = LARGEST_CATALOGUE - self._size
        try:
            response = await self._transport.send(Request("GET", path, echo=left - LARGEST_RESPONSE))
        except CometfluxError as error:
            return CataloguePage(fault=error.problem)
        self._size += len(response.body)
        if response.status != 200:
            return CataloguePage(fault=f"the service answers HTTP {response.status}")
        if response.cut:
            return CataloguePage(fault=f"it breaks off: {response.cut}")
        return read_page(response.body)
