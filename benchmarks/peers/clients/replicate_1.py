"""The official client, stable version."""

import asyncio
from pathlib import Path

from httpx import Timeout
from replicate import Client
from replicate.helpers import FileOutput


async def buy(plain: str, tls: str) -> None:
    client = Client(api_token="dummy", base_url=f"http://{plain}")
    await client.async_run("black-forest-labs/flux-schnell", input={"prompt": "a paper boat"})


async def make(origin: str, count: int, pending: int, folder: Path | None) -> None:
    # With the default time-out, thousands of requests at once end in errors.
    client = Client(api_token="dummy", base_url=origin, timeout=Timeout(600))
    slots = asyncio.Semaphore(pending)

    async def one() -> None:
        async with slots:
            prediction = await client.models.predictions.async_create(
                "black-forest-labs/flux-schnell", input={"prompt": "a paper boat"}
            )
            await prediction.async_reload()
            assert prediction.status == "succeeded"
            if folder is not None:
                image = await FileOutput(prediction.output[0], client).aread()
                (folder / f"{prediction.id}.png").write_bytes(image)

    await asyncio.gather(*(one() for _ in range(count)))
