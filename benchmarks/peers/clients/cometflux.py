"""cometflux, as its README shows it."""

from cometflux import flux, open_session


async def buy(plain: str, tls: str) -> None:
    async with open_session(api_key="dummy", base_url=f"http://{plain}/replicate/v1") as session:
        await session.run(flux.Schnell(prompt="a paper boat"))
