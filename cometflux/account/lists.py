"""Fetch the account's list of tasks and its log, page by page, with the access token."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import attrs

from cometflux.account import routes
from cometflux.account.usage import Entry, Page, Task, mark_of, read_entry, read_page, read_task
from cometflux.errors import AccountError, CometfluxError, ConfigError
from cometflux.protocol.rate_headers import read_clock, read_retry_after
from cometflux.protocol.requests import Request, Response
from cometflux.protocol.responses import is_transient
from cometflux.transport.base import Transport

_PAGE_SIZE = 100
_MOST_PAGES = 2000
_WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each repetition of a request, unless the service names a time."""


def root_of(base_url: str) -> str:
    """Return the URL of the account's routes.

    Raises:
        ConfigError: *base_url* does not show it.
    """
    root = routes.find_root(base_url)
    if root is None:
        allowed = "the account is known for URLs that end in /replicate/v1 only"
        raise ConfigError(setting="base_url", given=base_url, allowed=allowed)
    return root


@attrs.frozen(kw_only=True)
class Listing:
    """The rows of all pages."""

    rows: tuple[Mapping[str, Any], ...]
    is_whole: bool
    """Whether every row that was announced came, and could be read."""


class AccountLists:
    """The account's lists. Every request may be repeated, because none of them changes anything.

    Args:
        transport: sends requests with the access token to the account's root.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.ahead = 0.0
        """How far the account's clock is ahead of ours, in seconds, by its last response that shows it."""

    async def tasks(self, start: float, end: float) -> tuple[list[Task], bool]:
        """Return the tasks between two times, in seconds since 1970, and whether the list is whole.

        Raises:
            AccountError: the list cannot be fetched or read.
        """
        listing = await self._fetch(routes.TASKS, start, end)
        tasks = [read_task(row) for row in listing.rows]
        found = [task for task in tasks if task is not None]
        return found, listing.is_whole and len(found) == len(tasks)

    async def entries(self, start: float, end: float) -> tuple[list[Entry], bool]:
        """Return the rows of the log between two times, in seconds since 1970, and whether the log is whole.

        Raises:
            AccountError: the log cannot be fetched or read.
        """
        listing = await self._fetch(routes.LOG, start, end)
        return [read_entry(row) for row in listing.rows], listing.is_whole

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def _fetch(self, path: str, start: float, end: float) -> Listing:
        # The last moment is fixed, so that rows which come meanwhile do not shift the pages.
        query = {"page_size": _PAGE_SIZE, "start_timestamp": int(start), "end_timestamp": int(end) + 1}
        rows: dict[str, Mapping[str, Any]] = {}
        is_whole = True
        for number in range(1, _MOST_PAGES + 1):
            page = await self._fetch_page(f"{path}?{urlencode({'p': number, **query})}")
            is_whole = is_whole and not page.unread
            before = len(rows)
            rows.update((mark_of(row), row) for row in page.rows)
            is_complete = page.total is not None and len(rows) >= page.total
            # A service that ignores the number sends the same page again.
            if len(rows) == before or is_complete:
                is_repeated = bool(page.rows) and not is_complete
                is_short = page.total is not None and not is_complete
                return Listing(rows=tuple(rows.values()), is_whole=is_whole and not (is_repeated or is_short))
        return Listing(rows=tuple(rows.values()), is_whole=False)

    async def _fetch_page(self, path: str) -> Page:
        error = AccountError("the account does not answer")
        for wait in (*_WAITS, None):
            pause = wait
            try:
                response = await self._transport.send(Request("GET", path))
                if (clock := read_clock(response.headers)) is not None:
                    self.ahead = clock - time.time()
                return _read(response)
            except _TransientError as again:
                error, pause = AccountError(again.problem), again.pause or wait
            except AccountError:
                raise
            except CometfluxError as failure:
                error = AccountError(f"the account cannot be reached: {failure.problem}")
            if wait is not None and pause is not None:
                await asyncio.sleep(pause)
        raise error


class _TransientError(AccountError):
    """The same request may succeed later, after *pause* seconds if that is known."""

    pause: float | None = None


def _read(response: Response) -> Page:
    status = response.status
    if status in (401, 403):
        raise AccountError(
            f"the account rejects the access token (HTTP {status}); "
            "take one from the personal settings of the console: an API key is not an access token",
            setting="access_token",
        )
    if is_transient(status) or response.cut:
        again = _TransientError(
            f"the account's list breaks off: {response.cut}" if response.cut else f"the account answers HTTP {status}"
        )
        again.pause = read_retry_after(response.headers, None, None, time.time())
        raise again
    if status != 200:
        raise AccountError(f"the account has no such list here (HTTP {status})")
    page = read_page(response.body)
    if page.fault is not None:
        raise AccountError(f"the account's list cannot be read: {page.fault}")
    return page
