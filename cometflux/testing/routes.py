"""The HTTP routes of the local service."""

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from aiohttp import web

from cometflux.testing import faults, response_bodies
from cometflux.testing.account_routes import AccountRoutes
from cometflux.testing.fake_predictions import FakePrediction
from cometflux.testing.fault_responses import ELSEWHERE, Ordinary, dump, foreign_page, json_response, misbehave
from cometflux.testing.input_validation import Refusal, check_input, read_body
from cometflux.testing.state import ACCOUNT, BILLING, PUBLIC, State

BASE = "/replicate/v1"
"""The path prefix of the API."""
LARGEST_BODY = 256 * 1024 * 1024
"""The maximum size of a request body, in bytes."""
_LONGEST_WAIT = 60.0
_WAIT = re.compile(r"\bwait(?:=([0-9]{1,4}))?\b")
_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Routes:
    """Responds to requests from the service's state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def application(self) -> web.Application:
        """Create the aiohttp application with the routes."""
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[self._record])
        app.add_routes(
            [
                web.post(BASE + "/models/{owner}/{name}/predictions", self._create_by_model),
                web.post(BASE + "/predictions", self._create),
                web.get(BASE + "/predictions/{id}", self._get, allow_head=False),
                web.post(BASE + "/predictions/{id}/cancel", self._cancel),
                web.get("/outputs/{id}/{file}", self._output, allow_head=False),
                *AccountRoutes(self._state).routes(),
                web.get("/bills", self._bills),
                web.get(BASE + "/bills", self._bills),
            ]
        )
        return app

    @web.middleware
    async def _record(self, request: web.Request, handler: _Next) -> web.StreamResponse:
        """Record the request, check its key, and turn a rejection into its response."""
        is_authorised = self._state.record(request)
        is_api = request.path.startswith(BASE + "/") and not request.path.endswith("/bills")
        if is_api and not is_authorised:
            body = response_bodies.problem(401, "You did not pass a valid authentication token", "Unauthenticated")
            return json_response(body, 401)
        if request.path.startswith(BILLING) and not is_authorised:
            return json_response(response_bodies.gateway_error("Invalid token"), 401)
        is_public = request.path.startswith(("/outputs/", ELSEWHERE, *PUBLIC))
        if request.path.startswith(ACCOUNT) and not is_public and not is_authorised:
            return json_response({"success": False, "message": "the access token is not valid"}, 401)
        if is_public and "Authorization" in request.headers:
            self._state.leaks.append(request.path)
        try:
            return await handler(request)
        except Refusal as refusal:
            return json_response(response_bodies.refusal_body(refusal), refusal.status)
        except ConnectionResetError:
            # The client closed the connection during its own request, so there is nobody to respond to.
            return web.Response()
        except web.HTTPRequestEntityTooLarge:
            return json_response(response_bodies.problem(413, "The body is too large."), 413)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            return foreign_page()

    async def _create_by_model(self, request: web.Request) -> web.StreamResponse:
        model = f"{request.match_info['owner']}/{request.match_info['name']}"
        body = read_body(await request.read())
        return await self._accept(request, model, body["input"])

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = read_body(await request.read(), "model", "version")
        model = str(body.get("model") or body.get("version") or "").partition(":")[0]
        return await self._accept(request, model, body["input"])

    async def _accept(self, request: web.Request, model: str, given: dict[str, Any]) -> web.StreamResponse:
        known = self._state.find(model)
        if known is None:
            return json_response(response_bodies.problem(404, "The requested resource could not be found."), 404)
        check_input(known, given)
        fault = self._state.faults.take(faults.CREATE, faults.prompt_of(given))
        if fault is not None and not fault.after:
            return await misbehave(fault.name, request, None, self._state.closing)
        run = self._state.accept(known, given)
        body, headers = response_bodies.describe_created(run), {"ratelimit-remaining": "599", "ratelimit-reset": "1"}
        if fault is not None:
            ordinary = Ordinary(status=201, body=dump(body))
            return await misbehave(fault.name, request, ordinary, self._state.closing)
        wait = _WAIT.search(request.headers.get("Prefer", ""))
        if wait is not None:
            headers["Preference-Applied"] = wait[0]
            body = await self._wait(run, min(max(float(wait[1] or _LONGEST_WAIT), 1.0), _LONGEST_WAIT))
        return json_response(body, 201, headers)

    async def _wait(self, run: FakePrediction, longest: float) -> dict[str, Any]:
        is_frozen = self._state.clock.is_frozen
        left = longest if is_frozen else max(0.0, min(run.ends_at - self._state.now(), longest))
        over = [asyncio.ensure_future(each.wait()) for each in (run.over, self._state.closing)]
        done, _ = await asyncio.wait(over, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for each in over:
            each.cancel()
        # A timer may fire a moment early, so the time is at least the time waited for, except on a frozen clock.
        now = (
            self._state.now()
            if done or is_frozen
            else max(self._state.now(), min(run.ends_at, run.accepted_at + longest))
        )
        return response_bodies.describe_waited(run, now, await self._outputs(run, now))

    async def _get(self, request: web.Request) -> web.StreamResponse:
        run = self._find(request)
        run.polls += 1
        now = self._state.now()
        fault = self._state.faults.take(faults.GET, faults.prompt_of(run.input))
        body = response_bodies.describe(run, now, await self._outputs(run, now))
        if self._state.settings.wrapped or run.fault in ("wrapped", "stale-inner"):
            body = response_bodies.wrap(run, now, body, self._state.epoch)
        if fault is not None:
            ordinary = Ordinary(status=200, body=dump(body))
            return await misbehave(fault.name, request, ordinary, self._state.closing)
        return json_response(body, headers={"ratelimit-remaining": "2999", "ratelimit-reset": "1"})

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        run = self._find(request)
        now = self._state.now()
        run.cancel(now)
        return json_response(response_bodies.describe(run, now, await self._outputs(run, now)))

    def _find(self, request: web.Request) -> FakePrediction:
        run = self._state.runs.get(request.match_info["id"])
        if run is None:
            raise Refusal(404, "Not found", "The requested resource could not be found.")
        return run

    async def _outputs(self, run: FakePrediction, now: float) -> list[str]:
        """Return the URLs of the finished pictures."""
        numbers = run.images(now)
        if run.fault == "data-uri":
            return [_data_uri(run, await self._state.picture(run, each)) for each in numbers]
        return [f"{self._state.origin}/outputs/{run.id}/{_file(run, each)}" for each in numbers]

    async def _output(self, request: web.Request) -> web.StreamResponse:
        run = self._state.runs.get(request.match_info["id"])
        now = self._state.now()
        numbers = {} if run is None else {_file(run, each): each for each in run.images(now)}
        number = numbers.get(request.match_info["file"])
        if run is None or number is None:
            raise Refusal(404, "Not found", "The file is not here, or no longer here.")
        fault = self._state.faults.take(faults.OUTPUT, faults.prompt_of(run.input))
        picture = await self._state.picture(run, number)
        if fault is not None:
            ordinary = Ordinary(status=200, body=picture, content_type=_kind(run))
            return await misbehave(fault.name, request, ordinary, self._state.closing)
        headers = {"Cache-Control": "public,max-age=3600"}
        return web.Response(body=picture, content_type=_kind(run), headers=headers)

    async def _bills(self, _: web.Request) -> web.StreamResponse:
        return json_response([attrs.asdict(bill) for bill in self._state.bills])


def _file(run: FakePrediction, number: int) -> str:
    blank = " " if run.fault == "blank-in-url" else ""
    return f"out-{number}{blank}.{run.frame.format}"


def _kind(run: FakePrediction) -> str:
    return f"image/{'jpeg' if run.frame.format == 'jpg' else run.frame.format}"


def _data_uri(run: FakePrediction, picture: bytes) -> str:
    return f"data:{_kind(run)};base64,{base64.b64encode(picture).decode()}"
