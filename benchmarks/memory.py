"""How much memory does a pending prediction take, without the connections and the caller's own job?

Counts the bytes that Python allocates while predictions are submitted and accepted, and none ends, over a transport
without sockets. The bytes of the jobs alone, kept in a list, are subtracted. The comparison is a loop by hand with a
sleeping task per prediction that keeps the response. Each contender has its own process.
"""

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator

from benchmarks.instant import Instant
from cometflux import Job, PollPolicy, Session, flux
from cometflux.protocol.requests import Request

COUNTS = (10_000, 50_000)
TARGET = 2000
_NEVER = 1e6


def jobs(count: int) -> Iterator[Job]:
    return (Job.of(flux.Schnell(prompt=f"{number} paper boats")) for number in range(count))


async def ours(count: int) -> float:
    """Return the bytes of a session with *count* pending predictions, including their jobs."""
    transport = Instant(is_over=False)
    async with Session(transport, max_pending=count, poll_policy=PollPolicy.every(_NEVER), grace=0.1) as session:
        before = _allocated()
        batch = session.generate(jobs(count))
        waiting = asyncio.ensure_future(anext(batch))
        await transport.accepted(count)
        taken = _allocated() - before
        waiting.cancel()
    return taken


async def bare(count: int) -> float:
    """Return the bytes of a task per prediction, including the jobs."""
    transport = Instant(is_over=False)

    async def one(job: Job) -> None:
        body = json.dumps({"input": dict(job.input)}).encode()
        answer = await transport.submit(Request("POST", f"/models/{job.model}/predictions", body))
        prediction = json.loads(answer.body)
        await asyncio.sleep(_NEVER)
        assert prediction["status"] == "succeeded"

    before = _allocated()
    tasks = [asyncio.create_task(one(job)) for job in jobs(count)]
    await transport.accepted(count)
    taken = _allocated() - before
    for task in tasks:
        task.cancel()
    return taken


async def alone(count: int) -> float:
    """Return the bytes of the jobs alone."""
    before = _allocated()
    kept = list(jobs(count))
    taken = _allocated() - before
    del kept
    return taken


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


CONTENDERS = {"ours": ours, "bare": bare, "alone": alone}


def measure(title: str, count: int) -> float:
    """Return the bytes per prediction."""
    command = [sys.executable, "-m", "benchmarks.memory", title, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return float(done.stdout) / count


def main() -> None:
    if len(sys.argv) == 3:
        tracemalloc.start()
        print(asyncio.run(CONTENDERS[sys.argv[1]](int(sys.argv[2]))))
        return
    print("Memory per pending prediction, without the connections and the job: python -m benchmarks.memory")
    for count in COUNTS:
        mine, theirs, jobs_alone = (measure(title, count) for title in CONTENDERS)
        verdict = "met" if mine - jobs_alone <= TARGET else "missed"
        print(
            f"  {count} pending: cometflux {mine - jobs_alone:.0f} bytes, wanted {TARGET} at most: {verdict}; "
            f"a sleeping task for each {theirs - jobs_alone:.0f}; the job itself {jobs_alone:.0f}"
        )


if __name__ == "__main__":
    main()
