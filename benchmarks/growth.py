"""Does a prediction cost more where many others are pending?

CPU time of so many ends, each with the submission that takes its place, while that many are pending; over a transport
without sockets, so that nothing hides what the session itself adds.
"""

import asyncio
import gc
import statistics
import time

from benchmarks.instant import Instant
from cometflux import PollPolicy, Session, flux

FEW, MANY = 500, 50_000
ENDS = 10_000
RATE = 2000
"""Ends per second; the interval between questions follows from it."""
ROUNDS = 5
TARGET = 1.2


async def measure(pending: int) -> float:
    """Return the CPU seconds of each end while so many are pending."""
    policy = PollPolicy.every(pending / RATE)
    async with Session(Instant(), max_pending=pending, poll_policy=policy, grace=0.01) as session:
        batch = session.generate(flux.Schnell(prompt="a paper boat") for _ in range(2 * pending + 2 * ENDS))
        async for _ in batch:
            if session.accounting["succeeded"] >= min(pending, ENDS) // 10:
                break
        cpu = time.process_time()
        for _ in range(ENDS):
            await anext(batch)
        return (time.process_time() - cpu) / ENDS


def _run(pending: int) -> float:
    gc.collect()
    return asyncio.run(measure(pending))


def main() -> None:
    print(
        f"CPU per prediction with {FEW} and with {MANY} pending, {ENDS} ends, median of {ROUNDS} pairs: "
        "python -m benchmarks.growth"
    )
    pairs = [(_run(FEW), _run(MANY)) for _ in range(ROUNDS)]
    few, many = (statistics.median(side) * 1e6 for side in zip(*pairs, strict=True))
    ratio = statistics.median(many / few for few, many in pairs)
    verdict = "met" if ratio <= TARGET else "missed"
    print(f"  {few:.0f} µs and {many:.0f} µs, ratio {ratio:.2f}, wanted is {TARGET} at most: {verdict}")


if __name__ == "__main__":
    main()
