"""The official client, next version."""

import asyncio
from pathlib import Path

from replicate import AsyncFileOutput, AsyncReplicate


async def buy(plain: str, tls: str) -> None:
    async with AsyncReplicate(bearer_token="dummy", base_url=f"http://{plain}/v1") as client:
        await client.run("black-forest-labs/flux-schnell", input={"prompt": "a paper boat"})


async def make(origin: str, count: int, pending: int, folder: Path | None) -> None:
    slots = asyncio.Semaphore(pending)
    # With the default time-out, thousands of requests at once end in errors.
    async with AsyncReplicate(bearer_token="dummy", base_url=f"{origin}/v1", timeout=600) as client:

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
