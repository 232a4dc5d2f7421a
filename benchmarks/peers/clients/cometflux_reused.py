"""cometflux over a transport that also reuses connections for POSTs, which is faster but may pay twice."""

from pathlib import Path

import aiohttp
from yarl import URL

from cometflux import PollPolicy, Session, flux
from cometflux.protocol.requests import Request, Response


class _Reusing:
    def __init__(self, origin: str) -> None:
        self._origin = origin
        connector = aiohttp.TCPConnector(limit=0)
        self._http = aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer dummy"})

    async def submit(self, request: Request) -> Response:
        url = URL(f"{self._origin}/replicate/v1{request.path}", encoded=True)
        async with self._http.request(request.method, url, data=request.body) as answer:
            return Response(status=answer.status, headers=answer.headers, body=await answer.read())

    send = submit

    async def download(self, url: str) -> bytes:
        raise AssertionError("nothing is saved here")

    async def aclose(self) -> None:
        await self._http.close()


async def make(origin: str, count: int, pending: int, folder: Path | None) -> None:
    async with Session(_Reusing(origin), max_pending=pending, poll_policy=PollPolicy.every(1e-6)) as session:
        async for outcome in session.generate(flux.Schnell(prompt="a paper boat") for _ in range(count)):
            assert outcome.ok
