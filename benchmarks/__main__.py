"""Run every benchmark in turn, except `scale`, which takes minutes."""

from benchmarks import (
    cluster,
    cpu,
    growth,
    imports,
    instructions,
    journalled,
    lists,
    makespan,
    memory,
    pacing,
    resuming,
    saving,
    schedules,
    stalls,
    ticks,
    transitions,
)

EACH = (
    *(schedules, makespan, pacing, cpu, instructions, ticks, memory, growth, imports),
    *(transitions, stalls, journalled, lists, resuming, saving, cluster),
)

if __name__ == "__main__":
    for each in EACH:
        each.main()
