"""A batch: draws jobs from the caller's iterable, and yields outcomes as they end.

`BatchState` is the state, which the session holds. `Batch` is the caller's handle. The session does not hold a `Batch`,
so a dropped one is noticed, and drawing stops.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sized
from types import TracebackType
from typing import Self

import attrs

from cometflux.errors import InputError
from cometflux.jobs import Job, PlannedJob
from cometflux.journal.marks import Marks, NameMarks, mark_of
from cometflux.outcomes import Outcome
from cometflux.storage.naming import NameTemplate

_END = object()
_MOST_AT_ONCE = 100
_MOST_HELD = 1000
"""At most so many jobs of a batch wait for other jobs, whose images they take. Those were drawn before, so they end."""


class BatchState:
    """The session's state of one batch."""

    def __init__(
        self, jobs: object, slots: int, redo: frozenset[str] = frozenset(), names: NameTemplate | None = None
    ) -> None:
        self.redo = redo
        """The states and the keys of the jobs to make again although they are over."""
        self._next = _drawer(jobs)
        self._is_async = isinstance(jobs, AsyncIterable)
        self._generator = jobs if isinstance(jobs, AsyncGenerator) else None
        self._names = names
        self._taken_names = NameMarks()
        # As many outcomes may wait to be taken as there are slots, apart from the slots themselves.
        self._most = 2 * slots
        # Kept for each job drawn, so kept small.
        self._keys = Marks()
        self._alike = Marks()
        self._outcomes: deque[Outcome] = deque()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._unfinished = 0
        self.is_closed = False
        """Whether nothing more is drawn."""
        self._error: BaseException | None = None
        self.is_finite = isinstance(jobs, Sized)
        """Whether it is known that the jobs come to an end."""
        self.total = len(jobs) if isinstance(jobs, Sized) else None
        """The number of jobs; None if the iterable has no length."""
        self.held = 0
        """How many of its jobs wait for other jobs, whose images they take."""
        self.drawn = 0
        """How many jobs have been drawn."""

    async def room(self) -> None:
        """Wait until the caller has taken enough outcomes for another job to be drawn."""
        while self._active + len(self._outcomes) >= self._most or self.held >= _MOST_HELD:
            self._taken.clear()
            await self._taken.wait()

    @property
    def _active(self) -> int:
        """How many jobs are not over, without those that wait for another job, whose image they take."""
        return self._unfinished - self.held

    def note_ready(self) -> None:
        """Note that a job does not wait for other jobs any more."""
        self.held -= 1
        self._taken.set()

    @property
    def most_at_once(self) -> int:
        """How many jobs may be drawn one after the other now. An async iterable may wait for outcomes between two."""
        if self._is_async:
            return 1
        slots = self._most // 2
        active = self._active
        return min(slots - active, self._most - active - len(self._outcomes), _MOST_AT_ONCE)

    async def draw(self) -> PlannedJob | None:
        """Draw the next job; None if there are no more.

        Raises:
            Exception: whatever the caller's iterable raises.
            InputError: the item is not a job, or its key or its name was drawn before.
        """
        item = await self._next()
        # An iterable that swallows its cancellation may still hand something out.
        if item is _END or self.is_closed:
            return None
        drawn = item if isinstance(item, PlannedJob) else PlannedJob(job=Job.of(item), index=self.drawn)
        job = drawn.job
        if job.key is not None and self._keys.count(mark_of(job.key)) > 1:
            raise InputError("key", job.key, "an earlier job of this batch has this key")
        if self._names is not None and drawn.name is None:
            drawn = attrs.evolve(drawn, name=self._name(drawn, self._names))
        return drawn

    def count(self) -> None:
        """Count a drawn job, whose outcome is delivered from now on."""
        self.drawn += 1
        self._unfinished += 1

    def _name(self, drawn: PlannedJob, names: NameTemplate) -> str:
        name = names.fill(drawn.index, drawn.job)
        if self._taken_names.add(name, drawn.job.input, self.drawn) is not None:
            raise InputError("name", name, "an earlier job of this batch has this name")
        return name

    def count_alike(self, fingerprint: str) -> int:
        """Return how many jobs that ask for the same have been drawn, with this one."""
        return self._alike.count(bytes.fromhex(fingerprint)[:16])

    def deliver(self, outcome: Outcome) -> None:
        """Take the outcome of a job that was drawn here."""
        self._unfinished -= 1
        self._outcomes.append(outcome)
        self._arrived.set()

    def note(self, error: BaseException) -> None:
        """Note the error to raise after the last outcome, unless there is one already."""
        self._error = self._error or error

    def close(self, error: BaseException | None = None) -> None:
        """Stop drawing; the first *error* is raised after the last outcome."""
        if not self._is_over:
            self._error = self._error or error
        self.is_closed = True
        self._arrived.set()

    @property
    def open_source(self) -> AsyncGenerator[object, None] | None:
        """The async generator that the jobs come from; None if it has returned, or they come from something else."""
        is_over = self._generator is None or getattr(self._generator, "ag_frame", True) is None
        return None if is_over else self._generator

    @property
    def _is_over(self) -> bool:
        return self.is_closed and not self._unfinished

    async def take(self) -> Outcome:
        """Return the next outcome. Cancelling this loses none.

        Raises:
            StopAsyncIteration: there are no more.
            Exception: there are no more, for this reason; raised at every call.
        """
        while not self._outcomes:
            if self._is_over:
                raise self._error or StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        self._taken.set()
        return self._outcomes.popleft()


