"""How much memory does a pending prediction take, beside the connections and the caller's own job?

Every byte that Python allocates while so many predictions are handed over and accepted, and none of them ends; over a
transport without sockets. What the jobs alone take, made and kept in a list, is taken off. A loop by hand that keeps
what the service answered and sleeps, one task for each, stands beside it. Each in a process of its own.
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
    """Return the bytes that a session takes when *count* predictions are pending, with their jobs."""
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
    """Return the bytes that a task for each takes, with the jobs."""
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
    """Return the bytes that the jobs take."""
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
    """Return the bytes for each prediction."""
    command = [sys.executable, "-m", "benchmarks.memory", title, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return float(done.stdout) / count


def main() -> None:
    if len(sys.argv) == 3:
        tracemalloc.start()
        print(asyncio.run(CONTENDERS[sys.argv[1]](int(sys.argv[2]))))
        return
    print("Memory per pending prediction, beside the connections and the job: python -m benchmarks.memory")
    for count in COUNTS:
        mine, theirs, jobs_alone = (measure(title, count) for title in CONTENDERS)
        verdict = "met" if mine - jobs_alone <= TARGET else "missed"
        print(
            f"  {count} pending: cometflux {mine - jobs_alone:.0f} bytes, wanted are {TARGET} at most: {verdict}; "
            f"a sleeping task for each {theirs - jobs_alone:.0f}; the job itself {jobs_alone:.0f}"
        )


if __name__ == "__main__":
    main()
