"""Which hosts can write to the places of a session: one worker proves a place for all workers of its host.

A host where a place refuses is never used in this session. One that only did not answer is tried again.
"""

import asyncio
import logging
import math
import os
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping

import attrs

from cometflux.distributed.engine import EngineLostError
from cometflux.distributed.orders import Answer
from cometflux.errors import ConfigError
from cometflux.storage.backend import RefusedError
from cometflux.storage.destination import Destination

_log = logging.getLogger("cometflux.distributed")

PROOF = 15.0
"""How long a worker may take to prove that a place can be written to, in seconds."""
AGAIN = 60.0
"""After how many seconds a host that did not answer is tried again."""


@attrs.frozen
class Doubt:
    """Why a worker did not prove that it can write to a place."""

    reason: str
    may_pass: bool = False
    """Whether it only did not answer."""


class Proofs:
    """What the hosts have proven.

    Args:
        ask: lets a worker look for a file that this process wrote to a place, and write there itself. Takes the place,
            the worker, and the file's name.
        now: returns the time, in seconds.
    """

    def __init__(self, ask: Callable[[Destination, str, str], Awaitable[Answer]], now: Callable[[], float]) -> None:
        self._ask = ask
        self._now = now
        self._places: dict[str, Destination] = {}
        """The places of this session, to which each used host can write."""
        self._proven: dict[str, set[str]] = {}
        """The places that each host has proven."""
        self._again: dict[str, float] = {}
        """The hosts that are not used, each with the time from which it is tried again."""
        self._trying: set[str] = set()

    # ── who is used ──────────────────────────────────────────────────────────────────────────────────────────────────

    def admitted(self, widths: Mapping[str, int]) -> dict[str, int]:
        """Return those workers whose hosts have proven all places."""
        return {name: width for name, width in widths.items() if not self._lacking(_host_of(name))}

    def due(self, workers: Iterable[str]) -> list[str]:
        """Return a worker of each host that has to `catch_up` now."""
        return [name for host, name in _one_of_each(workers).items() if self._is_due(host)]

    def _is_due(self, host: str) -> bool:
        is_time = self._now() >= self._again.get(host, -math.inf)
        return is_time and host not in self._trying and bool(self._lacking(host))

    def _lacking(self, host: str) -> set[str]:
        return self._places.keys() - self._proven.get(host, set())

    def _note(self, host: str, place: str, doubt: Doubt | None) -> None:
        proven = self._proven.setdefault(host, set())
        if doubt is None:
            proven.add(place)
            return
        proven.discard(place)
        if host not in self._again:
            then = f", and are tried again every {AGAIN:g} s" if doubt.may_pass else ""
            _log.warning("%s; the workers of this host are not used%s", doubt.reason, then)
        self._again[host] = self._now() + AGAIN if doubt.may_pass else math.inf

    # ── proving ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def prove(self, place: Destination, workers: Iterable[str]) -> None:
        """Prove a place from a worker of each host. A host that does not answer is not used for now.

        Raises:
            ConfigError: a worker cannot write to it, or this process cannot.
        """
        by_host = _one_of_each(workers)
        doubts = await self._prove(place, by_host.values())
        for doubt in doubts:
            if doubt is not None and not doubt.may_pass:
                raise ConfigError(doubt.reason)
        # Hosts that came meanwhile lack it from now on.
        self._places[str(place)] = place
        for host, doubt in zip(by_host, doubts, strict=True):
            self._note(host, str(place), doubt)

    async def catch_up(self, worker: str) -> None:
        """Let a worker prove, for its host, the places which that lacks: it came later, or did not answer before."""
        host = _host_of(worker)
        self._trying.add(host)
        try:
            for name in self._lacking(host):
                if not await self._has_proven(host, name, worker):
                    return
        finally:
            self._trying.discard(host)
        if self._again.pop(host, None) is not None:
            _log.warning("the worker %s answers; the workers of its host are used", worker)

    async def _has_proven(self, host: str, name: str, worker: str) -> bool:
        place = self._places.get(name)
        if place is None:
            return True
        try:
            (doubt,) = await self._prove(place, [worker])
        except ConfigError as error:
            # No fault of the host's. The next batch for this place proves it anew.
            if self._places.pop(name, None) is not None:
                _log.warning("%s; workers that join from now on do not prove that they can", error.message)
            return True
        self._note(host, name, doubt)
        return doubt is None

    async def _prove(self, place: Destination, workers: Iterable[str]) -> list[Doubt | None]:
        """Let each worker prove that it can write to *place*; return why it did not, or None, for each.

        Raises:
            ConfigError: this process cannot.
        """
        note = f".cometflux-{os.urandom(8).hex()}"
        try:
            async with asyncio.timeout(PROOF):
                await place.put_note(note, b"cometflux\n")
            return await asyncio.gather(*[self._prove_from(worker, place, note) for worker in workers])
        except RefusedError as refusal:
            raise ConfigError(f"{place} cannot be written to: {refusal}") from refusal
        except TimeoutError as error:
            raise ConfigError(f"{place} cannot be written to: it did not answer within {PROOF:g} s") from error
        finally:
            await place.remove_note(note)

    async def _prove_from(self, worker: str, place: Destination, note: str) -> Doubt | None:
        try:
            async with asyncio.timeout(PROOF):
                answer = await self._ask(place, worker, note)
        except TimeoutError:
            return Doubt(f"the worker {worker} did not answer within {PROOF:g} s", may_pass=True)
        except EngineLostError as error:
            return Doubt(f"the worker {worker} cannot be reached: {error}", may_pass=True)
        except Exception as error:  # noqa: BLE001 - an engine has errors of its own
            return Doubt(f"the worker {worker} cannot save: {str(error) or type(error).__name__}")
        return None if answer.refusal is None else Doubt(f"the worker {worker} cannot save: {answer.refusal}")


def _host_of(worker: str) -> str:
    return worker.rpartition(":")[0]


def _one_of_each(workers: Iterable[str]) -> dict[str, str]:
    """Return a worker of each host; another one each time, since one may hang."""
    names = [*workers]
    random.shuffle(names)
    return {_host_of(name): name for name in names}
