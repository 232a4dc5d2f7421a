"""Generate one picture in the environment of a peer: ``python -I buying.py CLIENT PACKAGE PLAIN_HOST TLS_HOST``.

Prints the result as JSON. It is run by its path and isolated (``-I``), because the files in ``clients/`` have the names
of the packages that they import.
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
    except Exception as error:  # noqa: BLE001 - any error is the result
        result = f"{type(error).__name__}: {' '.join(str(error).split())}"
    else:
        result = "the picture"
    print(json.dumps({"version": metadata.version(package), "result": result}))


if __name__ == "__main__":
    main(*sys.argv[1:])
