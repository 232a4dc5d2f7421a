"""The process to be killed: it runs a batch with a journal and prints how each job ended. See test_kill.

::

    python batch_process.py FOLDER BASE_URL KEY COUNT [PLACE]

The images go to *PLACE*, a URL in an object store, or else to the folder.
"""

import asyncio
import contextlib
import json
import signal
import sqlite3
import sys
import time
from functools import partial
from pathlib import Path

from cometflux import PollPolicy, RetryPolicy, Session
from cometflux.journal.header import Account
from cometflux.journal.writer import JournalWriter
from cometflux.transport.aiohttp import AiohttpTransport
from cometflux.transport.timeouts import Timeouts

CLOSED = 143


class SlowDisk(sqlite3.Connection):
    """Writes slowly, so that code that does not wait for a write fails."""

    def execute(self, statement, *values):
        if statement.strip().upper().startswith(("COMMIT", "END")):
            time.sleep(0.015)
        return super().execute(statement, *values)


def open_batch(folder, base_url, key):
    journal = JournalWriter(
        folder, Account(base_url=base_url, key=key), connect=partial(sqlite3.connect, factory=SlowDisk)
    )
    return Session(
        AiohttpTransport(key, base_url, times=Timeouts(answer=1.0, poll=0.5)),
        journal=journal,
        max_pending=24,
        poll_policy=PollPolicy.every(0.02),
        retry_policy=RetryPolicy(wait=0.05),
    )


def describe(outcome):
    return {
        "index": outcome.index,
        "kind": outcome.kind,
        "files": [path.name for path in outcome.files],
        "error": str(outcome.error) if outcome.error else None,
        "resumed": outcome.resumed,
    }


async def main(folder, base_url, key, count, place=None):
    work = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        async with open_batch(folder, base_url, key) as session:
            prompts = (f"{number} paper boats" for number in range(int(count)))
            return [describe(outcome) async for outcome in session.generate(prompts, save_to=place or folder)]
    return None


if __name__ == "__main__":
    outcomes = asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
    if outcomes is None:
        sys.exit(CLOSED)
    json.dump(outcomes, sys.stdout)
