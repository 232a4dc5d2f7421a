"""A clock for tests: an event loop on which waiting takes no time.

Only the clock is virtual. Sockets, threads and files are real, so the code under test uses a real server. When only
timers are left to wait for, the clock jumps to the next timer at once. Work itself takes no virtual time, so a test can
assert exactly when something happens::

    async def test_a_poll_is_due_after_half_a_second():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.5)
        assert 0.5 == loop.time()

The loop only knows its own tasks and the threads that it starts. Other processes and threads run in real time: their
tests are marked ``realtime``.
"""

import asyncio
import selectors

LOOKS = 2
"""How often to look for events before the clock jumps, since one look can end just before an event arrives."""
LOOK = 0.001
"""The duration of one look, in real seconds; bytes cross the loopback much faster."""
GUARD = 30.0
"""The time without any event, in real seconds, after which the test fails."""


def now():
    """Return the time of the running loop."""
    return asyncio.get_running_loop().time()


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at 0 and jumps to the next timer when nothing else happens.

    *looks* may be 0 if nothing on the loop uses a socket or a thread.
    """

    def __init__(self, guard=GUARD, looks=LOOKS):
        self.guard = guard
        self.looks = looks
        self.work_in_threads = set()
        self._now = 0.0
        super().__init__(_QuietSelector(self))

    def time(self):
        return self._now

    def advance(self, seconds):
        self._now += seconds

    # asyncio.to_thread and the resolver of host names also call this.
    def run_in_executor(self, executor, func, *args):
        future = super().run_in_executor(executor, func, *args)
        self.work_in_threads.add(future)
        future.add_done_callback(self.work_in_threads.discard)
        return future

    # Python 3.12 and later join the threads with a timeout, which would expire at once on a virtual clock.
    async def shutdown_default_executor(self, *args, **kwargs):
        joining = object()
        self.work_in_threads.add(joining)
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self.work_in_threads.discard(joining)


class _QuietSelector(selectors.DefaultSelector):
    """Waits for events in real time, and skips the wait for timers."""

    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        # Callbacks are ready, so the loop only checks for events.
        if timeout == 0:
            return super().select(0)
        # A thread's result wakes the loop like an event, so the wait is the same. The clock does not run meanwhile,
        # because the duration of a thread must not affect the test's timers.
        if timeout is None or self._loop.work_in_threads:
            return super().select(self._loop.guard) or self._give_up()
        for _ in range(self._loop.looks):
            if events := super().select(LOOK):
                return events
        self._loop.advance(timeout)
        return []

    def _give_up(self):
        reason = "a thread is still at work" if self._loop.work_in_threads else "deadlock: nothing is scheduled"
        waiting = ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self._loop))) or "no task"
        raise RuntimeError(f"{reason}; nothing has happened for {self._loop.guard:g} real seconds; waiting: {waiting}")
