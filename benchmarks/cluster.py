"""Saving on the workers of a Dask cluster: the CPU of the driver, the first POST, and the rate at a known limit.

The scheduler and two workers have processes of their own, and so has the S3 server, which is moto. It carries too few
requests a second for long runs and for high limits, which therefore save in a folder. Needs the extra ``distributed``.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import server
from benchmarks.pictures import Pictures
from cometflux import PollPolicy, flux, open_session

COUNT = 1500
ROUNDS, STORED_ROUNDS = 5, 3
"""The second one is for an object store."""
SIZE = 200_000
PENDING = 256
SETTLED = 5.0
"""Seconds after the first submission from which the rate is measured."""

DRIVER, FIRST, MEAN, WORST, REFUSED = 1.4, 8.0, 0.95, 1.05, 0.01
"""What is wanted: the CPU of the driver as a ratio, the first POST in seconds, two shares of a known limit, and the
share of refused submissions."""
BUCKET = "s3://pictures"
KEY = "sk-benchmark"


def _serve_cluster(pipe: Connection) -> None:
    import distributed

    with distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster:
        pipe.send(cluster.scheduler_address)
        pipe.recv()


def _serve_store(pipe: Connection) -> None:
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    pipe.send("http://{}:{}".format(*store.get_host_and_port()))
    pipe.recv()
    store.stop()


@contextmanager
def _running(serve: Callable[[Connection], None]) -> Iterator[str]:
    """Run a server in a process of its own; yield its address."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,))
    process.start()
    there.close()
    try:
        yield here.recv()
    finally:
        here.send(None)
        process.join()


async def _make(
    url: str, count: int, folder: Path, scheduler: str | None, place: Path | str | None, per_minute: float | None = None
) -> None:
    """Make images, and save them on the workers of a scheduler; without one nothing is saved."""
    session = open_session(
        api_key=KEY,
        base_url=url,
        max_pending=PENDING,
        poll_policy=PollPolicy.every(1e-6),
        journal=folder,
        creates_per_minute=per_minute,
        savers=scheduler,
    )
    async with session:
        prompts = (flux.Schnell(prompt="a boat") for _ in range(count))
        async for outcome in session.generate(prompts, save_to=place):
            assert outcome.ok, outcome.error


def _cpu(
    url: str, count: int, scheduler: str | None, store: str | None, per_minute: float | None = None
) -> tuple[float, float]:
    """Return the CPU seconds of this process, and the seconds, per prediction; saved on the cluster, or not at all."""
    gc.collect()
    with TemporaryDirectory() as folder:
        path = Path(folder)
        place = None if scheduler is None else _empty(store) if store else path / "made"
        began, before = time.perf_counter(), time.process_time()
        asyncio.run(_make(url, count, path, scheduler, place, per_minute))
        # Taken before the images are removed, which is no work of the driver's.
        spent, seconds = time.process_time() - before, time.perf_counter() - began
    return spent / count, seconds / count


def _empty(store: str) -> str:
    """Empty the bucket; return its URL."""
    for method, path in (("POST", "/moto-api/reset"), ("PUT", "/" + BUCKET.rpartition("/")[2])):
        urllib.request.urlopen(urllib.request.Request(store + path, method=method)).close()
    return f"{BUCKET}/made"


def _print_cpu(url: str, scheduler: str, count: int, rounds: int, store: str | None) -> None:
    for each in (None, scheduler):
        _cpu(url, count, each, store)  # warm up imports and caches
    runs = [(_cpu(url, count, None, store), _cpu(url, count, scheduler, store)) for _ in range(rounds)]
    pairs = [(bare, saving) for (bare, _), (saving, _) in runs]
    bare, saving = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(saving / bare for bare, saving in pairs)
    print(
        f"  CPU of the driver, {_name(store)}: {saving * 1e6:.0f} µs a prediction, {ratio:.2f} of one that saves "
        f"nothing ({bare * 1e6:.0f} µs), median of {rounds} pairs of {count}, "
        f"wanted {DRIVER} at most: {_verdict(ratio <= DRIVER)}"
    )
    if store is not None:
        # The store is slow, and a process with little to do takes more CPU for each thing it does.
        rate = 1 / statistics.median(seconds for _, (_, seconds) in runs)
        alike, _ = _cpu(url, count, None, store, 60 * rate)
        print(
            f"    {saving / alike:.2f} of one that saves nothing and makes as many a second, {rate:.0f} "
            f"({alike * 1e6:.0f} µs): {_verdict(saving / alike <= DRIVER)}"
        )


