"""The official client, as its next version is going to be."""

from replicate import AsyncReplicate


async def buy(plain: str, tls: str) -> None:
    async with AsyncReplicate(bearer_token="dummy", base_url=f"http://{plain}/v1") as client:
        await client.run("black-forest-labs/flux-schnell", input={"prompt": "a paper boat"})
