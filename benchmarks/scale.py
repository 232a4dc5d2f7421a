"""Can a session run a million jobs from a generator, and thousands of tasks that await one job each?

Runs over a transport without sockets. It takes some minutes, so ``make bench`` does not run it; run
``python -m benchmarks.scale``.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.instant import Instant
from cometflux import PollPolicy, Session, flux

JOBS = 1_000_000
PENDING = 1000
TASKS = 20_000
LOOKS = 10
MOST_GROWTH = 2 * 2**20
"""The maximum growth of memory over a million jobs, in bytes."""
_AT_ONCE = PollPolicy.every(1e-6)


async def stream() -> AsyncIterator[int]:
    """Run very many jobs; yield the memory of the process at intervals, in bytes."""
    async with Session(Instant(), max_pending=PENDING, poll_policy=_AT_ONCE) as session:
        count = 0
        async for outcome in session.generate(flux.Schnell(prompt="a paper boat") for _ in range(JOBS)):
            assert outcome.ok
            count += 1
            if count % (JOBS // LOOKS) == 0:
                yield _memory()
        assert count == JOBS


async def crowd() -> float:
    """Let very many tasks await a job each; return the duration in seconds."""
    async with Session(Instant(), max_pending=PENDING, poll_policy=_AT_ONCE) as session:
        start = time.perf_counter()
        await asyncio.gather(*(session.run(flux.Schnell(prompt="a paper boat")) for _ in range(TASKS)))
        return time.perf_counter() - start


def _memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


async def _look() -> list[int]:
    return [size async for size in stream()]


def main() -> None:
    print("Scale: python -m benchmarks.scale")
    start = time.perf_counter()
    sizes = asyncio.run(_look())
    seconds, growth = time.perf_counter() - start, max(sizes) - sizes[0]
    print(
        f"  {JOBS} jobs from a generator, {PENDING} pending: {seconds:.0f} s; memory {sizes[0] / 2**20:.0f} MiB after "
        f"a tenth, {growth / 2**20:.1f} MiB more at the most: {'met' if growth <= MOST_GROWTH else 'missed'}"
    )
    print(f"  {TASKS} tasks that await a job each, {PENDING} pending: {asyncio.run(crowd()):.0f} s")


if __name__ == "__main__":
    main()
