"""Run every benchmark, one after the other."""

from benchmarks import cpu

if __name__ == "__main__":
    cpu.main()
