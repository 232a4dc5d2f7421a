"""The official client of a service that returns images in the response itself."""

from openai import AsyncOpenAI


async def buy(plain: str, tls: str) -> None:
    async with AsyncOpenAI(api_key="dummy", base_url=f"http://{plain}/v1") as client:
        await client.images.generate(model="flux-schnell", prompt="a paper boat")
