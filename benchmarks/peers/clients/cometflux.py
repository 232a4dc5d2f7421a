"""cometflux, as its README shows it."""

from pathlib import Path

from cometflux import PollPolicy, flux, open_session


async def buy(plain: str, tls: str) -> None:
    async with open_session(api_key="dummy", base_url=f"http://{plain}/replicate/v1") as session:
        await session.run(flux.Schnell(prompt="a paper boat"))


async def make(origin: str, count: int, pending: int, folder: Path | None) -> None:
    session = open_session(
        api_key="dummy",
        base_url=f"{origin}/replicate/v1",
        max_pending=pending,
        poll_policy=PollPolicy.every(1e-6),
    )
    async with session:
        jobs = (flux.Schnell(prompt="a paper boat") for _ in range(count))
        async for outcome in session.generate(jobs, save_to=folder):
            assert outcome.ok
