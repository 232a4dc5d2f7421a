"""The official client of a service whose images come in the answer itself."""

from openai import AsyncOpenAI


async def buy(plain: str, tls: str) -> None:
    async with AsyncOpenAI(api_key="dummy", base_url=f"http://{plain}/v1") as client:
        await client.images.generate(model="flux-schnell", prompt="a paper boat")
