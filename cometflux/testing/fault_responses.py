"""Create the response of a fault, or break off the connection."""

import asyncio
import contextlib
import io
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from typing import Any

import attrs
from aiohttp import web

from cometflux.testing.fake_predictions import make_id
from cometflux.testing.response_bodies import gateway_error, problem

ELSEWHERE = "/elsewhere"
"""The path that redirects lead to. A request with a key there is a leak."""

_WAIT = 1
"""The Retry-After of a 429, in seconds."""
_DRIP = 10.0
"""The time between two bytes of a body that drips, in seconds."""


@attrs.frozen(kw_only=True)
class Ordinary:
    """The response without the fault."""

    status: int
    body: bytes
    content_type: str = "application/json"


def dump(body: Any) -> bytes:
    """Encode JSON as the service does: without spaces, in UTF-8."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Create a JSON response. An RFC 7807 problem gets the media type of problems."""
    kind = "application/problem+json" if status >= 400 and "error" not in body else "application/json"
    return web.Response(body=dump(body), status=status, content_type=kind, headers=headers)


async def misbehave(
    name: str, request: web.Request, ordinary: Ordinary | None, closing: asyncio.Event
) -> web.StreamResponse:
    """Respond to *request* with the fault *name*. *ordinary* is None if nothing was accepted.

    A response that never comes ends when *closing* is set, so that the service can stop.
    """
    if name in _PAGES:
        status, title = _PAGES[name]
        return _page(status, title)
    if name in _REFUSALS:
        status, body, headers = _REFUSALS[name]
        return json_response(body, status, headers)
    ordinary = ordinary or _NOTHING
    if name in _BODIES:
        status = 200 if ordinary is _NOTHING else ordinary.status
        return web.Response(body=_BODIES[name](ordinary), status=status, content_type="application/json")
    return await _SPECIAL[name](request, ordinary, closing)


_THROTTLED = "Request was throttled. Your rate limit for creating predictions is reduced"
_PAGES = {
    "413": (413, "413 Request Entity Too Large"),
    "502": (502, "502 Bad Gateway"),
    "504": (504, "504 Gateway Time-out"),
    "524": (524, "524: A timeout occurred"),
    "html": (200, "The gateway"),
    "not-an-image": (200, "This file is being prepared"),
}
_Refused = tuple[int, dict[str, Any], dict[str, str]]
_REFUSALS: Mapping[str, _Refused] = {
    "401": (401, problem(401, "You did not pass a valid authentication token", "Unauthenticated"), {}),
    "402": (402, problem(402, "The account has no credit left to run this model.", "Insufficient credit"), {}),
    "403": (403, gateway_error("This token may not use this model"), {}),
    "404": (404, problem(404, "The requested resource could not be found."), {}),
    "422": (
        422,
        problem(
            422,
            "- input.prompt: this prompt is not accepted\n",
            "Input validation failed",
            invalid_fields=[{"type": "custom", "field": "input.prompt", "description": "this prompt is not accepted"}],
        ),
        {},
    ),
    "429": (429, problem(429, f"{_THROTTLED}."), {"Retry-After": str(_WAIT)}),
    "429-body": (429, problem(429, f"{_THROTTLED}, and resets in ~{_WAIT}s.", retry_after=_WAIT), {}),
    "429-silent": (429, problem(429, f"{_THROTTLED}."), {}),
    "500": (500, problem(500, "Something went wrong on our side.", "Internal Server Error"), {}),
    "503": (503, problem(503, "The service is temporarily unavailable.", "Service Unavailable"), {}),
    "invalid-request": (500, gateway_error("prompt is required", "invalid_request"), {}),
    "no-model": (
        503,
        gateway_error("no available channel for group default and this model (distributor)", "model_not_found"),
        {},
    ),
    "output-404": (404, problem(404, "The file is not here, or no longer here."), {}),
    "output-500": (500, problem(500, "Something went wrong on our side.", "Internal Server Error"), {}),
}
# The body for faults that break off or change a response although nothing was accepted.
_NOTHING = Ordinary(status=500, body=dump(problem(500, "Something went wrong on our side.")))


def _page(status: int, title: str) -> web.Response:
    text = (
        f"<!doctype html>\n<html>\n<head><title>{title}</title></head>\n"
        f"<body>\n<center><h1>{title}</h1></center>\n<hr>\n</body>\n</html>\n"
    )
    return web.Response(text=text, status=status, content_type="text/html")


def foreign_page() -> web.Response:
    """Create the response for an unknown path: like the gateway, a web page with status 200, not a 404."""
    return _page(200, "The gateway")


