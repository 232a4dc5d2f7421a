"""Fetch what can still be spent: the balance of the key, and with the access token that of the account."""

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack

from cometflux.account import routes
from cometflux.account.balance import Balance, Funds, read_billing, read_user
from cometflux.account.lists import root_of
from cometflux.errors import AccountError, CometfluxError
from cometflux.protocol.requests import Request
from cometflux.session.settings import read_access_token, read_base_url, read_key, read_proxy
from cometflux.transport.aiohttp import AiohttpTransport
from cometflux.transport.event_loop import running_loop


async def fetch_balance(
    *,
    api_key: str | None = None,
    access_token: str | None = None,
    base_url: str | None = None,
    proxy: str | None = None,
    trust_env: bool = False,
) -> Balance:
    """Fetch how much you can still spend. Nothing is charged, and no request is retried.

    The routes are those of the vendor's own command line, ``cometapi-cli`` 0.3.10. An amount that cannot be read is an
    error, or a note if another part of the balance can be read.

    Args:
        api_key: the key; None for ``COMETAPI_KEY``. Its own limit is one part of the balance.
        access_token: the access token of the account; None for ``COMETAPI_ACCESS_TOKEN``, if it is set. The balance of
            the account is the other part.
        base_url: the URL of the API; None for ``COMETFLUX_BASE_URL``, or CometAPI.
        proxy: the URL of an HTTP proxy; None for a direct connection.
        trust_env: whether to use the proxy that the environment names; see `open_session`.

    Raises:
        ConfigError: there is no key, or a setting is unusable.
        AccountError: no part of the balance can be fetched or read. The message says why.
    """
    running_loop()
    base_url, key = read_base_url(base_url), read_key(api_key)
    root, token = root_of(base_url), read_access_token(access_token, key)
    proxy = read_proxy(proxy, base_url, trust_env=trust_env)
    async with AsyncExitStack() as stack:

        def connect(secret: str) -> AiohttpTransport:
            transport = AiohttpTransport(secret, root, proxy=proxy)
            stack.push_async_callback(transport.aclose)
            return transport

        parts = [_of_key(connect(key))]
        if token is not None:
            parts.append(_of_account(connect(token)))
        found = await asyncio.gather(*(_noted(part) for part in parts))
    funds = tuple(part for part in found if isinstance(part, Funds))
    problems = [part for part in found if isinstance(part, AccountError)]
    if not funds:
        raise problems[0]
    return Balance(parts=funds, notes=tuple(each.problem for each in problems))


_SECRETS = {"api_key": "API key", "access_token": "access token"}


async def _noted(part: Awaitable[Funds]) -> Funds | AccountError:
    try:
        return await part
    except AccountError as error:
        return error


async def _of_key(transport: AiohttpTransport) -> Funds:
    limit = await _fetch(transport, routes.SUBSCRIPTION, "api_key")
    return read_billing(limit, await _fetch(transport, routes.USAGE, "api_key"))


async def _of_account(transport: AiohttpTransport) -> Funds:
    return read_user(await _fetch(transport, routes.USER, "access_token"))


async def _fetch(transport: AiohttpTransport, path: str, setting: str) -> bytes:
    try:
        response = await transport.send(Request("GET", path))
    except CometfluxError as error:
        raise AccountError(f"the balance cannot be fetched: {error.problem}") from error
    if response.status in (401, 403):
        raise AccountError(f"the account rejects the {_SECRETS[setting]} (HTTP {response.status})", setting=setting)
    if response.status != 200:
        raise AccountError(f"the account answers HTTP {response.status} to the request for the balance")
    if response.cut:
        raise AccountError(f"the balance breaks off: {response.cut}")
    return response.body
