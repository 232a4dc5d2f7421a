"""How many instructions does a completed prediction take (one POST, one GET), beside a loop by hand?

Counted by valgrind's cachegrind, so the figure is the same on every machine and however busy that is. Both reuse their
connections. What starting takes is left out: it is the difference between many predictions and few.
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
    """Return how many instructions a process takes that makes so many predictions."""
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    client = [sys.executable, "-m", "benchmarks.instructions", title, base_url, str(predictions)]
    # The same order of sets and dicts each time.
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
