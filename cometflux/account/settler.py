"""Settle unknown submissions while a session runs: look in the account, and adopt what is proved."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing

import attrs

from cometflux.account.lists import AccountLists
from cometflux.account.settle import fetch_echoes
from cometflux.account.settling import EARLY, LATE, Doubt, Verdict, candidates_of, decide
from cometflux.basics.plain_text import log as _log
from cometflux.errors import AccountError
from cometflux.transport.client import Client

_LOOKS = (2.0, 8.0, 20.0, 30.0)
"""Seconds before each look. A task may come into the list some time after it was accepted."""


@attrs.define(kw_only=True)
class AccountSettler:
    """Settles the unknown submissions of one session. Those that wait at the same time are decided together."""

    open_lists: Callable[[], AccountLists]
    client: Client
    """Fetches the candidates, whose echoed input is the proof."""
    _doubts: dict[str, Doubt] = attrs.field(factory=dict, init=False)
    _adopted: dict[str, str] = attrs.field(factory=dict, init=False)
    """The ids that were proved in another job's look, by the identity of their own job."""
    _given: set[str] = attrs.field(factory=set, init=False)
    """The ids that were proved, whether or not their jobs have taken them yet."""
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    async def settle(self, doubt: Doubt, is_known: Callable[[str], bool]) -> str | None:
        """Return the id of the prediction that a submission is proved to be; None if it stays unknown.

        *is_known* says whether an id belongs to a job.
        """
        self._doubts[doubt.identity] = doubt
        try:
            for wait in _LOOKS:
                await asyncio.sleep(wait)
                async with self._turn:
                    if doubt.identity not in self._adopted:
                        verdict = await self._look(doubt.identity, is_known)
                        if verdict is None or verdict.outcome == "several":
                            return None
                if doubt.identity in self._adopted:
                    return self._adopted[doubt.identity]
        except AccountError as error:
            _log.warning("the account cannot settle an unknown submission: %s", error.problem)
        finally:
            del self._doubts[doubt.identity]
            self._adopted.pop(doubt.identity, None)
        return None

    async def _look(self, identity: str, is_known: Callable[[str], bool]) -> Verdict | None:
        """Decide about all submissions that wait; return the verdict on one."""
        doubts = [each for each in self._doubts.values() if each.identity not in self._adopted]
        times = [at for each in doubts for at in each.times if at is not None]
        now = time.time()
        async with aclosing(self.open_lists()) as lists:
            tasks, _ = await lists.tasks(min(times, default=now) - EARLY, max(times, default=now) + LATE)
        candidates = candidates_of(doubts, [task for task in tasks if not is_known(task.id)], self._given)
        echoes = await fetch_echoes(self.client, candidates)
        # A job may have got its id meanwhile.
        candidates = [task for task in candidates if not is_known(task.id)]
        # Absence is not acted upon here, so it need not be proved.
        verdicts = {each.identity: each for each in decide(doubts, candidates, echoes, now, is_complete=False)}
        self._adopted.update((name, each.ids[-1]) for name, each in verdicts.items() if each.outcome == "adopted")
        self._given.update(self._adopted.values())
        return verdicts.get(identity)
