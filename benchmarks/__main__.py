"""Run every benchmark, one after the other."""

from benchmarks import cpu, journalled, resuming, stalls, transitions

if __name__ == "__main__":
    for each in (cpu, transitions, stalls, journalled, resuming):
        each.main()
