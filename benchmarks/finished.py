"""How long do the commands take on the folder of a finished batch, and how much memory?

Each command is a process of its own, as for a user. With a number as argument, the folder has so many jobs.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import finished_folder
from benchmarks.machine_speed import machine_speed

COUNT = 100_000
MEBIBYTES = 200
SECONDS = {"status": 1.0, "show": 0.3, "resume": 10.0, "batch": 12.0, "manifest": 5.0, "gallery": 20.0}
"""Wanted at most, for `COUNT` jobs."""
_SETTINGS = {"COMETAPI_KEY": finished_folder.KEY, "COMETFLUX_BASE_URL": finished_folder.BASE_URL, "NO_COLOR": "1"}


def _commands(prompts: Path, folder: Path) -> dict[str, list[str]]:
    command = [sys.executable, "-m", "cometflux.cli"]
    picture = next(folder.glob("00007-*.webp"))
    write = """
import os, sys
from cometflux.journal.manifest import write_manifest
# Else it would stay as it is, as after the commands before.
os.remove(os.path.join(sys.argv[1], "manifest.jsonl"))
write_manifest(sys.argv[1])
"""
    return {
        "status": [*command, "status", str(folder)],
        "show": [*command, "show", str(picture)],
        "resume": [*command, "resume", str(folder)],
        "batch": [*command, "batch", str(prompts), "--out", str(folder)],
        "manifest": [sys.executable, "-c", write, str(folder)],
        "gallery": [*command, "gallery", str(folder)],
    }


def measure(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return its seconds, those of its CPU, and its peak of memory in MiB."""
    began = time.perf_counter()
    program = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | _SETTINGS
    )
    _, status, used = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    assert program.returncode == 0, (command, program.returncode)
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    count = int(sys.argv[1]) if sys.argv[1:] else COUNT
    print("Commands on the folder of a finished batch: python -m benchmarks.finished")
    print(f"  {machine_speed()}", flush=True)
    with TemporaryDirectory() as name:
        prompts, folder = Path(name) / "long.csv", Path(name) / "images"
        # In a process of its own: the peak of a process that is started here counts what this one holds.
        subprocess.run([sys.executable, "-m", "benchmarks.finished_folder", str(count), name], check=True)
        for verb, command in _commands(prompts, folder).items():
            seconds, cpu, peak = measure(command)
            most = SECONDS[verb]
            verdict = "met" if seconds <= most and peak <= MEBIBYTES else "missed"
            print(
                f"  {verb} with {count} jobs: {seconds:.2f} s, {cpu:.2f} s of CPU, {peak:.0f} MiB; "
                f"wanted {most:.2f} s and {MEBIBYTES} MiB at most: {verdict}",
                flush=True,
            )


if __name__ == "__main__":
    main()
