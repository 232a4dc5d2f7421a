"""How long does importing take, compared with the packages that it imports?

Runs new processes in turn, with their byte code already on the disk. Measures CPU time from the start of the process,
so that other load on the machine matters little.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROUNDS = 15
NOTHING = "pass"
PACKAGES = "import aiohttp, attrs, backoff, cattrs"
ALL = "from cometflux import *"
ALONE = "import cometflux"
MOST_RATIO = 1.15
MOST_ALONE = 0.015
_ROOT = Path(__file__).parents[1]


def measure(statement: str, folder: str) -> float:
    """Return the CPU seconds of a process that runs *statement*. Byte code is kept in *folder*."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(_ROOT), "PYTHONPYCACHEPREFIX": folder}
    program = f"{statement}\nimport time\nprint(time.process_time())"
    done = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def main() -> None:
    print(f"CPU of an import, fresh processes, median of {ROUNDS}: python -m benchmarks.imports")
    statements = (NOTHING, PACKAGES, ALL, ALONE)
    with TemporaryDirectory() as folder:
        for statement in statements:
            measure(statement, folder)  # write the byte code
        rounds = [[measure(statement, folder) for statement in statements] for _ in range(ROUNDS)]
    bare, packages, everything, alone = (statistics.median(side) * 1e3 for side in zip(*rounds, strict=True))
    ratio = statistics.median((mine - none) / (theirs - none) for none, theirs, mine, _ in rounds)
    more = statistics.median(mine - none for none, _, _, mine in rounds)
    verdict = "met" if ratio <= MOST_RATIO else "missed"
    print(f"  a bare Python {bare:.0f} ms, {PACKAGES}: {packages:.0f} ms, {ALL}: {everything:.0f} ms")
    print(f"  ratio without the bare Python {ratio:.2f}, wanted {MOST_RATIO} at most: {verdict}")
    verdict = "met" if more < MOST_ALONE else "missed"
    print(f"  {ALONE}: {more * 1e3:.1f} ms more ({alone:.0f} ms), wanted under {MOST_ALONE * 1e3:.0f}: {verdict}")


if __name__ == "__main__":
    main()
