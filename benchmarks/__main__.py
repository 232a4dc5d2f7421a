"""Run every benchmark, one after the other."""

from benchmarks import cpu, journalled, pacing, resuming, schedules, stalls, transitions

if __name__ == "__main__":
    for each in (schedules, pacing, cpu, transitions, stalls, journalled, resuming):
        each.main()
