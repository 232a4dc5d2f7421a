"""The HTTP routes of the account: its catalogue, balance, list of tasks, and log."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

from cometflux import flux
from cometflux.testing import account_amounts, account_lists, faults, price_list
from cometflux.testing.fault_responses import Ordinary, dump, json_response, misbehave
from cometflux.testing.state import ACCOUNT, BILLING, CATALOGUE, State

_SLOW = 10.0
"""How late a slow response is, in seconds."""
_HUGE = 50_000_000
"""The bytes of a huge response."""


class AccountRoutes:
    """Responds to requests for the account from the service's state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get(CATALOGUE, self._catalogue, allow_head=False),
            web.get(ACCOUNT + "model/{code:.+}", self._model, allow_head=False),
            web.get(BILLING + "subscription", self._subscription, allow_head=False),
            web.get(BILLING + "usage", self._usage, allow_head=False),
            web.get(ACCOUNT + "user/self", self._user, allow_head=False),
            web.get(ACCOUNT + "task/self", self._tasks, allow_head=False),
            web.get(ACCOUNT + "log/self", self._log, allow_head=False),
        ]

    async def _catalogue(self, request: web.Request) -> web.StreamResponse:
        records = self._records()
        return await self._respond(
            request, faults.CATALOGUE, lambda fault: price_list.page_of(records, request.query, fault)
        )

    async def _model(self, request: web.Request) -> web.StreamResponse:
        code = request.match_info["code"]
        record = next((each for each in self._records() if each["code"] == code), None)
        found = {"success": True, "data": record} if record else {"success": False, "message": "model not found"}
        return await self._respond(request, faults.CATALOGUE, lambda _: found)

    def _records(self) -> list[dict[str, Any]]:
        return price_list.records(dict.fromkeys((*flux.MODELS, *self._state.schemas)))

    async def _subscription(self, request: web.Request) -> web.StreamResponse:
        body = account_amounts.subscription(self._state.settings.credit)
        return await self._respond(request, faults.BILLING, lambda _: body)

    async def _usage(self, request: web.Request) -> web.StreamResponse:
        body = account_amounts.usage(self._state.spent())
        return await self._respond(request, faults.BILLING, lambda _: body)

    async def _user(self, request: web.Request) -> web.StreamResponse:
        body = account_amounts.user(self._state.settings.credit, self._state.spent())
        return await self._respond(request, faults.USER, lambda _: body)

    async def _tasks(self, request: web.Request) -> web.StreamResponse:
        rows = account_lists.task_rows([*self._state.runs.values()], self._state.now(), self._state.epoch)
        return await self._list(request, faults.TASKS, rows)

    async def _log(self, request: web.Request) -> web.StreamResponse:
        state = self._state
        rows = account_lists.log_rows([*state.runs.values()], state.now(), state.epoch, refunds=state.settings.refunds)
        return await self._list(request, faults.LOG, rows)

    async def _list(self, request: web.Request, place: str, rows: Iterator[dict[str, Any]]) -> web.StreamResponse:
        selected = account_lists.select(rows, request.query)
        now = self._state.epoch + self._state.now()
        return await self._respond(
            request, place, lambda fault: account_lists.page_of(selected, request.query, fault, now)
        )

    async def _respond(self, request: web.Request, place: str, make: Callable[[str | None], Any]) -> web.StreamResponse:
        """Respond with the body that *make* returns for the next fault of this place; None stands for no fault."""
        fault = self._state.faults.take(place, "")
        name = None if fault is None else fault.name
        body = make(name)
        if name in faults.OF_AMOUNTS:
            body = account_amounts.misstate(body, name)
        elif name == "huge":
            body = {**body, "padding": "x" * _HUGE}
        elif name == "slow":
            # The service may stop meanwhile.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._state.closing.wait(), _SLOW)
        elif name is not None and name not in faults.OF_ROWS | faults.OF_RECORDS:
            return await misbehave(name, request, Ordinary(status=200, body=dump(body)), self._state.closing)
        return json_response(body)
