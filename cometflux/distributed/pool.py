"""Saves the outputs of a session on workers elsewhere, and in this process what they cannot save.

The workers carry out orders that may be lost, repeated or doubled: one put wins, and the others find it. Nothing that
costs money is done there. The engine, which starts work on the workers, is any object with the verbs of `Engine`.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import attrs

from cometflux.distributed import orders
from cometflux.distributed.engine import Engine, EngineLostError
from cometflux.distributed.order_queue import OrderQueue, PageUnderWay, Ticket
from cometflux.distributed.proofs import Proofs
from cometflux.distributed.workbench import address_of
from cometflux.distributed.wrong_answers import Flaw, believed, find_flaw
from cometflux.engine.runtime import Runtime
from cometflux.engine.savers import SaveOrder, SaveResult, Savers
from cometflux.errors import ConfigError
from cometflux.events import Attempt
from cometflux.number_checks import is_whole
from cometflux.storage.destination import Destination

_log = logging.getLogger("cometflux.distributed")

ROLL_CALL = 1.0
"""How often to look which workers are there, in seconds."""
REOPEN = 10.0
"""How long to wait before a lost engine is opened again, in seconds."""


@attrs.define(eq=False)
class _Waiting:
    """An order, and the caller who waits for its result."""

    order: SaveOrder
    attempts: list[Attempt] | None
    result: asyncio.Future[SaveResult]


_NOTHING_DONE = orders.Result(fault=orders.Fault(message="the worker did nothing", is_transient=True))


class SaverPool:
    """Saves on the workers of an engine; satisfies `Savers`.

    Args:
        engine: starts the work; opened and closed by the pool.
        settings: how a worker fetches and writes.
        version: the version of this package, which the workers must have.
    """

    def __init__(self, engine: Engine, settings: orders.WorkSettings, version: str) -> None:
        self._engine = engine
        self._settings = settings
        self._version = version
        self._runtime = Runtime()
        self._queue: OrderQueue[_Waiting] = OrderQueue()
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._sending: dict[PageUnderWay[_Waiting], asyncio.Task[None]] = {}
        self._is_lost = False
        self._proofs = Proofs(
            lambda place, worker, note: self._ask(worker, place, note=note), lambda: self._runtime.now()
        )
        self._told: set[tuple[str, str]] = set()
        """What was said of which worker."""
        self._saving: set[Ticket[_Waiting]] = set()
        self._had_workers = False
        """Whether workers were used when that was looked at last."""
        self._is_broken = False
        """Whether the queue failed, by a defect. This process then saves every image."""

    # ── opening and closing ──────────────────────────────────────────────────────────────────────────────────────────

    async def open(self, own: Savers) -> None:
        """Connect to the engine; *own* saves what no worker can save.

        Raises:
            ConfigError: the engine cannot be used, or cannot be reached.
        """
        self._own = own
        self._runtime.enter()
        try:
            await self._engine.open()
            self._queue.set_workers(_checked(await self._engine.workers()))
        except BaseException as error:
            await self._engine.aclose()
            if isinstance(error, EngineLostError):
                raise ConfigError(str(error)) from error
            if isinstance(error, Exception) and not isinstance(error, ConfigError):
                # An engine may have errors of its own.
                raise ConfigError(f"the workers cannot be used: {str(error) or type(error).__name__}") from error
            raise
        self._had_workers = self._queue.has_workers
        if not self._had_workers:
            _log.warning("there is no worker yet; this process saves the images until there is one")
        self._note_room()
        self._runtime.spawn(self._call_roll())
        self._runtime.spawn(self._dispatch())

    async def aclose(self) -> None:
        """End all work and disconnect. Images that a worker is saving are found by the next run."""
        await self._runtime.end_tasks((), 5.0)
        await self._engine.aclose()

    # ── the verbs of a session ───────────────────────────────────────────────────────────────────────────────────────

    async def prove(self, place: Destination) -> None:
        """Prove that *place* can be written to, from this process and from a worker of each host.

        Raises:
            ConfigError: it cannot.
        """
        await self._own.prove(place)
        # Raises if no worker can open it.
        address_of(place)
        await self._proofs.prove(place, [name for name, worker in self._queue.workers.items() if worker.is_used])
        self._use({name: worker.width for name, worker in self._queue.workers.items()})

    @property
    def is_behind(self) -> bool:
        """Whether there is something to wait for, at the workers or here."""
        return self._own.is_behind or not self._has_room.is_set()

    def _note_room(self) -> None:
        if not self._is_broken and self._queue.has_workers and len(self._queue) >= self._queue.capacity:
            self._has_room.clear()
        else:
            self._has_room.set()

    async def caught_up(self) -> None:
        """Wait until saving is not behind, at the workers and here."""
        while self.is_behind:
            await self._own.caught_up()
            await self._has_room.wait()

    async def save(self, order: SaveOrder, attempts: list[Attempt] | None = None) -> SaveResult:
        """Save on a worker; see `Savers.save`."""
        is_here = not order.prediction.output or any(url[:5].lower() == "data:" for url in order.prediction.output)
        if is_here or self._is_broken:
            return await self._own.save(order, attempts)
        waiting = _Waiting(order, attempts, asyncio.get_running_loop().create_future())
        ticket = Ticket(waiting, order.place, self._runtime.now())
        self._queue.join(ticket)
        self._saving.add(ticket)
        self._changed.set()
        try:
            return await waiting.result
        except BaseException:
            # An order with a result has left the queue.
            self._queue.leave(ticket)
            raise
        finally:
            self._saving.discard(ticket)
            if not self._has_room.is_set():
                self._note_room()

    # ── the queue ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _dispatch(self) -> None:
        try:
            await self._keep_sending()
        except Exception:  # noqa: BLE001 - a defect here must not keep paid images from being saved
            _log.exception("the queue of the workers failed; this process saves the images")
            self._is_broken = True
            self._note_room()
            for ticket in self._saving:
                self._runtime.spawn(self._save_here(ticket))

    async def _keep_sending(self) -> None:
        while True:
            self._changed.clear()
            now = self._runtime.now()
            # Their pages are not given up, so that a late answer is noticed.
            for name in self._queue.take_overdue(now):
                _log.warning("the worker %s does not answer; its images are saved elsewhere until it does", name)
            for ticket in self._queue.take_own(now):
                self._runtime.spawn(self._save_here(ticket))
            while (page := self._queue.take_page(now)) is not None:
                self._sending[page] = self._runtime.spawn(self._send(page, [*page.tickets]))
            self._note_room()
            await self._wait(self._queue.next_time(now))

    async def _wait(self, until: float | None) -> None:
        timer = None if until is None else self._runtime.call_at(until, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _save_here(self, ticket: Ticket[_Waiting]) -> None:
        waiting = ticket.order
        try:
            result = await self._own.save(waiting.order, waiting.attempts)
            if ticket.refused_by:
                result = await believed(waiting.order, result)
        except Exception as error:  # noqa: BLE001 - whoever waits gets it, whatever it is
            if not waiting.result.done():
                waiting.result.set_exception(error)
            return
        if not waiting.result.done():
            waiting.result.set_result(result)

    async def _send(self, page: PageUnderWay[_Waiting], tickets: Sequence[Ticket[_Waiting]]) -> None:
        place = tickets[0].order.order.place
        try:
            travelling = tuple(_order(ticket.order.order) for ticket in tickets)
            answer = await self._ask(page.worker, place, travelling)
            flaw = await find_flaw(answer, place)
        except EngineLostError:
            self._queue.failed(page, to_driver=True)
        except Exception as error:  # noqa: BLE001 - an engine has errors of its own; the images are saved here
            self._complain(page.worker, "failed", str(error) or type(error).__name__)
            self._queue.failed(page, to_driver=True)
        else:
            results = answer.results if flaw is None or flaw.spares_others else ()
            self._take(page, dict(zip(tickets, results, strict=False)), flaw)
        finally:
            self._sending.pop(page, None)
            self._changed.set()

    def _take(
        self, page: PageUnderWay[_Waiting], results: Mapping[Ticket[_Waiting], orders.Result], flaw: Flaw | None
    ) -> None:
        if self._queue.is_silent(page.worker):
            _log.warning("the worker %s answers again", page.worker)
        if flaw is not None:
            self._complain(page.worker, flaw.what, flaw.reason)
        for_others, for_driver = [], []
        for ticket in self._queue.answered(page, is_refused=flaw is not None):
            result = results.get(ticket, _NOTHING_DONE)
            if result.fault is None:
                _deliver(ticket.order, result)
            # An image counts as unsaved, and the session stops, only if this process cannot save it either.
            elif result.fault.is_disk or result.fault.is_transient:
                for_others.append(ticket)
            else:
                for_driver.append(ticket)
        self._queue.give_back(for_others, page.worker)
        self._queue.give_back(for_driver, page.worker, to_driver=True)

    def _complain(self, worker: str, what: str, reason: str) -> None:
        """Say once of a worker what is wrong with it."""
        if (worker, what) not in self._told:
            self._told.add((worker, what))
            _log.warning("the worker %s %s; its images are saved elsewhere: %s", worker, what, reason)

    async def _ask(
        self, worker: str, place: Destination, travelling: tuple[orders.Order, ...] = (), note: str | None = None
    ) -> orders.Answer:
        address = address_of(place)
        page = orders.Page(version=self._version, place=address, settings=self._settings, orders=travelling, note=note)
        return orders.load_answer(await self._engine.carry_out(orders.dump(page), worker), travelling)

    # ── the workers ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _call_roll(self) -> None:
        while True:
            await asyncio.sleep(REOPEN if self._is_lost else ROLL_CALL)
            try:
                if self._is_lost:
                    await self._engine.open()
                self._note_workers(_checked(await self._engine.workers()))
                self._is_lost = False
            except Exception as error:  # noqa: BLE001 - as in `open`; the next look may find the workers
                if not self._is_lost:
                    reason = str(error) or type(error).__name__
                    _log.warning("%s; this process saves the images meanwhile", reason)
                self._is_lost = True
                self._note_workers({})

    def _note_workers(self, there: Mapping[str, int]) -> None:
        for name in sorted(set(self._queue.workers) - set(there)) if not self._is_lost else ():
            _log.warning("the worker %s is gone; its images are saved elsewhere", name)
        for name in self._proofs.due(there):
            self._runtime.spawn(self._proofs.catch_up(name))
        self._use(there)

    def _use(self, there: Mapping[str, int]) -> None:
        self._queue.set_workers(self._proofs.admitted(there))
        for page in [page for page in self._sending if page.worker not in self._queue.workers]:
            self._sending.pop(page).cancel()
        if self._had_workers and not self._queue.has_workers:
            _log.warning("no worker is left; this process saves the images, more slowly")
        elif not self._had_workers and self._queue.has_workers:
            _log.warning("workers are available; they save the images")
        self._had_workers = self._queue.has_workers
        self._changed.set()


def _checked(workers: object) -> dict[str, int]:
    """Return the workers of an engine, which may be one's own.

    Raises:
        ConfigError: they are not names with a number each.
    """
    if isinstance(workers, Mapping):
        found = dict(workers)
        if all(isinstance(name, str) and is_whole(width, 1) for name, width in found.items()):
            return found
    raise ConfigError(f"the engine's workers must be a mapping from names to numbers of pages, not {workers!r:.80}")


def _order(order: SaveOrder) -> orders.Order:
    return orders.Order(
        prediction_id=order.prediction.id,
        output=order.prediction.output,
        stem=order.stem,
        record=order.record,
        earlier_stems=order.earlier_stems,
        is_named=order.is_named,
    )


def _deliver(waiting: _Waiting, result: orders.Result) -> None:
    place = waiting.order.place
    files = tuple(attrs.evolve(place.at(each.name, each.size, each.digest), mark=each.mark) for each in result.files)
    if waiting.attempts is not None:
        waiting.attempts += [each.as_attempt() for each in result.exchanges]
    if not waiting.result.done():
        waiting.result.set_result(SaveResult(files=files))
