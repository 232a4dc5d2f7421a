"""Can the rest of the program run while a batch runs?

A clock ticks every millisecond on the event loop of a fully loaded session, of an equal loop by hand, and on an idle
event loop, which shows the delay of the machine itself. The longest garbage collection is printed with the longest
delay.
"""

import asyncio
import contextlib
import gc
import statistics
import time
from typing import Any

import attrs

from benchmarks import server
from benchmarks.clients import PAIRS, PENDING, Contender

COUNT = 10_000
ROUNDS = 5
TICK = 0.001
IDLE = 3.0
TARGET = 0.7


@attrs.frozen
class Ticks:
    """The delays of the ticks, in seconds."""

    rare: float
    """The 99.9th percentile."""
    longest: float
    collecting: float
    """The longest garbage collection."""


class _Collections:
    """Measures the duration of each garbage collection."""

    def __init__(self) -> None:
        self.longest = self._began = 0.0

    def __call__(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.longest = max(self.longest, time.perf_counter() - self._began)


async def tick_beside(contender: Contender, base_url: str) -> list[float]:
    """Return the delay of each tick, in seconds, while *contender* runs."""
    loop, late = asyncio.get_running_loop(), []

    async def tick() -> None:
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            late.append(loop.time() - due)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await contender(base_url, COUNT)
    ticking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ticking
    return late


def measure(contender: Contender, base_url: str) -> Ticks:
    """Measure the ticks while *contender* runs."""
    gc.collect()
    collections = _Collections()
    gc.callbacks.append(collections)
    late = sorted(asyncio.run(tick_beside(contender, base_url)))
    gc.callbacks.remove(collections)
    return Ticks(late[int(len(late) * 0.999)], late[-1], collections.longest)


async def _nothing(base_url: str, count: int) -> None:
    await asyncio.sleep(IDLE)


def main() -> None:
    server_core = server.divide_cores()
    print(
        f"How late a tick of 1 ms is during a batch of {COUNT}, {PENDING} pending, median of {ROUNDS} pairs: "
        "python -m benchmarks.ticks"
    )
    with server.running(server_core) as base_url:
        pair = PAIRS["a fresh connection for each POST"]
        rounds = [[measure(each, base_url) for each in (*pair, _nothing)] for _ in range(ROUNDS)]
    for name, side in zip(("bare loop", "cometflux", "idle"), zip(*rounds, strict=True), strict=True):
        rare, longest, collecting = (
            statistics.median(each) * 1e3 for each in zip(*map(attrs.astuple, side), strict=True)
        )
        print(f"  {name}: 99.9 % {rare:.1f} ms, longest {longest:.1f} ms, longest collection {collecting:.1f} ms")
    for field, words in (("rare", "99.9 %"), ("longest", "the longest")):
        ratio = statistics.median(getattr(ours, field) / getattr(bare, field) for bare, ours, _ in rounds)
        print(f"  {words}: ratio {ratio:.2f}, wanted {TARGET} at most: {'met' if ratio <= TARGET else 'missed'}")


if __name__ == "__main__":
    main()
