"""Does a prediction cost more when many others are pending?

Measures the CPU time of a number of ends, each with the submission that replaces it, at a given number of pending
predictions. It runs once over HTTP, and once over a transport without sockets, which shows the session alone. The
growth that remains there is Python's garbage collector, which sometimes traverses all pending objects.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Callable

from benchmarks import server
from benchmarks.instant import Instant
from cometflux import PollPolicy, Session, flux, open_session

FEW, MANY = 500, 50_000
ENDS = 10_000
RATE = 1500
"""Ends per second, which sets the poll interval."""
ROUNDS = 5
TARGET = 1.2

Open = Callable[[int, PollPolicy], Session]


async def measure(opened: Open, pending: int) -> float:
    """Return the CPU seconds per end with *pending* predictions pending."""
    async with opened(pending, PollPolicy.every(pending / RATE)) as session:
        batch = session.generate(flux.Schnell(prompt="a paper boat") for _ in range(2 * pending + 2 * ENDS))
        for _ in range(ENDS // 10):
            await anext(batch)
        cpu = time.process_time()
        for _ in range(ENDS):
            await anext(batch)
        return (time.process_time() - cpu) / ENDS


def _run(opened: Open, pending: int) -> float:
    gc.collect()
    return asyncio.run(measure(opened, pending))


def compare(title: str, opened: Open, rounds: int) -> float:
    """Print the cost of a prediction among few and among many; return the ratio."""
    pairs = [(_run(opened, FEW), _run(opened, MANY)) for _ in range(rounds)]
    few, many = (statistics.median(side) * 1e6 for side in zip(*pairs, strict=True))
    ratio = statistics.median(many / few for few, many in pairs)
    print(f"  {title}: {few:.0f} µs and {many:.0f} µs, ratio {ratio:.2f}", flush=True)
    return ratio


def main() -> None:
    server_core = server.divide_cores()
    print(
        f"CPU per prediction with {FEW} and with {MANY} pending, {ENDS} ends, median of {ROUNDS} pairs: "
        "python -m benchmarks.growth"
    )
    with server.running(server_core) as base_url:

        def shipped(pending: int, policy: PollPolicy) -> Session:
            return open_session(api_key="sk-benchmark", base_url=base_url, max_pending=pending, poll_policy=policy)

        ratio = compare("as shipped", shipped, ROUNDS)
    print(f"    wanted {TARGET} at most: {'met' if ratio <= TARGET else 'missed'}")
    compare("without sockets", lambda pending, policy: Session(Instant(), max_pending=pending, poll_policy=policy), 3)


if __name__ == "__main__":
    main()
