"""Run every benchmark in turn, except `scale`, which takes minutes, and count the targets that were met."""

import subprocess
import sys

EACH = (
    *("schedules", "batches", "makespan", "limiters", "pacing", "cpu", "tls", "instructions", "ticks", "memory"),
    *("growth", "imports", "transitions", "stalls", "journalled", "lists", "finished", "resuming", "saving", "cluster"),
)


def run(name: str) -> list[str]:
    """Run a benchmark in a process of its own, and show what it prints; return its lines.

    What the benchmarks before it have left in memory would count for the programs that it starts.
    """
    lines = []
    command = [sys.executable, "-u", "-m", f"benchmarks.{name}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for line in program.stdout:
            print(line, end="", flush=True)
            lines.append(line.strip())
    if program.returncode:
        sys.exit(f"{' '.join(command)} ended with code {program.returncode}")
    return lines


def main() -> None:
    missed = []
    met = 0
    for name in EACH:
        lines = run(name)
        met += sum(": met" in line for line in lines)
        missed += [f"  {name}: {line}" for line in lines if ": missed" in line]
    print(f"\n{met} targets met, {len(missed)} missed" + ":" * bool(missed), *missed, sep="\n")


if __name__ == "__main__":
    main()
