"""A common hand-written client: backoff's decorator around a POST of aiohttp. *max_tries* makes it end."""

import aiohttp
import backoff


@backoff.on_exception(backoff.expo, aiohttp.ClientError, max_tries=5)
async def submit(http: aiohttp.ClientSession, url: str) -> None:
    async with http.post(url, json={"input": {"prompt": "a paper boat"}}, raise_for_status=True) as answer:
        await answer.json()


async def buy(plain: str, tls: str) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer dummy"}) as http:
        await submit(http, f"http://{plain}/replicate/v1/models/black-forest-labs/flux-schnell/predictions")
