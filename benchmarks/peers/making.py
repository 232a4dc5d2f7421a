"""Run many predictions in the environment of a peer: ``python -I making.py CLIENT PACKAGE HOST COUNT PENDING``.

Prints the CPU time, as JSON. Like `buying`, it is run by its path and isolated.
"""

import asyncio
import gc
import json
import runpy
import sys
import time
from importlib import metadata
from pathlib import Path

_WARM_UP = 50


def main(client: str, package: str, host: str, count: int, pending: int) -> None:
    make = runpy.run_path(str(Path(__file__).parent / "clients" / f"{client}.py"))["make"]
    asyncio.run(make(host, _WARM_UP, _WARM_UP))
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(make(host, count, pending))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"version": metadata.version(package), "cost": cpu / count, "busy": cpu / wall}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
