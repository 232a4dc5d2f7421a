"""How much throughput does a journal cost a fully loaded session (one POST, one GET, no latency)?

TMPDIR chooses the disk.
"""

import asyncio
import gc
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import server
from benchmarks.clients import PENDING, shipped

COUNT = 2500
ROUNDS = 7
WANTED_RATE = 0.8
WANTED_COST = 1.15


def measure(base_url: str, count: int, *, is_kept: bool) -> tuple[float, float, float]:
    """Return the predictions per second, the CPU seconds per prediction, and the load of the core."""
    gc.collect()
    with TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        asyncio.run(shipped(base_url, count, Path(folder) if is_kept else None))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return count / wall, cpu / count, cpu / wall


def main() -> None:
    server_core = server.divide_cores()
    print(
        f"A session with a journal compared with one without, {PENDING} pending, {COUNT} predictions, "
        f"median of {ROUNDS} pairs: python -m benchmarks.journalled"
    )
    with server.running(server_core) as base_url:
        for is_kept in (False, True):
            measure(base_url, COUNT // 4, is_kept=is_kept)  # warm up imports and caches
        pairs = [[measure(base_url, COUNT, is_kept=is_kept) for is_kept in (False, True)] for _ in range(ROUNDS)]
    for title, side in zip(("without", "with"), zip(*pairs, strict=True), strict=True):
        rate, cost, busy = (statistics.median(each) for each in zip(*side, strict=True))
        print(f"  {title}: {rate:.0f} predictions/s, {cost * 1e6:.0f} µs of CPU each, client core {busy:.0%} busy")
    ratio = statistics.median(kept[0] / bare[0] for bare, kept in pairs)
    cost = statistics.median(kept[1] / bare[1] for bare, kept in pairs)
    verdict = "met" if ratio >= WANTED_RATE else "missed"
    print(f"  {ratio:.2f} of the throughput without, wanted {WANTED_RATE} at least: {verdict}")
    verdict = "met" if cost <= WANTED_COST else "missed"
    print(f"  {cost:.2f} of the CPU without, wanted {WANTED_COST} at most: {verdict}")


if __name__ == "__main__":
    main()
