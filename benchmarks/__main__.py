"""Run every benchmark, one after the other."""

from benchmarks import cpu, journalled, resuming, schedules, stalls, transitions

if __name__ == "__main__":
    for each in (schedules, cpu, transitions, stalls, journalled, resuming):
        each.main()
