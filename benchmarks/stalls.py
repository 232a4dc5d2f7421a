"""Does the loop ever wait for the disk?

A clock ticks every millisecond on the loop of tasks that write to the journal. The comparison is the same work on a
database in memory. A disk that takes 20 ms for each write shows how large a stall would be.
"""

import asyncio
import gc
import os
import sqlite3
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.transitions import TASKS, new_record
from cometflux.journal.background import BackgroundWriter
from cometflux.journal.writer import JournalWriter

TICK = 0.001
PAUSE = 0.1
SECONDS = 1.5
ROUNDS = 5
TARGET = 1.2

Connect = Callable[..., sqlite3.Connection]


def in_memory(_: Path, **options: Any) -> sqlite3.Connection:
    return sqlite3.connect(":memory:", **options)


class _SlowConnection(sqlite3.Connection):
    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement == "COMMIT":
            time.sleep(0.02)
        return super().execute(statement, *values)


on_a_slow_disk: Connect = partial(sqlite3.connect, factory=_SlowConnection)


def measure(connect: Connect) -> float:
    """Return the 99.9th percentile of the delay of a tick, in seconds."""
    gc.collect()
    with TemporaryDirectory() as folder:
        late = asyncio.run(_tick_beside(JournalWriter(folder, connect=connect)))
    return sorted(late)[int(len(late) * 0.999)]


async def _tick_beside(writer: JournalWriter) -> list[float]:
    def fail(error: Exception) -> None:
        raise error

    loop = asyncio.get_running_loop()
    recorder = BackgroundWriter(writer, on_fault=fail)
    await recorder.open()
    end = loop.time() + SECONDS
    tasks = [asyncio.create_task(_write(recorder, number, end)) for number in range(TASKS)]
    late = []
    while loop.time() < end:
        due = loop.time() + TICK
        await asyncio.sleep(TICK)
        late.append(loop.time() - due)
    await asyncio.gather(*tasks)
    await recorder.aclose()
    return late


async def _write(recorder: BackgroundWriter, number: int, end: float) -> None:
    """Write steps at a rate that leaves the core idle time, so that only the disk can delay a tick."""
    loop = asyncio.get_running_loop()
    record = new_record(number)
    await asyncio.sleep(PAUSE * number / TASKS)
    is_new = True
    while loop.time() < end:
        record = record.sending(time.time(), "0" * 64, 40)
        await recorder.intent(record, is_new=is_new)
        record, is_new = record.withdrawn(), False
        await asyncio.sleep(PAUSE)


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(
        f"How late a tick of 1 ms is while {TASKS} tasks write, 99.9th percentile, median of {ROUNDS} pairs: "
        "python -m benchmarks.stalls"
    )
    pairs = [(measure(in_memory), measure(sqlite3.connect)) for _ in range(ROUNDS)]
    memory, disk = (statistics.median(side) * 1e3 for side in zip(*pairs, strict=True))
    slow = statistics.median(measure(on_a_slow_disk) for _ in range(3)) * 1e3
    ratio = statistics.median(disk / memory for memory, disk in pairs)
    verdict = "met" if ratio <= TARGET else "missed"
    print(
        f"  in memory {memory:.2f} ms, on the disk {disk:.2f} ms, ratio {ratio:.2f}, wanted {TARGET} at most: {verdict}"
    )
    print(f"  on a disk that takes 20 ms for each write {slow:.2f} ms")


if __name__ == "__main__":
    main()
