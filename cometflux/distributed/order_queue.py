"""Which order goes where, and when: values in, values out, and the time is a parameter.

The rules:

* A page goes to the worker with the fewest pages for its width; it holds orders for one place.
* A page that is not answered in time is forgotten. Its orders go to another worker, and the second time to the driver.
* An order that waits too long goes to the driver, because outputs expire.
* A worker that did not answer in time gets no more pages until it answers; now and then it is tried with one order.
* A worker whose place refuses several times in a row gets no more orders. If no worker is left, the driver saves.
"""

import math
from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any, Generic, TypeVar

import attrs

T = TypeVar("T")

PAGE = 32
"""Orders in one page at most. A page costs the driver some milliseconds, however many orders it holds."""
PAUSE = 0.1
"""How long an order waits for others to fill a page, in seconds."""
OVERDUE = 60.0
"""How long a worker may take for a page with few orders, in seconds; for a full one twice as long."""
OLD = 20 * 60.0
"""After how many seconds an order goes to the driver at once. An output expires after about an hour."""
MOST_REFUSALS = 3
"""How often in a row a worker's place may refuse."""
TRIAL = 180.0
"""After how many seconds a worker that does not answer is tried again."""
_TRIES = 2
"""Workers that are given an order, one after the other, before the driver carries it out."""


@attrs.define(eq=False)
class Ticket(Generic[T]):
    """An order in the queue."""

    order: T
    place: Any
    """Orders for an equal place may share a page."""
    joined: float
    """When it came, in seconds of the caller's clock."""
    needs_driver: bool = False
    """Whether only the driver can carry it out."""
    tries: int = 0
    """How many workers were given it."""
    refused_by: set[str] = attrs.field(factory=set)
    """The workers that did not carry it out."""


@attrs.define(eq=False)
class PageUnderWay(Generic[T]):
    """A page at a worker."""

    worker: str
    tickets: list[Ticket[T]]
    deadline: float


@attrs.define
class Worker:
    """A worker, as the queue sees it."""

    width: int
    """Pages that it carries out at the same time."""
    pages: int = 0
    """Pages that it has."""
    refusals: int = 0
    """How often in a row its place refused."""
    next_trial: float | None = None
    """When it is tried again, since it did not answer in time; None if it answers."""

    @property
    def is_used(self) -> bool:
        """Whether it gets orders: it answers, and its place does not refuse."""
        return self.next_trial is None and not self._is_put_aside

    @property
    def _is_put_aside(self) -> bool:
        return self.refusals >= MOST_REFUSALS

    def is_on_trial(self, now: float) -> bool:
        """Whether it may be tried with one order."""
        return self.next_trial is not None and now >= self.next_trial and not self._is_put_aside

    def is_free(self, now: float) -> bool:
        """Whether it can be given a page."""
        return self.pages < self.width and (self.is_used or self.is_on_trial(now))


