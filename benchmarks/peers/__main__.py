"""Print every table; exit with 1 if a figure is missing."""

import sys

from benchmarks.peers import costs, lost
from benchmarks.peers.environments import prepare

if __name__ == "__main__":
    missing = []
    for each in (lost, costs):
        ready, reasons = prepare(each.PEERS)
        missing += reasons + each.main(ready)
    for reason in dict.fromkeys(missing):
        print(f"missing: {reason}")
    sys.exit(1 if missing else 0)
