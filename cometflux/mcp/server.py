"""The MCP server: list the tools and call them. The transport is chosen by the caller."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams

from cometflux import __version__
from cometflux.basics.plain_text import log as _log
from cometflux.errors import CometfluxError, InputError
from cometflux.mcp import replies, thumbnails
from cometflux.mcp.image_service import ImageService
from cometflux.mcp.results import Result
from cometflux.mcp.served_folder import NotAllowedError, describe_batch, read_seed
from cometflux.mcp.tool_arguments import error_text, find_model, read_request
from cometflux.mcp.tools import (
    GENERATE,
    INSTRUCTIONS,
    MODELS,
    STATUS,
    Models,
    describe_model,
    describe_parameters,
    list_tools,
    models_by_name,
)
from cometflux.models.schemas import ModelSchema

_Context = ServerRequestContext[Any]
_Tool = Callable[[_Context, dict[str, Any]], Awaitable[CallToolResult]]


def make_server(service: ImageService, schemas: Iterable[ModelSchema] = ()) -> Server[Any]:
    """Make the MCP server that passes requests to *service*. It also takes the models of *schemas*."""
    tools = _Tools(service, models_by_name(schemas))
    return Server(
        "cometflux",
        version=__version__,
        title="cometflux: pictures with FLUX",
        instructions=INSTRUCTIONS,
        on_list_tools=tools.list_tools,
        on_call_tool=tools.call,
    )


class _Tools:
    def __init__(self, service: ImageService, models: Models) -> None:
        self._service = service
        self._models = models
        self._tools: Mapping[str, tuple[_Tool, frozenset[str]]] = {
            GENERATE: (self._generate, frozenset()),
            MODELS: (self._list_models, frozenset({"model"})),
            STATUS: (self._batch_status, frozenset({"folder"})),
        }

    async def list_tools(self, context: _Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=list_tools(self._models))

    async def call(self, context: _Context, given: CallToolRequestParams) -> CallToolResult:
        if given.name not in self._tools:
            raise MCPError(INVALID_PARAMS, f"there is no tool {given.name!r}; the tools are {', '.join(self._tools)}")
        tool, known = self._tools[given.name]
        arguments = given.arguments or {}
        for name in arguments:
            if known and name not in known:
                return replies.plain_error(f"{name}: {given.name} takes {' and '.join(known)}, and nothing else")
        try:
            return await tool(context, arguments)
        except Exception:  # noqa: BLE001 - a defect of one call must not end the server
            _log.exception("%s failed unexpectedly", given.name)
            return replies.plain_error(
                f"{given.name} failed unexpectedly; this is a bug. A picture may have been paid for: "
                f"{STATUS} shows it. The same call again does not pay twice."
            )

    # ── generate_image ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _generate(self, context: _Context, arguments: dict[str, Any]) -> CallToolResult:
        try:
            find_picture = self._service.served_folder.find_picture
            request = await asyncio.to_thread(read_request, arguments, find_picture, self._models)
            with _progress(context) as tell:
                result = await self._service.carry_out(request, tell)
        except CometfluxError as error:
            return replies.refused(error)
        return await _answer(result)

    # ── list_models and batch_status ─────────────────────────────────────────────────────────────────────────────────

    async def _list_models(self, context: _Context, arguments: dict[str, Any]) -> CallToolResult:
        name = arguments.get("model")
        if name is None:
            return replies.data({"models": [describe_model(model) for model in self._models.values()]})
        try:
            model = find_model(name, self._models)
        except InputError as error:
            return replies.plain_error(error_text(error))
        return replies.data({**describe_model(model), "parameters": describe_parameters(model)})

    async def _batch_status(self, context: _Context, arguments: dict[str, Any]) -> CallToolResult:
        name = arguments.get("folder")
        if name is not None and not isinstance(name, str):
            return replies.plain_error("folder: must be the name of a folder, as a string")
        try:
            return replies.data(await asyncio.to_thread(self._look, name))
        except NotAllowedError as error:
            return replies.plain_error(f"folder: {error}")
        except CometfluxError as error:
            _log.error("a batch cannot be read: %s", error)
            return replies.plain_error(f"the journal of this batch cannot be read ({type(error).__name__})")

    def _look(self, name: str | None) -> dict[str, Any]:
        folder = self._service.allowed_folders.find(name)
        return {"folder": folder.name, **describe_batch(folder)}


async def _answer(result: Result) -> CallToolResult:
    if result.error is not None or not result.files:
        return replies.not_made(result)
    shown = await asyncio.to_thread(thumbnails.show, result.files)
    seed = result.request.job.input.get("seed")
    if seed is None:
        seed = await asyncio.to_thread(read_seed, result.files[0])
    return replies.made(result, shown, seed)


@contextlib.contextmanager
def _progress(context: _Context) -> Iterator[Callable[[str], None]]:
    """Report each step to the client if it requested progress."""
    steps: asyncio.Queue[str] = asyncio.Queue()
    reporter = asyncio.create_task(_report(context, steps))
    try:
        yield steps.put_nowait
    finally:
        reporter.cancel()


async def _report(context: _Context, steps: "asyncio.Queue[str]") -> None:
    number = 0
    while True:
        words = await steps.get()
        number += 1
        await context.session.report_progress(number, message=words)
