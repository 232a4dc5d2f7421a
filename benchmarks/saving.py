"""What does saving a picture cost, compared with a loop by hand, and how much memory do waiting pictures take?

One POST, one poll, one download, and a JSON record next to each picture, both synced to the disk. TMPDIR chooses the
disk. The memory is measured with this disk, and with one whose every sync takes long, each in a process of its own.
"""

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import aiohttp

from benchmarks import server
from benchmarks.pictures import Pictures
from cometflux import PollPolicy, flux, open_session

PENDING = 64
ROUNDS = 7
COUNTS = {50_000: 384, 200_000: 384, 1_500_000: 192, 8_000_000: 64}
"""How many pictures, by their size in bytes."""
TARGETS = {50_000: 1.25, 200_000: 1.25, 1_500_000: 1.1, 8_000_000: 1.1}
TARGET_WITH_JOURNAL = 1.35
TARGET_OF_EMBEDDING = 1.15
"""Compared with saving that does not embed."""
TARGET_OF_MEMORY = 100
"""Megabytes more than an idle session has."""
_SLOW_SYNC = 0.25
"""Seconds that each sync of the slow disk takes."""
_SIZE_IN_MEMORY = 8_000_000
_MODEL = "black-forest-labs/flux-schnell"


async def bare(base_url: str, count: int, folder: Path) -> None:
    """Run a loop as a person would write it: a semaphore, a POST, a GET, a download, and a thread that writes."""
    slots = asyncio.Semaphore(PENDING)

    def keep(name: str, picture: bytes, prediction: object) -> None:
        for path, data in (
            (folder / f"{name}.png", picture),
            (folder / f"{name}.json", json.dumps(prediction, indent=2).encode()),
        ):
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    async def one(http: aiohttp.ClientSession, number: int) -> None:
        async with slots:
            url, body = f"{base_url}/models/{_MODEL}/predictions", {"input": {"prompt": f"{number} paper boats"}}
            async with http.post(url, json=body, headers={"Connection": "close"}) as answer:
                prediction = await answer.json()
            async with http.get(f"{base_url}/predictions/{prediction['id']}") as answer:
                prediction = await answer.json()
            async with http.get(prediction["output"][0]) as answer:
                picture = await answer.read()
            await asyncio.to_thread(keep, f"{number:05d}", picture, prediction)

    connector, headers = aiohttp.TCPConnector(limit=0), {"Authorization": "Bearer sk-benchmark"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as http:
        await asyncio.gather(*(one(http, number) for number in range(count)))


async def ours(base_url: str, count: int, folder: Path, *, is_kept: bool = False, embeds: bool = False) -> None:
    """Save with `session.generate`."""
    async with open_session(
        api_key="sk-benchmark",
        base_url=base_url,
        max_pending=PENDING,
        poll_policy=PollPolicy.every(1e-6),
        journal=folder if is_kept else None,
        embed=embeds,
    ) as session:
        jobs = (flux.Schnell(prompt=f"{number} paper boats") for number in range(count))
        async for outcome in session.generate(jobs, save_to=folder):
            assert outcome.ok, outcome.error


CONTENDERS: dict[str, Callable[[str, int, Path], Coroutine[None, None, None]]] = {
    "a loop by hand": bare,
    "cometflux": ours,
    "with a journal": partial(ours, is_kept=True),
    "embedding": partial(ours, embeds=True),
}


def measure(title: str, base_url: str, count: int, root: Path) -> float:
    """Return the CPU seconds per picture, which are saved in a new folder of *root*."""
    gc.collect()
    folder = Path(mkdtemp(dir=root))
    cpu = time.process_time()
    asyncio.run(CONTENDERS[title](base_url, count, folder))
    cpu = time.process_time() - cpu
    # Not removed: for minutes ext4 goes past each removed file when it makes a new one, which costs more than saving.
    for path in folder.iterdir():
        os.truncate(path, 0)
    return cpu / count


def show_costs(address: str, size: int, count: int, root: Path) -> None:
    """Print the CPU per picture of *size* bytes."""
    base_url = f"{address}/{size}{server.PREFIX}"
    for title in CONTENDERS:
        measure(title, base_url, count // 4, root)  # warm up imports and caches
    rounds = [{title: measure(title, base_url, count, root) for title in CONTENDERS} for _ in range(ROUNDS)]
    hand = statistics.median(each["a loop by hand"] for each in rounds)
    print(f"  {size / 1000:.0f} kB, a loop by hand {hand * 1e3:.2f} ms")
    for title, other, target in (
        ("cometflux", "a loop by hand", TARGETS[size]),
        ("with a journal", "a loop by hand", TARGET_WITH_JOURNAL),
        ("embedding", "cometflux", TARGET_OF_EMBEDDING),
    ):
        cost = statistics.median(each[title] for each in rounds)
        ratio = statistics.median(each[title] / each[other] for each in rounds)
        verdict = "met" if ratio <= target else "missed"
        print(f"    {title} {cost * 1e3:.2f} ms, divided by {other} {ratio:.2f}, wanted {target} at most: {verdict}")


def show_memory(address: str) -> None:
    """Print the memory that pictures take while the disk is waited for."""
    for title, disk, pause in (
        ("cometflux", "this disk", 0.0),
        ("cometflux", "a slow disk", _SLOW_SYNC),
        ("embedding", "a slow disk", _SLOW_SYNC),
    ):
        address_of_large = f"{address}/{_SIZE_IN_MEMORY}{server.PREFIX}"
        command = [sys.executable, "-m", "benchmarks.saving", address_of_large, title, str(pause)]
        more = float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        print(
            f"  {title}, {PENDING} pictures of {_SIZE_IN_MEMORY / 1e6:.0f} MB on {disk}: {more:.0f} MB more than an "
            f"idle session, wanted {TARGET_OF_MEMORY} at most: {'met' if more <= TARGET_OF_MEMORY else 'missed'}"
        )


def measure_memory(base_url: str, title: str, pause: float, root: Path) -> float:
    """Return by how many megabytes the memory of this process grows at most, above a session that saves little.

    Each sync takes *pause* seconds longer.
    """
    # What is made once: imports, threads, connections.
    small = base_url.replace(f"/{_SIZE_IN_MEMORY}/", "/1000/")
    measure(title, small, PENDING, root)
    sync = os.fsync

    def sync_slowly(fd: Any) -> None:
        time.sleep(pause)
        sync(fd)

    os.fsync = sync_slowly
    idle = _peak()
    measure(title, base_url, PENDING, root)
    return _peak() - idle


def _peak() -> float:
    # Not ru_maxrss: a new process begins with that of its parent.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def main() -> None:
    with TemporaryDirectory() as root:
        if len(sys.argv) == 4:
            print(measure_memory(sys.argv[1], sys.argv[2], float(sys.argv[3]), Path(root)))
        else:
            show(Path(root))


def show(root: Path) -> None:
    """Print all figures."""
    server_core = server.divide_cores()
    print(
        f"CPU per saved picture, {PENDING} pending, both files synced, median of {ROUNDS} rounds: "
        "python -m benchmarks.saving"
    )
    with server.running(server_core, Pictures) as base_url:
        address = base_url.removesuffix(server.PREFIX)
        for size, count in COUNTS.items():
            show_costs(address, size, count, root)
        show_memory(address)


if __name__ == "__main__":
    main()
