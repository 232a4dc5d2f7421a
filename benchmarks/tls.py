"""What does a fresh TLS connection for each POST cost, compared with loops by hand, and how long does a POST take?

The CPU is that of a completed prediction (one POST, one GET, no latency). The POST's time is counted in round trips to
a server that is far away.
"""

import asyncio
import gc
import ssl
import statistics
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import trustme

from benchmarks import server
from benchmarks.clients import Contender, bare, shipped
from benchmarks.distance import ROUND_TRIP, far_away
from cometflux import PollPolicy, Session, flux
from cometflux.protocol.requests import Request, Response
from cometflux.transport.aiohttp import AiohttpTransport

PENDING = 100
COUNT = 1500
ROUNDS = 5
TARGET = 1.1
"""The CPU of a prediction, compared with a loop that opens a connection for each POST."""
FAR_PENDING = 16
FAR_COUNT = 160
LENGTH = 0.8
"""Seconds that a far prediction takes."""
TARGET_OF_POSTS = 1.2
"""How long a POST takes, compared with a loop that reuses connections: one round trip, and what a busy machine adds."""


def measure(contender: Contender, base_url: str, count: int) -> float:
    """Return the CPU seconds per prediction."""
    gc.collect()
    cpu = time.process_time()
    asyncio.run(contender(base_url, count))
    return (time.process_time() - cpu) / count


def show_cpu(base_url: str, tls: ssl.SSLContext) -> None:
    """Print the CPU per prediction of each contender."""
    contenders: dict[str, Contender] = {
        "a loop that reuses connections": partial(bare, is_fresh=False, pending=PENDING, ssl=tls),
        "a loop with a connection for each POST": partial(bare, is_fresh=True, pending=PENDING, ssl=tls),
        "cometflux": partial(shipped, pending=PENDING, ssl=tls),
    }
    for contender in contenders.values():
        measure(contender, base_url, COUNT // 4)  # warm up imports and caches
    rounds = [[measure(each, base_url, COUNT) for each in contenders.values()] for _ in range(ROUNDS)]
    for title, costs in zip(contenders, zip(*rounds, strict=True), strict=True):
        print(f"  {title}: {statistics.median(costs) * 1e3:.2f} ms")
    ratio = statistics.median(ours / fresh for _, fresh, ours in rounds)
    verdict = "met" if ratio <= TARGET else "missed"
    print(f"  cometflux divided by the loop with a connection for each POST {ratio:.2f}, wanted {TARGET}: {verdict}")


async def post_by_hand(base_url: str, tls: ssl.SSLContext, *, is_fresh: bool) -> list[float]:
    """Return how long each POST of a loop by hand takes, in seconds."""
    slots, times = asyncio.Semaphore(FAR_PENDING), list[float]()
    headers = {"Authorization": "Bearer sk-benchmark", **({"Connection": "close"} if is_fresh else {})}

    async def one(http: aiohttp.ClientSession) -> None:
        async with slots:
            start = time.perf_counter()
            url = f"{base_url}/models/black-forest-labs/flux-schnell/predictions"
            async with http.post(url, json={"input": {"prompt": "a paper boat"}}, headers=headers) as answer:
                await answer.read()
            times.append(time.perf_counter() - start)
            await asyncio.sleep(LENGTH)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=tls)) as http:
        await asyncio.gather(*(one(http) for _ in range(FAR_COUNT)))
    return times


class _Timed(AiohttpTransport):
    """Notes how long each submission takes."""

    def __init__(self, *values: Any, times: list[float], **options: Any) -> None:
        super().__init__(*values, **options)
        self._seconds = times

    async def submit(self, request: Request) -> Response:
        start = time.perf_counter()
        response = await super().submit(request)
        self._seconds.append(time.perf_counter() - start)
        return response


async def post(base_url: str, tls: ssl.SSLContext) -> list[float]:
    """Return how long each POST of a session takes, in seconds."""
    times = list[float]()
    transport = _Timed("sk-benchmark", base_url, ssl=tls, times=times)
    async with Session(transport, max_pending=FAR_PENDING, poll_policy=PollPolicy.every(0.1)) as session:
        async for outcome in session.generate(flux.Schnell(prompt="a paper boat") for _ in range(FAR_COUNT)):
            assert outcome.ok
    return times


def show_posts(base_url: str, tls: ssl.SSLContext) -> None:
    """Print how many round trips a POST takes."""

    def count(title: str, times: Sequence[float]) -> float:
        trips = statistics.median(times) / ROUND_TRIP
        most = statistics.quantiles(times, n=10)[-1] / ROUND_TRIP
        print(f"  {title}: a POST takes {trips:.2f} round trips of {ROUND_TRIP * 1e3:.0f} ms, one in ten {most:.2f}")
        return trips

    reused = count("a loop that reuses connections", asyncio.run(post_by_hand(base_url, tls, is_fresh=False)))
    count("a loop with a connection for each POST", asyncio.run(post_by_hand(base_url, tls, is_fresh=True)))
    ratio = count("cometflux", asyncio.run(post(base_url, tls))) / reused
    verdict = "met" if ratio <= TARGET_OF_POSTS else "missed"
    print(f"  cometflux divided by the loop that reuses connections {ratio:.2f}, wanted {TARGET_OF_POSTS}: {verdict}")


def main() -> None:
    server_core = server.divide_cores()
    print(f"TLS, {PENDING} pending, {COUNT} predictions, median of {ROUNDS} rounds: python -m benchmarks.tls")
    authority = trustme.CA()
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    with TemporaryDirectory() as folder:
        certificate = Path(folder) / "server.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
        with server.running(server_core, certificate=str(certificate)) as base_url:
            show_cpu(base_url, tls)
        far = server.running(server_core, lengths=[LENGTH], certificate=str(certificate))
        with far as base_url, far_away(base_url) as far_url:
            show_posts(far_url, tls)


if __name__ == "__main__":
    main()
