"""Saving on the workers of a Dask cluster: the CPU of the driver, the first POST, and the rate at a known limit.

The scheduler and two workers have processes of their own. Needs the extra ``distributed``.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import statistics
import time
import urllib.request
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import server
from benchmarks.pictures import Pictures
from cometflux import PollPolicy, flux, open_session

COUNT = 1500
ROUNDS = 5
SIZE = 200_000
PENDING = 256
SETTLED = 5.0
"""Seconds after the first submission from which the rate is measured."""

DRIVER, FIRST, MEAN, WORST = 1.4, 8.0, 0.95, 1.05
"""What is wanted: the CPU of the driver as a ratio, the first POST in seconds, and two shares of a known limit."""


def _serve_cluster(pipe: Connection) -> None:
    import distributed

    with distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster:
        pipe.send(cluster.scheduler_address)
        pipe.recv()


async def _make(url: str, count: int, folder: Path, scheduler: str | None, per_minute: float | None = None) -> None:
    """Make images, and save them on the workers of a scheduler; without one nothing is saved."""
    place = None if scheduler is None else folder / "made"
    session = open_session(
        api_key="sk-benchmark",
        base_url=url,
        max_pending=PENDING,
        poll_policy=PollPolicy.every(1e-6),
        journal=folder,
        creates_per_minute=per_minute,
        savers=scheduler,
    )
    async with session:
        async for outcome in session.generate((flux.Schnell(prompt="a boat") for _ in range(count)), save_to=place):
            assert outcome.ok, outcome.error


def _cpu(url: str, scheduler: str | None) -> float:
    """Return the CPU seconds of this process per prediction, saved on the cluster, or not at all."""
    gc.collect()
    with TemporaryDirectory() as folder:
        path = Path(folder)
        before = time.process_time()
        asyncio.run(_make(url, COUNT, path, scheduler))
        # Taken before the images are removed, which is no work of the driver's.
        spent = time.process_time() - before
    return spent / COUNT


def _times(url: str) -> list[float]:
    with urllib.request.urlopen(url.partition("/replicate")[0].rpartition("/")[0] + "/times") as answer:
        times: list[float] = json.load(answer)
    return times


def _rate(url: str, scheduler: str, per_second: float) -> tuple[float, float]:
    """Return the mean rate, and the highest one of any ten seconds, as shares of the limit."""
    before = len(_times(url))
    with TemporaryDirectory() as folder:
        path = Path(folder)
        count = int(per_second * 25)
        asyncio.run(_make(url, count, path, scheduler, per_minute=60 * per_second))
    times = _times(url)[before:]
    times = [each for each in times if each >= times[0] + SETTLED]
    mean = (len(times) - 1) / (times[-1] - times[0])
    worst = max(sum(start <= each < start + 10 for each in times) / 10 for start in times)
    return mean / per_second, worst / per_second


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def main() -> None:
    core, server_core = (sorted(os.sched_getaffinity(0)) * 2)[:2]
    here, there = multiprocessing.Pipe()
    cluster = multiprocessing.get_context("spawn").Process(target=_serve_cluster, args=(there,))
    cluster.start()
    scheduler = here.recv()
    os.sched_setaffinity(0, {core})
    print(f"Saving on a cluster, {SIZE / 1e3:.0f} kB each, {PENDING} pending: python -m benchmarks.cluster")
    try:
        with server.running(server_core, Pictures) as base_url:
            url = base_url.replace("/replicate", f"/{SIZE}/replicate")
            for each in (None, scheduler):
                _cpu(url, each)  # warm up imports and caches
            pairs = [(_cpu(url, None), _cpu(url, scheduler)) for _ in range(ROUNDS)]
            bare, saving = (statistics.median(each) for each in zip(*pairs, strict=True))
            ratio = statistics.median(saving / bare for bare, saving in pairs)
            print(
                f"  CPU of the driver: {saving * 1e6:.0f} µs a prediction, {ratio:.2f} of one that saves nothing "
                f"({bare * 1e6:.0f} µs), median of {ROUNDS} pairs of {COUNT}, "
                f"wanted {DRIVER} at most: {_verdict(ratio <= DRIVER)}"
            )
            before, began = len(_times(url)), time.time()
            with TemporaryDirectory() as folder:
                asyncio.run(_make(url, 1, Path(folder), scheduler))
            first = _times(url)[before] - began
            verdict = _verdict(first <= FIRST)
            print(f"  first POST {first:.2f} s after the session was made, wanted {FIRST} at most: {verdict}")
            small = base_url.replace("/replicate", "/2000/replicate")
            for limit in (50.0, 200.0):
                mean, worst = _rate(small, scheduler, limit)
                print(
                    f"  a known limit of {limit:.0f}/s, 2 kB each: {mean:.1%} on average, {worst:.1%} in the worst ten "
                    f"seconds, wanted from {MEAN:.0%} to {WORST:.0%}: {_verdict(mean >= MEAN and worst <= WORST)}"
                )
    finally:
        here.send(None)
        cluster.join()


if __name__ == "__main__":
    main()
