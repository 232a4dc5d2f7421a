"""Which order goes where, and when: values in, values out, and the time is a parameter.

The rules:

* A page goes to the worker with the fewest pages for its width; it holds orders for one place.
* A page that is not answered in time is forgotten. Its orders go to another worker, and the second time to the driver.
* An order that waits too long goes to the driver, because outputs expire.
* A worker whose place refuses several times in a row gets no more orders. If no worker is left, the driver saves.
"""

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any, Generic, TypeVar

import attrs

T = TypeVar("T")

PAGE = 16
"""Orders in one page at most. A page costs the driver some milliseconds, however many orders it holds."""
PAUSE = 0.1
"""How long an order waits for others to fill a page, in seconds."""
OVERDUE = 60.0
"""How long a worker may take for a page, in seconds."""
OLD = 20 * 60.0
"""After how many seconds an order goes to the driver at once. An output expires after about an hour."""
MOST_REFUSALS = 3
"""How often in a row a worker's place may refuse."""
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

    @property
    def is_put_aside(self) -> bool:
        """Whether it gets no more orders."""
        return self.refusals >= MOST_REFUSALS


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
        """Whether a worker is there that is not put aside."""
        return any(not worker.is_put_aside for worker in self.workers.values())

    @property
    def capacity(self) -> int:
        """How many orders the workers can hold before saving is behind."""
        return 2 * PAGE * sum(worker.width for worker in self.workers.values() if not worker.is_put_aside)

    # ── orders ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def join(self, ticket: Ticket[T]) -> None:
        """Take an order."""
        (self._own if self._is_for_driver(ticket) else self._waiting).append(ticket)

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

    def _is_for_driver(self, ticket: Ticket[T]) -> bool:
        if ticket.needs_driver or ticket.tries >= _TRIES:
            return True
        return not any(self._may_take(name, ticket) for name in self.workers)

    def _sort_again(self) -> None:
        """Move the orders that no worker can carry out any more to the driver's."""
        self._own += [ticket for ticket in self._waiting if self._is_for_driver(ticket)]
        self._waiting = deque(ticket for ticket in self._waiting if not self._is_for_driver(ticket))

    def _may_take(self, name: str, ticket: Ticket[T]) -> bool:
        return not self.workers[name].is_put_aside and name not in ticket.refused_by

    def take_page(self, now: float) -> PageUnderWay[T] | None:
        """Take the next page and its worker; None if no page is ready, or no worker is free."""
        if not self._has_free_worker:
            return None
        for first in self._waiting:
            worker = self._free_worker(first)
            if worker is None:
                continue
            fitting = (each for each in self._waiting if each.place == first.place and self._may_take(worker, each))
            tickets = list(islice(fitting, PAGE))
            if len(tickets) < PAGE and now < first.joined + PAUSE:
                continue
            for ticket in tickets:
                self._waiting.remove(ticket)
                ticket.tries += 1
            page = PageUnderWay(worker, tickets, now + OVERDUE)
            self._under_way.add(page)
            self.workers[worker].pages += 1
            return page
        return None

    @property
    def _has_free_worker(self) -> bool:
        return any(worker.pages < worker.width for worker in self.workers.values())

    def _free_worker(self, ticket: Ticket[T]) -> str | None:
        free = [
            (worker.pages / worker.width, name)
            for name, worker in self.workers.items()
            if worker.pages < worker.width and self._may_take(name, ticket)
        ]
        return min(free)[1] if free else None

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def answered(self, page: PageUnderWay[T], *, is_refused: bool) -> list[Ticket[T]]:
        """Take a page that its worker answered; the caller has the results of its orders.

        *is_refused* says that the worker's place refused. None are returned if the answer came too late.
        """
        if not self._end(page):
            return []
        worker = self.workers.get(page.worker)
        if worker is not None:
            worker.refusals = worker.refusals + 1 if is_refused else 0
            if worker.is_put_aside:
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

    def take_overdue(self, now: float) -> list[PageUnderWay[T]]:
        """Forget the pages that are overdue; their orders are in the queue again."""
        overdue = [page for page in self._under_way if now >= page.deadline]
        for page in overdue:
            self.failed(page)
        return overdue

    def _end(self, page: PageUnderWay[T]) -> bool:
        if page not in self._under_way:
            return False
        self._under_way.remove(page)
        if (worker := self.workers.get(page.worker)) is not None:
            worker.pages -= 1
        return True

    # ── workers and time ─────────────────────────────────────────────────────────────────────────────────────────────

    def set_workers(self, widths: Mapping[str, int]) -> list[PageUnderWay[T]]:
        """Know the workers that are there, and how many pages each carries out at once.

        Returns the pages of workers that are gone; their orders are in the queue again.
        """
        self.workers = {
            name: attrs.evolve(self.workers[name], width=width) if name in self.workers else Worker(width)
            for name, width in widths.items()
            if width > 0
        }
        lost = [page for page in self._under_way if page.worker not in self.workers]
        for page in lost:
            self.failed(page)
        self._sort_again()
        return lost

    def next_time(self, now: float) -> float | None:
        """Return when to look again if nothing happens until then; None if only an event can change anything."""
        times = [page.deadline for page in self._under_way]
        if self._own:
            times.append(now)
        if self._waiting:
            times.append(self._waiting[0].joined + OLD)
        waiting = self._waiting if self._has_free_worker else ()
        ready = (ticket for ticket in waiting if self._free_worker(ticket) is not None)
        if (first := next(ready, None)) is not None:
            times.append(max(now, first.joined + PAUSE))
        return min(times, default=None)
