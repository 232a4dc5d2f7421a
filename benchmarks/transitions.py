"""How many job steps per second can the journal write, each durable before the next step of its job?

TMPDIR chooses the disk.
"""

import asyncio
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from cometflux.journal.background import BackgroundWriter
from cometflux.journal.record import JobRecord
from cometflux.journal.writer import JournalWriter
from cometflux.predictions import Prediction, Status

TASKS = 256
STEPS = 20_000
ROUNDS = 5
TARGET = 10_000


async def fill(folder: Path, tasks: int = TASKS, steps: int = STEPS) -> float:
    """Let *tasks* tasks write *steps* steps in total; return the duration in seconds."""
    recorder = BackgroundWriter(JournalWriter(folder), on_fault=_raise)
    await recorder.open()
    start = time.perf_counter()
    await asyncio.gather(*(_carry(recorder, number, steps // tasks // 2) for number in range(tasks)))
    seconds = time.perf_counter() - start
    await recorder.aclose()
    return seconds


async def _carry(recorder: BackgroundWriter, task: int, jobs: int) -> None:
    """Write the steps of jobs as a session does: the intent to submit, then the response."""
    for number in range(jobs):
        record = new_record(task * jobs + number).sending(time.time(), "0" * 64, 40)
        await recorder.intent(record, is_new=True)
        prediction = Prediction(id=f"{task:013d}{number:013d}", status=Status.STARTING)
        await recorder.intent(record.accepted(prediction, time.time()), is_new=False)


def new_record(index: int) -> JobRecord:
    """Create the record of a job that was not sent."""
    return JobRecord(
        identity=f"job:{index:064d}:1",
        index=index,
        key=f"#{index:05d}",
        model="black-forest-labs/flux-schnell",
        input={"prompt": "a paper boat"},
        fingerprint=f"{index:064d}",
    )


def _raise(error: Exception) -> None:
    raise error


def main() -> None:
    rates = []
    for _ in range(ROUNDS):
        with TemporaryDirectory() as folder:
            rates.append(STEPS // TASKS // 2 * 2 * TASKS / asyncio.run(fill(Path(folder))))
    print(f"Steps on the disk per second, {TASKS} tasks, median of {ROUNDS}: python -m benchmarks.transitions")
    rate = statistics.median(rates)
    verdict = "met" if rate >= TARGET else "missed"
    print(f"  {rate:.0f}, from {min(rates):.0f} to {max(rates):.0f}, wanted {TARGET} at least: {verdict}")


if __name__ == "__main__":
    main()