def _name(store: str | None) -> str:
    return "saved in a folder" if store is None else "saved with S3 (moto)"


def _received(url: str) -> tuple[list[float], int]:
    """Return when the server accepted each submission, and how many it has refused."""
    with urllib.request.urlopen(url.partition("/replicate")[0].rpartition("/")[0] + "/times") as answer:
        found = json.load(answer)
    return found["accepted"], found["refused"]


def _print_first(url: str, scheduler: str) -> None:
    before = len(_received(url)[0])
    with TemporaryDirectory() as folder:
        Path(folder, "p.txt").write_text("a boat\n")
        command = ("-m", "cometflux.cli", "batch", "p.txt", "--out", "made", "--cluster", scheduler)
        began = time.time()
        subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env=os.environ | {"COMETAPI_KEY": KEY, "COMETFLUX_BASE_URL": url, "PYTHONPATH": str(Path.cwd())},
            check=True,
            capture_output=True,
        )
    first = _received(url)[0][before] - began
    print(
        f"  first POST {first:.2f} s after the command was started, wanted {FIRST} at most: {_verdict(first <= FIRST)}"
    )


def _print_rate(base_url: str, scheduler: str, limit: float, store: str | None) -> None:
    """Print the mean rate, and the highest one of any ten seconds, as shares of the limit, and the refusals."""
    url = base_url.replace("/replicate", f"/2000-{limit:g}/replicate")
    accepted, refused = _received(url)
    count = int(limit * 25)
    with TemporaryDirectory() as folder:
        place = Path(folder, "made") if store is None else _empty(store)
        asyncio.run(_make(url, count, Path(folder), scheduler, place, per_minute=60 * limit))
    times, refusals = _received(url)
    times, refusals = times[len(accepted) :], refusals - refused
    times = [each for each in times if each >= times[0] + SETTLED]
    mean = (len(times) - 1) / (times[-1] - times[0]) / limit
    worst = max(sum(start <= each < start + 10 for each in times) / 10 for start in times) / limit
    share = refusals / (count + refusals)
    is_met = mean >= MEAN and worst <= WORST and share <= REFUSED
    print(
        f"  a known limit of {limit:.0f}/s, 2 kB each, {_name(store)}: {mean:.1%} on average, {worst:.1%} in the worst "
        f"ten seconds, {share:.1%} refused; wanted from {MEAN:.0%} to {WORST:.0%}, and {REFUSED:.0%} refused at most: "
        f"{_verdict(is_met)}"
    )


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def main() -> None:
    cores = os.sched_getaffinity(0)
    core, server_core = (sorted(cores) * 2)[:2]
    print(f"Saving on a cluster, {SIZE / 1e3:.0f} kB each, {PENDING} pending: python -m benchmarks.cluster")
    with _running(_serve_store) as store, _store_in_environment(store), _running(_serve_cluster) as scheduler:
        os.sched_setaffinity(0, {core})
        try:
            with server.running(server_core, Pictures) as base_url:
                url = base_url.replace("/replicate", f"/{SIZE}/replicate")
                _print_cpu(url, scheduler, COUNT, ROUNDS, None)
                _print_cpu(url, scheduler, COUNT, STORED_ROUNDS, store)
                _print_first(url, scheduler)
                for limit, place in ((50.0, None), (200.0, None), (50.0, store)):
                    _print_rate(base_url, scheduler, limit, place)
        finally:
            os.sched_setaffinity(0, cores)


@contextmanager
def _store_in_environment(url: str) -> Iterator[None]:
    """Let this process and those that it starts find the S3 server."""
    ours = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


if __name__ == "__main__":
    main()
