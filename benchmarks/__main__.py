"""Run every benchmark in turn, except `scale`, which takes minutes, and count the targets that were met."""

import subprocess
import sys

EACH = (
    *("schedules", "batches", "makespan", "limiters", "pacing", "cpu", "tls", "instructions", "ticks", "memory"),
    *("growth", "imports", "transitions", "stalls", "journalled", "lists", "finished", "resuming", "saving", "cluster"),
)


def run(name: str) -> tuple[list[str], int]:
    """Run a benchmark in a process of its own, and show what it prints; return its lines and its exit code.

    What the benchmarks before it have left in memory would count for the programs that it starts.
    """
    lines = []
    command = [sys.executable, "-u", "-m", f"benchmarks.{name}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for line in program.stdout:
            print(line, end="", flush=True)
            lines.append(line.strip())
    return lines, program.returncode


def main() -> None:
    missed, broken = [], []
    met = 0
    for name in EACH:
        lines, code = run(name)
        broken += [name] * bool(code)
        met += sum(": met" in line for line in lines)
        missed += [f"  {name}: {line}" for line in lines if ": missed" in line]
    print(f"\n{met} targets met, {len(missed)} missed" + ":" * bool(missed), *missed, sep="\n")
    if broken:
        sys.exit(f"not measured to the end: {', '.join(broken)}")


if __name__ == "__main__":
    main()
