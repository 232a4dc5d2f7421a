"""Buys one picture, in the environment of a peer: ``python -I buying.py CLIENT PACKAGE PLAIN_HOST TLS_HOST``.

Prints what became of it, as JSON. It is run by its path and apart (``-I``), so that nothing of this checkout is in the
way: the files in ``clients/`` are called as what they import.
"""

import asyncio
import json
import runpy
import sys
from importlib import metadata
from pathlib import Path


def main(client: str, package: str, plain: str, tls: str) -> None:
    buy = runpy.run_path(str(Path(__file__).parent / "clients" / f"{client}.py"))["buy"]
    try:
        asyncio.run(buy(plain, tls))
    except Exception as error:  # noqa: BLE001 - what is raised is what is asked
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"
    else:
        told = "the picture"
    print(json.dumps({"version": metadata.version(package), "told": told}))


if __name__ == "__main__":
    main(*sys.argv[1:])
