"""Print every table; end with 1 where a figure is missing."""

import sys

from benchmarks.peers import lost
from benchmarks.peers.environments import prepare

if __name__ == "__main__":
    ready, missing = prepare()
    for each in (lost,):
        missing += each.main(ready)
    for reason in missing:
        print(f"missing: {reason}")
    sys.exit(1 if missing else 0)
