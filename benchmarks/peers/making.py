"""Run many predictions in the environment of a peer: ``python -I making.py NAME PACKAGE ORIGIN COUNT PENDING FOLDER``.

Images are saved to FOLDER; if it is empty, they are not saved. Prints the CPU time, as JSON. Like `buying`, it is run
by its path and isolated.
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


def main(client: str, package: str, origin: str, count: int, pending: int, folder: str) -> None:
    make = runpy.run_path(str(Path(__file__).parent / "clients" / f"{client}.py"))["make"]
    warmed_up, made = (Path(folder, each) if folder else None for each in ("warmed_up", "made"))
    for each in filter(None, (warmed_up, made)):
        each.mkdir()
    asyncio.run(make(origin, _WARM_UP, _WARM_UP, warmed_up))
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(make(origin, count, pending, made))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"version": metadata.version(package), "cost": cpu / count, "busy": cpu / wall}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
