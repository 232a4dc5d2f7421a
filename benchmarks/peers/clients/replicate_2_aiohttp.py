"""The official client, next version, over its aiohttp transport."""

import asyncio
from pathlib import Path

from replicate import AsyncFileOutput, AsyncReplicate, DefaultAioHttpClient


async def make(origin: str, count: int, pending: int, folder: Path | None) -> None:
    slots = asyncio.Semaphore(pending)
    url = f"{origin}/v1"
    async with AsyncReplicate(
        bearer_token="dummy", base_url=url, timeout=600, http_client=DefaultAioHttpClient()
    ) as client:

        async def one() -> None:
            async with slots:
                prediction = await client.models.predictions.create(
                    model_owner="black-forest-labs", model_name="flux-schnell", input={"prompt": "a paper boat"}
                )
                prediction = await client.predictions.get(prediction_id=prediction.id)
                assert prediction.status == "succeeded"
                if folder is not None:
                    image = await AsyncFileOutput(prediction.output[0], client).read()
                    (folder / f"{prediction.id}.png").write_bytes(image)

        await asyncio.gather(*(one() for _ in range(count)))
