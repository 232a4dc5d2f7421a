"""How long does it take to check and plan a long prompt file, and how much memory?

Each row has a prompt, a key, a seed and a ratio, which its model takes. The time is until the first job is handed to
the session, with the whole plan in the journal; the memory is the peak of the process. Each file has its own process.
With a number as argument, only files of so many rows are measured.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.machine_speed import machine_speed

COUNTS = (100_000, 1_000_000)
SECONDS = {100_000: 6, 1_000_000: 60}
MEBIBYTES = 250
FORMATS = ("csv", "jsonl", "parquet")
_RATIOS = ("1:1", "16:9", "3:2")


def rows(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        prompt = f"a paper boat on a pond, watercolour, seen from afar, number {number}"
        yield {"key": f"boat-{number:07d}", "prompt": prompt, "seed": number, "aspect_ratio": _RATIOS[number % 3]}


def write(path: Path, count: int) -> None:
    """Write a prompt file of *count* rows, in the format of its suffix."""
    if path.suffix == ".parquet":
        _write_parquet(path, count)
        return
    with path.open("w") as file:
        if path.suffix == ".csv":
            file.write("key,prompt,seed,aspect_ratio\n")
        for row in rows(count):
            file.write(",".join(map(_quoted, row.values())) if path.suffix == ".csv" else json.dumps(row))
            file.write("\n")


def _quoted(value: object) -> str:
    return f'"{value}"' if "," in str(value) else str(value)


def _write_parquet(path: Path, count: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    table = pa.Table.from_pylist(list(rows(count)))
    pyarrow.parquet.write_table(table, path)


def plan(path: Path) -> dict[str, float]:
    """Check and plan a file as ``cometflux batch`` does; return the seconds, of the CPU too, and the peak in MiB."""
    began = time.perf_counter()
    from cometflux.cli.batch.draft_plan import draft_batch
    from cometflux.cli.batch.plan_journal import plan_batch
    from cometflux.cli.options.image_options import ImageOptions
    from cometflux.cli.options.shared import RunOptions
    from cometflux.cli.prompts.prompt_plan import planner_from_options
    from cometflux.cli.prompts.read_file import read_file
    from cometflux.journal.writer import JournalWriter

    settings = RunOptions()
    planner = planner_from_options(read_file(str(path), None), path.parent, ImageOptions(), {}, {})
    writer = JournalWriter(path.with_name(f"{path.suffix}-images"))
    work, _ = plan_batch(writer, draft_batch(planner, settings), settings)
    next(work.jobs)
    seconds = time.perf_counter() - began
    writer.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu": time.process_time(), "peak": peak}


def measure(path: Path, count: int) -> dict[str, float]:
    """Write the file in a process of its own, plan it in another one, and return what `plan` returns."""
    command = [sys.executable, "-m", "benchmarks.lists"]
    subprocess.run([*command, "write", str(path), str(count)], check=True)
    done = subprocess.run([*command, "plan", str(path)], stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    match sys.argv[1:]:
        case ["write", path, number]:
            write(Path(path), int(number))
            return
        case ["plan", path]:
            print(json.dumps(plan(Path(path))))
            return
        case [number]:
            counts: tuple[int, ...] = (int(number),)
        case _:
            counts = COUNTS
    print("A prompt file checked and planned, until the first job is drawn: python -m benchmarks.lists")
    print(f"  {machine_speed()}", flush=True)
    for count in counts:
        for written in FORMATS:
            with TemporaryDirectory() as folder:
                found = measure(Path(folder) / f"long.{written}", count)
            most = SECONDS.get(count, count / 15_000)
            verdict = "met" if found["seconds"] <= most and found["peak"] <= MEBIBYTES else "missed"
            print(
                f"  {count} rows of {written}: {found['seconds']:.1f} s, {found['cpu']:.1f} s of CPU, "
                f"{found['peak']:.0f} MiB; wanted {most:.0f} s and {MEBIBYTES} MiB at most: {verdict}",
                flush=True,
            )


if __name__ == "__main__":
    main()