class Batch:
    """The outcomes of many jobs, as they end, in any order.

    Iterate with ``async for``. The batch takes a job when a slot is free and outcomes are taken. If you leave the loop,
    or the batch's ``async with``, it takes no more jobs; predictions that are paid for continue, and are saved as long
    as the session is open. Several tasks may iterate over one batch: each outcome goes to one of them. If the batch
    ends early, because the session stopped or your iterable raised an exception, the reason is raised after the last
    outcome.
    """

    def __init__(
        self, drawing: BatchState, start: Callable[[BatchState], None], leave: Callable[[BatchState], None]
    ) -> None:
        self._drawing = drawing
        self._start: Callable[[BatchState], None] | None = start
        self._leave = leave
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Stop taking jobs at once, like leaving the batch's ``async with``."""
        self._start = None
        self._leave(self._drawing)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        self._begin()
        return await self._drawing.take()

    def __length_hint__(self) -> int:
        return NotImplemented if self._drawing.total is None else self._drawing.total

    def _begin(self) -> None:
        start, self._start = self._start, None
        if start is not None:
            self._loop = asyncio.get_running_loop()
            try:
                start(self._drawing)
            except BaseException as error:
                # Every task that iterates gets it.
                self._drawing.close(error)
                raise

    def __del__(self) -> None:
        # The collector may run in any thread, so the loop is told, not touched.
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._leave, self._drawing)


def _drawer(jobs: object) -> Callable[[], Awaitable[object]]:
    if isinstance(jobs, AsyncIterable):
        items = aiter(jobs)
        return lambda: anext(items, _END)
    # Such a table iterates over the names of its columns, or over columns.
    if any(hasattr(jobs, way) for way in ("__arrow_c_stream__", "__arrow_c_array__", "__dataframe__", "iterrows")):
        allowed = "must be jobs, not a table; cometflux.sources.read_jobs makes jobs of its rows"
        raise InputError("jobs", type(jobs).__name__, allowed)
    if isinstance(jobs, str | bytes | Job | Mapping) or not isinstance(jobs, Iterable):
        raise InputError("jobs", jobs, "must be an iterable or async iterable of jobs; for one job use run()")
    iterator = iter(jobs)

    async def draw() -> object:
        try:
            return next(iterator, _END)
        except StopAsyncIteration as error:
            # Handed on as it is, it would look like the end of the batch.
            raise RuntimeError("the iterable of jobs raised StopAsyncIteration") from error

    return draw
