"""A common hand-written client: gather over aiohttp, with a semaphore."""

import asyncio
from pathlib import Path

import aiohttp


async def make(origin: str, count: int, pending: int, folder: Path | None) -> None:
    slots = asyncio.Semaphore(pending)

    async def one(http: aiohttp.ClientSession) -> None:
        async with slots:
            url = f"{origin}/replicate/v1/models/black-forest-labs/flux-schnell/predictions"
            async with http.post(url, json={"input": {"prompt": "a paper boat"}}) as answer:
                prediction = await answer.json()
            async with http.get(f"{origin}/replicate/v1/predictions/{prediction['id']}") as answer:
                prediction = await answer.json()
            assert prediction["status"] == "succeeded"
            if folder is not None:
                async with http.get(prediction["output"][0]) as answer:
                    image = await answer.read()
                await asyncio.to_thread((folder / f"{prediction['id']}.png").write_bytes, image)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer dummy"}) as http:
        await asyncio.gather(*(one(http) for _ in range(count)))
