"""Run every benchmark in turn, except `scale`, which takes minutes, and count the targets that were met."""

import contextlib
import io
import sys
from typing import TextIO

from benchmarks import (
    batches,
    cluster,
    cpu,
    finished,
    growth,
    imports,
    instructions,
    journalled,
    limiters,
    lists,
    makespan,
    memory,
    pacing,
    resuming,
    saving,
    schedules,
    stalls,
    ticks,
    tls,
    transitions,
)

EACH = (
    *(schedules, batches, makespan, limiters, pacing, cpu, tls, instructions, ticks, memory, growth, imports),
    *(transitions, stalls, journalled, lists, finished, resuming, saving, cluster),
)


class Copied(io.StringIO):
    """Text that is written to a terminal, and kept."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self._terminal = terminal

    def write(self, text: str) -> int:
        """Write text to both."""
        self._terminal.write(text)
        self._terminal.flush()
        return super().write(text)


def main() -> None:
    missed = []
    met = 0
    for each in EACH:
        with contextlib.redirect_stdout(Copied(sys.stdout)) as printed:
            each.main()
        name = each.__name__.rpartition(".")[2]
        lines = printed.getvalue().splitlines()
        met += sum(": met" in line for line in lines)
        missed += [f"  {name}: {line.strip()}" for line in lines if ": missed" in line]
    print(f"\n{met} targets met, {len(missed)} missed" + ":" * bool(missed), *missed, sep="\n")


if __name__ == "__main__":
    main()
