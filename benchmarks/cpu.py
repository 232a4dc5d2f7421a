"""How much CPU does a completed prediction cost (one POST, one GET, no latency), compared with a loop by hand?"""

import asyncio
import gc
import statistics
import time

from benchmarks import server
from benchmarks.clients import PAIRS, PENDING, Contender

COUNT = 4000
ROUNDS = 5
TARGET = 1.1


def measure(contender: Contender, base_url: str, count: int) -> tuple[float, float]:
    """Return the CPU seconds per prediction, and the load of the core."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(contender(base_url, count))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return cpu / count, cpu / wall


def main() -> None:
    server_core = server.divide_cores()
    print(f"CPU per completed prediction, {PENDING} pending, {COUNT} predictions, median of {ROUNDS} pairs")
    with server.running(server_core) as base_url:
        for title, (bare, ours) in PAIRS.items():
            for contender in (bare, ours):
                measure(contender, base_url, COUNT // 4)  # warm up imports and caches
            pairs = [[measure(contender, base_url, COUNT) for contender in (bare, ours)] for _ in range(ROUNDS)]
            costs = [statistics.median(cost for cost, _ in side) * 1e6 for side in zip(*pairs, strict=True)]
            busy = min(busy for pair in pairs for _, busy in pair)
            ratio = statistics.median(ours[0] / bare[0] for bare, ours in pairs)
            print(
                f"  {title}: bare loop {costs[0]:.0f} µs, cometflux {costs[1]:.0f} µs, ratio {ratio:.2f}, "
                f"wanted {TARGET} at most: {'met' if ratio <= TARGET else 'missed'}"
            )
            print(f"    client core at least {busy:.0%} busy")


if __name__ == "__main__":
    main()
