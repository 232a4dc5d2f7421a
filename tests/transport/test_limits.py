"""Many predictions at once under the limits of an ordinary machine."""

import json
import subprocess
import sys

from waiting import PATIENCE

SCRIPT = """
import asyncio, json, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
from cometflux import open_session

async def main():
    kinds = []
    async with open_session(api_key=sys.argv[2], base_url=sys.argv[1], max_pending=1200) as session:
        async for outcome in session.generate(f"picture {number}" for number in range(1500)):
            kinds.append(outcome.kind)
    print(json.dumps({kind: kinds.count(kind) for kind in kinds}))

asyncio.run(main())
"""


def test_more_pending_than_open_files_fit_under_the_usual_limit_of_open_files(comet_service):
    command = [sys.executable, "-c", SCRIPT, comet_service.url, comet_service.key]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "" == run.stderr
    assert {"succeeded": 1500} == json.loads(run.stdout)
    assert 1500 == len(comet_service.bills)
