"""The journal, written from the event loop: what many tasks hand in while one write runs goes out with the next.

One thread does the writing, so the loop never waits for the disk.
"""

import asyncio
import concurrent.futures
import contextlib
import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cometflux.errors import JournalError
from cometflux.journal.base import Opened
from cometflux.journal.record import JobRecord
from cometflux.journal.writer import JournalWriter
from cometflux.storage.folder import sweep
from cometflux.transport.deadlines import finish

_MOST_CLAIMED = 100_000
_LONGEST_WAIT = 0.25
"""How long what can wait does so, in seconds."""
_PREDICTION = "prediction:"
"""With this before its id, an order names a prediction. No job's identity begins like that."""


class _Order(NamedTuple):
    """Something for the journal to do: write *record*, or find the one of this *identity* or prediction.

    The thread reads *record* later, so it is a snapshot: the record of a running job changes meanwhile.
    """

    record: JobRecord | None
    is_new: bool
    identity: str
    done: "asyncio.Future[JobRecord | None] | None"


class BackgroundWriter:
    """Writes and reads a journal for the tasks of one loop, in the order of their calls. It is a `JournalBackend`.

    Args:
        writer: the journal; opened here, and closed here.
        on_fault: called with the error of each write that failed.
    """

    keeps = True

    def __init__(self, writer: JournalWriter, on_fault: Callable[[JournalError], None]) -> None:
        self._writer = writer
        self._on_fault = on_fault
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="cometflux-journal")
        self._loop: asyncio.AbstractEventLoop
        """Set by `open`, before which nothing is handed in."""
        self._orders: list[_Order] = []
        self._refused: dict[str, JobRecord] = {}
        """Records that the disk refused, by job; used by the journal's thread only."""
        self._claimed: set[int] | None = None
        """Marks of the jobs claimed, while they are few and the journal was empty before; else None."""
        self._is_open = False
        self._is_busy = False
        self._is_urgent = False
        """Whether there is an order that does not wait."""
        self._timer: asyncio.TimerHandle | None = None
        """Runs while there are only orders that wait."""
        self._is_closed = False
        self._closing: asyncio.Future[None] | None = None

    async def open(self, *, counts_cost: bool = False) -> Opened:
        """Open the journal; return what it holds. If this is cancelled, it lets others in before it ends.

        Raises:
            JournalError: see `JournalWriter.take`.
        """
        self._loop = asyncio.get_running_loop()
        opening = self._loop.run_in_executor(self._thread, self._take, counts_cost)
        try:
            opened = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The lock is taken in the thread, whatever becomes of the one who waits, and of the loop.
            closing = self._loop.run_in_executor(self._thread, self._writer.close)
            await finish(asyncio.gather(opening, closing, return_exceptions=True))
            raise
        self._is_open = True
        self._claimed = set() if opened.was_empty else None
        return opened

    def _take(self, counts_cost: bool) -> Opened:
        opened = self._writer.take(counts_cost=counts_cost)
        try:
            # Nobody else works here, and no batch does yet, so a half-written file is a killed run's.
            sweep(self._writer.path.absolute().parent)
        except BaseException:
            self._writer.close()
            raise
        return opened

    async def claim(self, identity: str) -> JobRecord | None:
        """Return the journal's record of a job; None if it has none.

        Raises:
            JournalError: it cannot be read.
        """
        return None if self._is_surely_new(identity) else await self.find(identity)

    async def find(self, identity: str) -> JobRecord | None:
        """Return the journal's record of a job, after everything that was handed in before; None if it has none.

        Raises:
            JournalError: it cannot be read.
        """
        return await self._hand_in(None, False, identity)

    async def find_each(self, identities: Sequence[str]) -> list[JobRecord | None]:
        """Return the journal's record of each job, as `find` does; None for a job of which it has none.

        Raises:
            JournalError: it cannot be read.
        """
        return await asyncio.gather(*[self._hand_in(None, False, identity) for identity in identities])

    async def find_prediction(self, prediction_id: str) -> JobRecord | None:
        """Return the record of the job whose last submission made this prediction; None if there is none.

        Raises:
            JournalError: it cannot be read.
        """
        return await self._hand_in(None, False, _PREDICTION + prediction_id)

    def _is_surely_new(self, identity: str) -> bool:
        """Whether the journal need not be read: it was empty, and no job of this identity was claimed since."""
        if self._claimed is None:
            return False
        # A new job that is taken for a known one is looked up, and that is all.
        mark = hash(identity)
        is_new = mark not in self._claimed
        self._claimed.add(mark)
        if len(self._claimed) > _MOST_CLAIMED:
            self._claimed = None
        return is_new

    def intent(self, record: JobRecord, *, is_new: bool) -> "asyncio.Future[JobRecord | None]":
        """Write *record*; it is on the disk when the result is there.

        Raises:
            JournalError: the disk refused.
        """
        return self._hand_in(record.snapshot(), is_new, record.identity)

    answer = intent

    def end(self, record: JobRecord, *, is_new: bool, can_wait: bool) -> None:
        """Write *record* without waiting; it is on the disk before anything that is handed in later.

        What *can_wait* does so for a quarter of a second at most, and is written together with what comes meanwhile.
        """
        self._put(_Order(record.snapshot(), is_new, record.identity, None), is_urgent=not can_wait)

    async def aclose(self) -> None:
        """Write what has been handed in, close the journal, and let others in.

        If this is cancelled, it closes the journal all the same, and delivers the cancellation afterwards.
        """
        if not self._is_open:
            return
        if self._closing is None:
            self._closing = self._loop.create_future()
            self._go_on()
        await finish(self._closing)

    def _finish(self) -> None:
        self._is_closed = True
        work = self._loop.run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)
        work.add_done_callback(self._tell_closed)

    def _tell_closed(self, work: "asyncio.Future[None]") -> None:
        assert self._closing is not None
        error = work.exception()
        if error is None:
            self._closing.set_result(None)
        else:
            self._closing.set_exception(error)

    def _hand_in(self, record: JobRecord | None, is_new: bool, identity: str) -> "asyncio.Future[JobRecord | None]":
        done: asyncio.Future[JobRecord | None] = self._loop.create_future()
        self._put(_Order(record, is_new, identity, done))
        return done

    def _put(self, order: _Order, *, is_urgent: bool = True) -> None:
        if self._is_closed:
            self._answer([order], {}, JournalError(f"the journal {str(self._writer.path)!r} is closed"))
            return
        self._orders.append(order)
        self._is_urgent |= is_urgent
        self._go_on()

    def _go_on(self) -> None:
        """Write what is there, unless a write runs, or let it wait; if it is the last, close the journal then."""
        if self._is_busy or self._is_closed:
            return
        if self._is_urgent or (self._orders and self._closing is not None):
            self._hurry()
        elif self._orders:
            self._timer = self._timer or self._loop.call_later(_LONGEST_WAIT, self._hurry)
        elif self._closing is not None:
            self._finish()

    def _hurry(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_busy = True
        # At the end of this step of the loop, so that what other tasks hand in meanwhile goes along.
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        orders, self._orders = self._orders, []
        self._is_urgent = False
        work = self._loop.run_in_executor(self._thread, self._carry_out, orders)
        work.add_done_callback(lambda done: self._tell(orders, done))

    def _carry_out(self, orders: list[_Order]) -> dict[str, JobRecord]:
        # Of several records of one job the last one counts.
        latest = {order.identity: order.record for order in orders if order.record}
        new = {order.identity for order in orders if order.record and order.is_new}
        added = [record for identity, record in latest.items() if identity in new]
        changed = [record for identity, record in latest.items() if identity not in new]
        if latest:
            self._commit(added, changed)
        wanted = [order.identity for order in orders if order.record is None]
        found = self._writer.find(wanted) if wanted else {}
        found |= {
            name: record
            for name in wanted
            if name.startswith(_PREDICTION)
            and (record := self._find_prediction(name.removeprefix(_PREDICTION))) is not None
        }
        # What the disk did not take happened all the same, later than what is on it.
        return found | {
            order.identity: self._refused[order.identity] for order in orders if order.identity in self._refused
        }

    def _find_prediction(self, prediction_id: str) -> JobRecord | None:
        for record in self._refused.values():
            if record.prediction_id == prediction_id:
                return record
        found = self._writer.find_prediction(prediction_id)
        return None if found is None or found.identity in self._refused else found

    def _commit(self, added: list[JobRecord], changed: list[JobRecord]) -> None:
        """Write, together with what the disk refused before: it may take it now, and it is what happened."""
        if self._refused:
            self._writer.make_room()
        fresh = {record.identity for record in (*added, *changed)}
        left = [record for identity, record in self._refused.items() if identity not in fresh]
        # Whether the disk had the first record of a job is not known any more.
        whole = [*left, *added, *(record for record in changed if record.identity in self._refused)]
        rest = [record for record in changed if record.identity not in self._refused]
        try:
            self._writer.commit(whole, rest)
        except JournalError:
            self._refused.update((record.identity, record) for record in (*added, *changed))
            raise
        self._refused.clear()

    def _close(self) -> None:
        try:
            if self._refused:
                with contextlib.suppress(JournalError):
                    self._commit([], [])
        finally:
            self._writer.close()

    def _tell(self, orders: list[_Order], work: "asyncio.Future[dict[str, JobRecord]]") -> None:
        error = work.exception()
        if error is not None and not isinstance(error, JournalError):
            error = JournalError(f"the journal failed ({type(error).__name__}: {error})")
        found = {} if error else work.result()
        self._is_busy = False
        try:
            self._answer(orders, found, error)
        finally:
            # Whoever was told may have handed in more.
            self._go_on()

    def _answer(self, orders: list[_Order], found: dict[str, JobRecord], error: JournalError | None) -> None:
        for order in orders:
            if order.done is None or order.done.done():
                continue
            if error is None:
                order.done.set_result(found.get(order.identity))
            else:
                # Each job gets an error of its own, to note whose it is.
                order.done.set_exception(copy.copy(error))
        if error is not None:
            self._on_fault(error)
