"""The official client, stable."""

from replicate import Client


async def buy(plain: str, tls: str) -> None:
    client = Client(api_token="dummy", base_url=f"http://{plain}")
    await client.async_run("black-forest-labs/flux-schnell", input={"prompt": "a paper boat"})
