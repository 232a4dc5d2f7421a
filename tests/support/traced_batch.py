"""The process whose system calls are counted or made to fail: a batch with a journal, written by few threads.

One thread writes the journal and another one the files, so that the N-th call of a kind is the same in every run. It
prints how each job ended, and on stderr the error that ended the batch. It prints with a system call that nothing else
here uses. See test_strace and test_disk.

::

    python traced_batch.py FOLDER BASE_URL KEY COUNT
"""

import asyncio
import json
import os
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from batch_process import SlowDisk, describe

from cometflux import CometfluxError, PollPolicy, Session
from cometflux.journal.header import Account
from cometflux.journal.writer import JournalWriter
from cometflux.transport.aiohttp import AiohttpTransport
from cometflux.transport.timeouts import Timeouts

REFUSED = 3


async def main(folder, base_url, key, count):
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    account = Account(base_url=base_url, key=key)
    session = Session(
        AiohttpTransport(key, base_url, times=Timeouts(answer=5.0, poll=5.0)),
        journal=JournalWriter(folder, account, connect=partial(sqlite3.connect, factory=SlowDisk)),
        max_pending=4,
        poll_policy=PollPolicy.every(0.02),
    )
    outcomes, error = [], None
    try:
        async with session:
            prompts = (f"{number} paper boats" for number in range(int(count)))
            async for outcome in session.generate(prompts, save_to=folder):
                outcomes.append(describe(outcome))
    except CometfluxError as raised:
        error = f"{type(raised).__name__}: {raised}"
    return outcomes, error


if __name__ == "__main__":
    outcomes, error = asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
    os.writev(1, [json.dumps(outcomes).encode()])
    if error is not None:
        os.writev(2, [error.encode()])
        sys.exit(REFUSED)
