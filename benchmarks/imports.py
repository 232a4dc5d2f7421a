"""How long does importing take, compared with the packages that it imports, and how long a command of a moment?

Runs new processes in turn, with their byte code already on the disk. Measures CPU time from the start of the process,
so that other load on the machine matters little. Of a command the least time is shown: it is the nearest to that of a
machine with nothing else to do.
"""

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import finished_folder, lists

ROUNDS = 15
NOTHING = "pass"
PACKAGES = "import aiohttp, attrs, backoff, cattrs"
ALL = "from cometflux import *"
ALONE = "import cometflux"
MOST_ALONE = 0.015
COMMANDS = {("--help",): 0.15, ("status", "images"): 0.25}
"""The most CPU seconds of each command; the folder is that of a finished batch."""
JOBS = 12
_ROOT = Path(__file__).parents[1]


def _environment(folder: str) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return environment | {"PYTHONPATH": str(_ROOT), "PYTHONPYCACHEPREFIX": folder}


def measure(statement: str, folder: str) -> float:
    """Return the CPU seconds of a process that runs *statement*. Byte code is kept in *folder*."""
    program = f"{statement}\nimport time\nprint(time.process_time())"
    environment = _environment(folder)
    done = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def measure_command(arguments: tuple[str, ...], folder: str) -> float:
    """Return the CPU seconds of the command with *arguments*, run in *folder*, where its byte code is kept too."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "cometflux", *arguments]
    subprocess.run(command, cwd=folder, env=_environment(folder), stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    _compare_imports()
    _time_commands()


def _time_commands() -> None:
    print(f"CPU of a command, fresh processes, least of {ROUNDS}: python -m benchmarks.imports")
    with TemporaryDirectory() as folder:
        lists.write(Path(folder) / "prompts.csv", JOBS)
        finished_folder.finish(Path(folder) / "prompts.csv", Path(folder) / "images")
        for arguments in COMMANDS:
            measure_command(arguments, folder)  # write the byte code
        # In turn, so that a busy moment of the machine meets both.
        rounds = [[measure_command(arguments, folder) for arguments in COMMANDS] for _ in range(ROUNDS)]
    for (arguments, most), times in zip(COMMANDS.items(), zip(*rounds, strict=True), strict=True):
        verdict = "met" if min(times) <= most else "missed"
        print(f"  cometflux {' '.join(arguments)}: {min(times):.3f} s, wanted {most} at most: {verdict}")


def _compare_imports() -> None:
    print(f"CPU of an import, fresh processes, median of {ROUNDS}: python -m benchmarks.imports")
    statements = (NOTHING, PACKAGES, ALL, ALONE)
    with TemporaryDirectory() as folder:
        for statement in statements:
            measure(statement, folder)  # write the byte code
        rounds = [[measure(statement, folder) for statement in statements] for _ in range(ROUNDS)]
    bare, packages, everything, alone = (statistics.median(side) * 1e3 for side in zip(*rounds, strict=True))
    ratio = statistics.median((mine - none) / (theirs - none) for none, theirs, mine, _ in rounds)
    more = statistics.median(mine - none for none, _, _, mine in rounds)
    print(f"  a bare Python {bare:.0f} ms, {PACKAGES}: {packages:.0f} ms, {ALL}: {everything:.0f} ms")
    print(f"  ratio without the bare Python {ratio:.2f}")
    verdict = "met" if more < MOST_ALONE else "missed"
    print(f"  {ALONE}: {more * 1e3:.1f} ms more ({alone:.0f} ms), wanted under {MOST_ALONE * 1e3:.0f}: {verdict}")


if __name__ == "__main__":
    main()
