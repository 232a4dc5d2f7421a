"""cometflux, as its README shows it."""

from cometflux import PollPolicy, flux, open_session


async def buy(plain: str, tls: str) -> None:
    async with open_session(api_key="dummy", base_url=f"http://{plain}/replicate/v1") as session:
        await session.run(flux.Schnell(prompt="a paper boat"))


async def make(host: str, count: int, pending: int) -> None:
    session = open_session(
        api_key="dummy",
        base_url=f"http://{host}/replicate/v1",
        max_pending=pending,
        poll_policy=PollPolicy.every(1e-6),
    )
    async with session:
        async for outcome in session.generate(flux.Schnell(prompt="a paper boat") for _ in range(count)):
            assert outcome.ok
