"""A batch of a program of its own that gets Ctrl-C twice: the second one at any line of the code that its loop runs.

    python interrupted_process.py URL KEY FOLDER GRACE SECONDS LINES

The first one comes after SECONDS, the second one LINES lines later.
"""

import asyncio
import signal
import sys

from cometflux import Job, PollPolicy, Session
from cometflux.journal.writer import JournalWriter
from cometflux.transport.aiohttp import AiohttpTransport

JOBS = 30
CODE = ("asyncio", "cometflux", "concurrent", "selectors")


def press():
    signal.raise_signal(signal.SIGINT)


def press_later(lines):
    """Press Ctrl-C when so many lines of the code have run."""

    def enter(frame, event, arg):
        return count if any(name in frame.f_code.co_filename for name in CODE) else None

    def count(frame, event, arg):
        nonlocal lines
        lines -= event == "line"
        if not lines:
            sys.settrace(None)
            press()
        return count

    sys.settrace(enter)


async def main(url, key, folder, grace, seconds, lines):
    def press_twice():
        press()
        press_later(int(lines))

    asyncio.get_running_loop().call_later(float(seconds), press_twice)
    transport = AiohttpTransport(key, url)
    pace = {"max_pending": 12, "poll_policy": PollPolicy.every(0.1)}
    async with Session(transport, journal=JournalWriter(folder), grace=float(grace), **pace) as session:
        prompts = [f"boat {number}" for number in range(JOBS)]
        jobs = [Job(model="black-forest-labs/flux-schnell", input={"prompt": each}, key=each) for each in prompts]
        async for _ in session.generate(jobs, save_to=folder):
            pass


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
