"""A tool server and a real client on one loop, connected by the protocol's messages."""

import contextlib

import anyio
from mcp import Client
from mcp.shared.memory import create_client_server_memory_streams

from cometflux import open_session
from cometflux.mcp.image_service import open_image_service
from cometflux.mcp.server import make_server


@contextlib.asynccontextmanager
async def opened(
    service, folder, *, most=20, wait=45.0, allowed=(), max_pending=4, mode="auto", journal=None, schemas=()
):
    """Yield a client of a server that keeps its pictures in *folder*. The exit disconnects."""

    def make_session(watch):
        return open_session(
            base_url=service.url,
            api_key=service.key,
            journal=folder if journal is None else journal,
            max_predictions=most,
            max_pending=max_pending,
            on_event=watch,
        )

    folder.mkdir(exist_ok=True)
    async with (
        open_image_service(make_session, folder, allowed=allowed, most=most, wait=wait) as image_service,
        Client(_joined(make_server(image_service, schemas)), mode=mode) as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def _joined(server):
    async with create_client_server_memory_streams() as (client_streams, (read, write)):
        async with anyio.create_task_group() as group:
            group.start_soon(server.run, read, write, server.create_initialization_options())
            yield client_streams
            await client_streams[1].aclose()


def text_of(result):
    """Return the text of a result, as a language model reads it."""
    return result.content[0].text
