"""The contenders: a hand-written loop and `session.generate`, each with new and with reused connections for POSTs."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from cometflux import PollPolicy, Session, flux, open_session
from cometflux.journal.writer import JournalWriter
from cometflux.protocol.requests import Request, Response

PENDING = 1000
_AUTHORIZATION = {"Authorization": "Bearer sk-benchmark"}
_MODEL = "black-forest-labs/flux-schnell"


async def bare(base_url: str, count: int, *, is_fresh: bool, pending: int = PENDING, ssl: Any = True) -> None:
    """Run a loop as a person would write it: a semaphore, a POST, a GET."""
    slots = asyncio.Semaphore(pending)
    close = {"Connection": "close"} if is_fresh else {}

    async def one(http: aiohttp.ClientSession) -> None:
        async with slots:
            body = {"input": {"prompt": "a paper boat"}}
            async with http.post(f"{base_url}/models/{_MODEL}/predictions", json=body, headers=close) as answer:
                prediction = await answer.json()
            async with http.get(f"{base_url}/predictions/{prediction['id']}") as answer:
                prediction = await answer.json()
            assert prediction["status"] == "succeeded"

    connector = aiohttp.TCPConnector(limit=0, ssl=ssl)
    async with aiohttp.ClientSession(connector=connector, headers=_AUTHORIZATION) as http:
        await asyncio.gather(*(one(http) for _ in range(count)))


async def shipped(
    base_url: str, count: int, journal: Path | JournalWriter | None = None, pending: int = PENDING, ssl: Any = None
) -> None:
    """Run `session.generate` as it is, with a new connection for each POST."""
    session = open_session(
        api_key="sk-benchmark", base_url=base_url, max_pending=pending, poll_policy=_AT_ONCE, journal=journal, ssl=ssl
    )
    await _generate(session, count)


async def pooled(base_url: str, count: int, pending: int = PENDING) -> None:
    """Run `session.generate` over a transport that also reuses connections for POSTs."""
    await _generate(Session(_Pooled(base_url), max_pending=pending, poll_policy=_AT_ONCE), count)


_AT_ONCE = PollPolicy.every(1e-6)


async def _generate(session: Session, count: int) -> None:
    async with session:
        async for outcome in session.generate(flux.Schnell(prompt="a paper boat") for _ in range(count)):
            assert outcome.ok


class _Pooled:
    """A transport with one HTTP session for all requests."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._http: aiohttp.ClientSession | None = None

    async def submit(self, request: Request) -> Response:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                headers=_AUTHORIZATION,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                auto_decompress=False,
            )
        url = URL(self._base_url + request.path, encoded=True)
        async with self._http.request(request.method, url, data=request.body) as answer:
            return Response(status=answer.status, headers=answer.headers, body=await answer.read())

    send = submit

    async def download(self, url: str) -> bytes:
        raise AssertionError("nothing is saved here")

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.close()


Contender = Callable[[str, int], Coroutine[None, None, None]]

PAIRS: dict[str, tuple[Contender, Contender]] = {
    "a fresh connection for each POST": (lambda url, count: bare(url, count, is_fresh=True), shipped),
    "connections reused": (lambda url, count: bare(url, count, is_fresh=False), pooled),
}
