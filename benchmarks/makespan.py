"""How much longer does a batch take than it would if every end were noticed at once?

A slot is idle from the end of its prediction until a poll notices it, so late polls cost throughput. Prediction times
are lognormal and the same for all contenders. The ideal is the time to run them in the slots without a gap. The times
are not known when a batch begins.
"""

import asyncio
import gc
import heapq
import math
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Coroutine, Sequence

import aiohttp

from benchmarks import server
from cometflux import flux, open_session

COUNT = 2000
MEDIAN, SIGMA = 0.4, 0.3
TARGETS = {64: 1.12, 256: 1.12, 1000: 1.12}
"""The maximum ratio to the ideal, by the number of slots."""
MOST_POLLS = 5.0
ROUNDS = 5
_MODEL = "black-forest-labs/flux-schnell"

Contender = Callable[[str, int], Coroutine[None, None, None]]


def draw(seed: int) -> list[float]:
    """Draw the duration of each prediction, in seconds."""
    chance = random.Random(seed)
    return [MEDIAN * math.exp(SIGMA * chance.gauss(0, 1)) for _ in range(COUNT)]


def ideal(lengths: Sequence[float], slots: int) -> float:
    """Return the duration of the batch, in seconds, if each slot starts its next prediction without delay."""
    free = [0.0] * slots
    for length in lengths:
        heapq.heapreplace(free, free[0] + length)
    return max(free)


def fixed(interval: float) -> Contender:
    """Return a loop by hand that polls at a fixed interval."""

    async def run(base_url: str, slots: int) -> None:
        places = asyncio.Semaphore(slots)

        async def one(http: aiohttp.ClientSession) -> None:
            async with places:
                body = {"input": {"prompt": "a paper boat"}}
                async with http.post(f"{base_url}/models/{_MODEL}/predictions", json=body) as answer:
                    prediction = await answer.json()
                while prediction["status"] != "succeeded":
                    await asyncio.sleep(interval)
                    async with http.get(f"{base_url}/predictions/{prediction['id']}") as answer:
                        prediction = await answer.json()

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            await asyncio.gather(*(one(http) for _ in range(COUNT)))

    return run


async def ours(base_url: str, slots: int) -> None:
    """Run `session.generate` with its defaults."""
    async with open_session(api_key="sk-benchmark", base_url=base_url, max_pending=slots) as session:
        async for outcome in session.generate(flux.Schnell(prompt="a paper boat") for _ in range(COUNT)):
            assert outcome.ok


CONTENDERS: dict[str, Contender] = {
    "a loop by hand, 0.5 s": fixed(0.5),
    "a loop by hand, 0.1 s": fixed(0.1),
    "cometflux": ours,
}


def measure(contender: Contender, slots: int, seed: int, core: int) -> tuple[float, float, float]:
    """Return the ratio to the ideal, the polls per prediction, and the load of the core."""
    lengths = draw(seed)
    poll_count = multiprocessing.get_context("spawn").Value("L")
    gc.collect()
    with server.running(core, lengths=lengths, poll_count=poll_count) as base_url:
        wall, cpu = time.perf_counter(), time.process_time()
        asyncio.run(contender(base_url, slots))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall / ideal(lengths, slots), poll_count.value / COUNT, cpu / wall


def main() -> None:
    server_core = server.divide_cores()
    print(
        f"A batch of {COUNT} predictions that take lognormal({MEDIAN} s, {SIGMA}), compared with one in which every "
        f"end is noticed at once, median of {ROUNDS} (and the worst): python -m benchmarks.makespan"
    )
    for slots, target in TARGETS.items():
        found: dict[str, list[tuple[float, float, float]]] = {title: [] for title in CONTENDERS}
        for seed in range(ROUNDS):
            for title, contender in CONTENDERS.items():
                found[title].append(measure(contender, slots, seed, server_core))
        for title, rounds in found.items():
            ratios, polls, busy = zip(*rounds, strict=True)
            ratio, poll = statistics.median(ratios), statistics.median(polls)
            verdict = "met" if ratio <= target and poll <= MOST_POLLS else "missed"
            is_ours = CONTENDERS[title] is ours
            wanted = f"; wanted {target} at most with {MOST_POLLS:g} at most: {verdict}" if is_ours else ""
            print(
                f"  {slots} slots, {title}: {ratio:.2f} ({max(ratios):.2f}) with {poll:.1f} polls, "
                f"core {statistics.median(busy):.0%} busy{wanted}"
            )


if __name__ == "__main__":
    main()
