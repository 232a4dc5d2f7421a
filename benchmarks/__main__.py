"""Run every benchmark in turn, except `scale`, which takes minutes."""

from benchmarks import (
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
    transitions,
)

EACH = (
    *(schedules, makespan, limiters, pacing, cpu, instructions, ticks, memory, growth, imports),
    *(transitions, stalls, journalled, lists, finished, resuming, saving, cluster),
)

if __name__ == "__main__":
    for each in EACH:
        each.main()