class OrderQueue(Generic[T]):
    """The orders that are not carried out yet."""

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}
        self._waiting: deque[Ticket[T]] = deque()
        self._own: list[Ticket[T]] = []
        self._under_way: set[PageUnderWay[T]] = set()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._own) + sum(len(page.tickets) for page in self._under_way)

    @property
    def has_workers(self) -> bool:
        """Whether a worker is there that gets orders."""
        return any(worker.is_used for worker in self.workers.values())

    @property
    def capacity(self) -> int:
        """How many orders the workers can hold before saving is behind."""
        return 2 * PAGE * sum(worker.width for worker in self.workers.values() if worker.is_used)

    def is_silent(self, name: str) -> bool:
        """Whether a worker did not answer in time, and has not answered since."""
        return name in self.workers and self.workers[name].next_trial is not None

    # ── orders ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def join(self, ticket: Ticket[T]) -> None:
        """Take an order."""
        (self._own if self._is_for_driver(ticket, ticket.joined) else self._waiting).append(ticket)

    def leave(self, ticket: Ticket[T]) -> None:
        """Forget an order whose caller has left. If it is at a worker, its result will be dropped."""
        for tickets in (self._waiting, self._own, *(page.tickets for page in self._under_way)):
            if ticket in tickets:
                tickets.remove(ticket)

    def take_own(self, now: float) -> list[Ticket[T]]:
        """Take the orders that the driver has to carry out."""
        # The oldest is in front.
        while self._waiting and now >= self._waiting[0].joined + OLD:
            self._own.append(self._waiting.popleft())
        own, self._own = self._own, []
        return own

    def _is_for_driver(self, ticket: Ticket[T], now: float = -math.inf) -> bool:
        if ticket.needs_driver or ticket.tries >= _TRIES:
            return True
        return not any(
            name not in ticket.refused_by and (worker.is_used or worker.is_on_trial(now))
            for name, worker in self.workers.items()
        )

    def _sort_again(self) -> None:
        """Move the orders that no worker can carry out any more to the driver's."""
        waiting, self._waiting = self._waiting, deque()
        for ticket in waiting:
            (self._own if self._is_for_driver(ticket) else self._waiting).append(ticket)

    def take_page(self, now: float) -> PageUnderWay[T] | None:
        """Take the next page and its worker; None if no page is ready, or no worker is free."""
        if not self._has_free_worker(now):
            return None
        for first in self._waiting:
            name = self._free_worker(first, now)
            if name is None:
                continue
            worker = self.workers[name]
            most = PAGE if worker.is_used else 1
            fitting = (each for each in self._waiting if each.place == first.place and name not in each.refused_by)
            tickets = list(islice(fitting, most))
            if len(tickets) < most and now < first.joined + PAUSE:
                continue
            for ticket in tickets:
                self._waiting.remove(ticket)
                ticket.tries += 1
            page = PageUnderWay(name, tickets, now + OVERDUE * (1 + len(tickets) / PAGE))
            self._under_way.add(page)
            worker.pages += 1
            if not worker.is_used:
                worker.next_trial = now + TRIAL
                # What has joined for the trial as well does not wait for the next one.
                self._sort_again()
            return page
        return None

    def _has_free_worker(self, now: float) -> bool:
        return any(worker.is_free(now) for worker in self.workers.values())

    def _free_worker(self, ticket: Ticket[T], now: float) -> str | None:
        free = [
            (worker.pages / worker.width, name)
            for name, worker in self.workers.items()
            if worker.is_free(now) and name not in ticket.refused_by
        ]
        return min(free)[1] if free else None

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def answered(self, page: PageUnderWay[T], *, is_refused: bool) -> list[Ticket[T]]:
        """Take a page that its worker answered; the caller has the results of its orders.

        *is_refused* says that the worker's place refused. None are returned if the answer came too late.
        """
        worker = self.workers.get(page.worker)
        if worker is not None:
            worker.next_trial = None
        if not self._end(page):
            return []
        if worker is not None:
            worker.refusals = worker.refusals + 1 if is_refused else 0
            if not worker.is_used:
                self._sort_again()
        return page.tickets

    def give_back(self, tickets: list[Ticket[T]], worker: str, *, to_driver: bool = False) -> None:
        """Take orders again that *worker* did not carry out, before all others: they are the oldest."""
        for ticket in tickets:
            ticket.refused_by.add(worker)
            ticket.needs_driver = ticket.needs_driver or to_driver
        self._own += [ticket for ticket in tickets if self._is_for_driver(ticket)]
        self._waiting.extendleft(ticket for ticket in reversed(tickets) if not self._is_for_driver(ticket))

    def failed(self, page: PageUnderWay[T], *, to_driver: bool = False) -> None:
        """Take the orders of a page again that was lost on its way, or that broke its worker."""
        if self._end(page):
            self.give_back(page.tickets, page.worker, to_driver=to_driver)

    def take_overdue(self, now: float) -> set[str]:
        """Forget the pages that are overdue; their orders are in the queue again.

        Returns the workers that have stopped answering.
        """
        overdue = [page for page in self._under_way if now >= page.deadline]
        names = {page.worker for page in overdue if page.worker in self.workers}
        stopped = {name for name in names if not self.is_silent(name)}
        for name in names:
            self.workers[name].next_trial = now + TRIAL
        for page in overdue:
            self.failed(page)
        if stopped:
            self._sort_again()
        return stopped

    def _end(self, page: PageUnderWay[T]) -> bool:
        if page not in self._under_way:
            return False
        self._under_way.remove(page)
        if (worker := self.workers.get(page.worker)) is not None:
            worker.pages -= 1
        return True

    # ── workers and time ─────────────────────────────────────────────────────────────────────────────────────────────

    def set_workers(self, widths: Mapping[str, int]) -> None:
        """Know the workers that are there, and how many pages each carries out at once.

        The orders of workers that are gone are in the queue again.
        """
        self.workers = {
            name: attrs.evolve(self.workers[name], width=width) if name in self.workers else Worker(width)
            for name, width in widths.items()
            if width > 0
        }
        for page in [page for page in self._under_way if page.worker not in self.workers]:
            self.failed(page)
        self._sort_again()

    def next_time(self, now: float) -> float | None:
        """Return when to look again if nothing happens until then; None if only an event can change anything."""
        times = [page.deadline for page in self._under_way]
        if self._own:
            times.append(now)
        if self._waiting:
            times.append(self._waiting[0].joined + OLD)
        waiting = self._waiting if self._has_free_worker(now) else ()
        ready = (ticket for ticket in waiting if self._free_worker(ticket, now) is not None)
        if (first := next(ready, None)) is not None:
            times.append(max(now, first.joined + PAUSE))
        return min(times, default=None)
