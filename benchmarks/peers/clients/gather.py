"""A common hand-written client: gather over aiohttp, with a semaphore."""

import asyncio

import aiohttp


async def make(host: str, count: int, pending: int) -> None:
    slots = asyncio.Semaphore(pending)

    async def one(http: aiohttp.ClientSession) -> None:
        async with slots:
            url = f"http://{host}/replicate/v1/models/black-forest-labs/flux-schnell/predictions"
            async with http.post(url, json={"input": {"prompt": "a paper boat"}}) as answer:
                prediction = await answer.json()
            async with http.get(f"http://{host}/replicate/v1/predictions/{prediction['id']}") as answer:
                prediction = await answer.json()
            assert prediction["status"] == "succeeded"

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer dummy"}) as http:
        await asyncio.gather(*(one(http) for _ in range(count)))
