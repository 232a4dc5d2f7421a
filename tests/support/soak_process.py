"""The process of the long soak: a mixed load on the local service with faults. See test_endurance.

::

    python soak_process.py FOLDER SECONDS
"""

import asyncio
import gc
import itertools
import json
import logging
import random
import sys
import time
from collections import Counter
from pathlib import Path

from wrong_bills import lost, repeated

from cometflux import CometfluxError, Job, Journal, PollPolicy, RetryPolicy, Session, events
from cometflux.journal.header import Account
from cometflux.journal.writer import JournalWriter
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport
from cometflux.transport.timeouts import Timeouts

FAULTS = [
    {"fault": "drop", "rate": 0.003},
    {"fault": "drop", "rate": 0.003, "after": True},
    {"fault": "torn", "rate": 0.005, "after": True},
    {"fault": "torn-early", "rate": 0.002, "after": True},
    {"fault": "hang", "rate": 0.001, "after": True},
    {"fault": "500", "rate": 0.002},
    {"fault": "422", "rate": 0.005},
    {"fault": "429", "rate": 0.002},
    {"fault": "hang", "rate": 0.001, "on": "get"},
    {"fault": "drop", "rate": 0.005, "on": "get"},
    {"fault": "500", "rate": 0.005, "on": "get"},
    {"fault": "torn", "rate": 0.005, "on": "get"},
    {"fault": "garbage", "rate": 0.005, "on": "get"},
    {"fault": "failed", "rate": 0.01},
    {"fault": "canceled", "rate": 0.005},
    {"fault": "expired", "rate": 0.005},
    {"fault": "drop", "rate": 0.005, "on": "output"},
    {"fault": "torn", "rate": 0.005, "on": "output"},
    {"fault": "truncated-output", "rate": 0.005},
]
CALLERS = 8


class Load:
    """Creates jobs until its time is over, and counts their outcomes."""

    def __init__(self, seconds):
        self.until = time.monotonic() + seconds
        self.chance = random.Random(1)
        self.handed_over = Counter()
        self.ended = Counter()
        self.kinds = Counter()
        self.ids = set()
        self.unknown = set()
        self._numbers = itertools.count()

    @property
    def goes_on(self):
        return time.monotonic() < self.until

    def job(self):
        name = f"{next(self._numbers)} boats"
        return Job(model="black-forest-labs/flux-schnell", input={"prompt": name}, key=name)

    def listen(self, event):
        match event:
            case events.Submitted():
                self.handed_over[event.key] += 1
            case events.Accepted():
                self.ids.add(event.prediction_id)
            case events.Ended():
                self.ended[event.key] += 1
                self.kinds[event.kind.value] += 1
                if event.kind == "unknown":
                    self.unknown.add(event.key)

    async def batches(self, session, folder):
        """Run batch after batch, and leave some before their end. Check and remove the pictures."""
        while self.goes_on:
            left = self.chance.randint(10, 80)
            async with session.generate([self.job() for _ in range(50)], save_to=folder) as batch:
                async for outcome in batch:
                    for path in outcome.files:
                        path.unlink()
                        path.with_suffix(".json").unlink(missing_ok=True)
                    if not (left := left - 1):
                        break

    async def calls(self, session):
        """Run one job after another. Some callers run out of patience, and some are cancelled."""
        while self.goes_on:
            running = asyncio.ensure_future(self.call(session))
            if self.chance.random() < 0.2:
                await asyncio.sleep(self.chance.uniform(0, 0.3))
                running.cancel()
            await asyncio.wait([running])

    async def call(self, session):
        try:
            async with asyncio.timeout(self.chance.choice([0.2, 5.0, 5.0])):
                await session.run(self.job())
        except (CometfluxError, TimeoutError):
            pass


async def soak(service, folder, load):
    session = Session(
        AiohttpTransport(service.key, service.url, times=Timeouts(answer=2.0, poll=1.0)),
        journal=JournalWriter(folder, Account(base_url=service.url, key=service.key)),
        on_event=load.listen,
        max_pending=24,
        poll_policy=PollPolicy.every(0.1),
        retry_policy=RetryPolicy(wait=0.05),
    )
    async with session, asyncio.TaskGroup() as group:
        group.create_task(load.batches(session, folder))
        for _ in range(CALLERS):
            group.create_task(load.calls(session))
    return [repr(task) for task in asyncio.all_tasks() - {asyncio.current_task()}]


def report(service, folder, load):
    with Journal(folder) as journal:
        records = {record.key: record for record in journal.records()}
    ids = {record.prediction_id for record in records.values()}
    unknown = {key for key, record in records.items() if record.state_name == "unknown"}
    assert load.handed_over == load.ended
    return {
        "handed over": load.handed_over.total(),
        "ended": dict(load.kinds),
        "bills": len(service.bills),
        "lost": len(lost(service.bills, ids, unknown) + lost(service.bills, load.ids, load.unknown)),
        "twice": len(repeated(service.bills)),
    }


def files_open():
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else None


def main(folder, seconds):
    # The duration of a step of the loop depends only on the machine.
    logging.getLogger("asyncio").addFilter(lambda record: "took" not in record.msg)
    began, before = time.monotonic(), files_open()
    load = Load(seconds)
    with LocalService.in_thread(latency=0.15, pixels=64, seed=1) as service:
        for fault in FAULTS:
            service.fail(**fault)
        tasks = asyncio.run(soak(service, folder, load))
        found = report(service, folder, load)
    gc.collect()
    found |= {"seconds": time.monotonic() - began, "tasks": tasks, "files before": before, "files after": files_open()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
