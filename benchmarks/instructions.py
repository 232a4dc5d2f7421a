"""How many instructions does a completed prediction take (one POST, one GET), compared with a loop by hand?

Valgrind's cachegrind counts them, so the figure does not depend on the machine or its load. Both contenders reuse
their connections. The figure is the difference between many predictions and few, which leaves out the start.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from functools import partial

from benchmarks import server
from benchmarks.clients import bare, pooled

FEW, MANY = 200, 800
PENDING = 100
TARGET = 1.0
CONTENDERS = {
    "bare": partial(bare, is_fresh=False, pending=PENDING),
    "cometflux": partial(pooled, pending=PENDING),
}


def count(title: str, base_url: str, predictions: int) -> int:
    """Return the number of instructions of a process that makes *predictions* predictions."""
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    client = [sys.executable, "-m", "benchmarks.instructions", title, base_url, str(predictions)]
    # The same order of sets on each run.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run([*valgrind, *client], stderr=subprocess.PIPE, check=True, text=True, env=environment)
    found = next(line for line in done.stderr.splitlines() if "I" in line and "refs:" in line)
    return int(found.rpartition(" ")[2].replace(",", ""))


def main() -> None:
    if len(sys.argv) == 4:
        title, base_url, predictions = sys.argv[1:]
        asyncio.run(CONTENDERS[title](base_url, int(predictions)))
        return
    print(f"Instructions per completed prediction, {PENDING} pending, connections reused")
    if shutil.which("valgrind") is None:
        print("  not counted: valgrind is not installed")
        return
    with server.running(max(os.sched_getaffinity(0))) as base_url:
        costs = {
            title: (count(title, base_url, MANY) - count(title, base_url, FEW)) / (MANY - FEW) for title in CONTENDERS
        }
    ratio = costs["cometflux"] / costs["bare"]
    verdict = "met" if ratio <= TARGET else "missed"
    figures = ", ".join(f"{title} {cost / 1e6:.2f} million" for title, cost in costs.items())
    print(f"  {figures}, ratio {ratio:.2f}, wanted {TARGET} at most: {verdict}")


if __name__ == "__main__":
    main()