async def _throttle_until(*_: object) -> web.Response:
    # A date has whole seconds, so this is at least one second more, however long the response takes.
    headers = {"Retry-After": formatdate(time.time() + _WAIT + 2, usegmt=True)}
    return json_response(_REFUSALS["429-silent"][1], 429, headers)


async def _drop(request: web.Request, *_: object) -> web.Response:
    _hang_up(request)
    return web.Response()


async def _reset(request: web.Request, *_: object) -> web.Response:
    transport = request.transport
    if transport is not None:
        # A linger time of 0 makes close send a reset.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _hang(request: web.Request, _: Ordinary, closing: asyncio.Event) -> web.Response:
    await closing.wait()
    return await _drop(request)


async def _tear_head(request: web.Request, ordinary: Ordinary, _: asyncio.Event) -> web.Response:
    if request.transport is not None:
        request.transport.write(f"HTTP/1.1 {ordinary.status} ".encode())
    return await _drop(request)


async def _stall(request: web.Request, ordinary: Ordinary, closing: asyncio.Event) -> web.StreamResponse:
    response = await _begin(request, ordinary, len(ordinary.body) // 2)
    await closing.wait()
    _hang_up(request)
    return response


async def _drip(request: web.Request, ordinary: Ordinary, closing: asyncio.Event) -> web.StreamResponse:
    response = await _begin(request, ordinary, 0)
    for byte in ordinary.body:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), _DRIP)
            break
        await response.write(bytes([byte]))
    _hang_up(request)
    return response


async def _cut(request: web.Request, ordinary: Ordinary, length: int) -> web.StreamResponse:
    response = await _begin(request, ordinary, length)
    _hang_up(request)
    return response


async def _begin(request: web.Request, ordinary: Ordinary, length: int) -> web.StreamResponse:
    response = web.StreamResponse(status=ordinary.status)
    response.content_type = ordinary.content_type
    response.content_length = len(ordinary.body)
    await response.prepare(request)
    await response.write(ordinary.body[:length])
    return response


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


def _mistaken(ordinary: Ordinary) -> bytes:
    found = json.loads(ordinary.body)
    mine = found["data"]["task_id"] if "data" in found else found["id"]
    return ordinary.body.replace(mine.encode(), make_id().encode())


_BODIES: Mapping[str, Callable[[Ordinary], bytes]] = {
    "garbage": lambda _: b"\x1f\x8b\x08\x00\xff\xfe not JSON {",
    "list": lambda _: b'[{"status":"starting"}]',
    "no-id": lambda _: b'{"status":"starting","output":null,"error":null,"logs":""}',
    "id-in-data": lambda ordinary: dump(
        {"code": "success", "message": "", "data": json.loads(ordinary.body).get("id")}
    ),
    "id-in-task": lambda ordinary: dump({"task_id": json.loads(ordinary.body).get("id")}),
    "wrong-id": _mistaken,
}


async def _redirect(request: web.Request, _: Ordinary, __: asyncio.Event) -> web.Response:
    if request.path.startswith("/outputs/"):
        return web.Response(status=302, headers={"Location": request.path})
    # 307 makes the client repeat a POST with its body.
    status = 301 if request.method == "GET" else 307
    return web.Response(status=status, headers={"Location": f"{request.url.origin()}{ELSEWHERE}{request.path}"})


async def _halve(_: web.Request, ordinary: Ordinary, __: asyncio.Event) -> web.Response:
    body = ordinary.body[: len(ordinary.body) // 2]
    return web.Response(body=body, content_type=ordinary.content_type)


async def _blacken(_: web.Request, ordinary: Ordinary, __: asyncio.Event) -> web.Response:
    from PIL import Image

    file = io.BytesIO()
    with Image.open(io.BytesIO(ordinary.body)) as image:
        Image.new("RGB", image.size).save(file, image.format)
    return web.Response(body=file.getvalue(), content_type=ordinary.content_type)


async def _untype(_: web.Request, ordinary: Ordinary, __: asyncio.Event) -> web.Response:
    return web.Response(body=ordinary.body, content_type="application/octet-stream")


_SPECIAL: Mapping[str, Callable[[web.Request, Ordinary, asyncio.Event], Awaitable[web.StreamResponse]]] = {
    "429-date": _throttle_until,
    "drop": _drop,
    "reset": _reset,
    "hang": _hang,
    "torn-head": _tear_head,
    "torn": lambda request, ordinary, _: _cut(request, ordinary, len(ordinary.body) // 2),
    "torn-early": lambda request, ordinary, _: _cut(request, ordinary, 12),
    "stalled": _stall,
    "redirect": _redirect,
    "truncated-output": _halve,
    "octet-stream": _untype,
    "black": _blacken,
    "drip": _drip,
}
