"""The official client, next version, over its aiohttp transport."""

import asyncio

from replicate import AsyncReplicate, DefaultAioHttpClient


async def make(host: str, count: int, pending: int) -> None:
    slots = asyncio.Semaphore(pending)
    url = f"http://{host}/v1"
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

        await asyncio.gather(*(one() for _ in range(count)))
