"""Serve the gallery of a folder on this machine, and write the marks of its pictures into the folder at once."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Mapping
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote_to_bytes

from aiohttp import web

from cometflux.basics.regular_files import open_regular
from cometflux.cli.gallery.guard import Guard
from cometflux.errors import CometfluxError, ConfigError
from cometflux.gallery import Gallery
from cometflux.gallery.builder import Served
from cometflux.storage.paths import PICKS
from cometflux.storage.picks import Mark, merge, parse_marks, read_marks, write_marks

_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif"}
"""The files that are served; no other file leaves the folder."""
_LARGEST = 2**22
"""Most bytes of marks in one request."""
_Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
_HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
}


class GalleryServer:
    """The server of one folder. It listens on loopback while it is open; use it with ``async with``.

    Args:
        folder: the folder with the pictures.
        token: the secret part of its URL.
        port: the port; 0 takes any that is free.
    """

    def __init__(self, folder: Path, token: str, port: int = 0) -> None:
        self._folder = folder
        self._guard = Guard(port=port, token=token)
        self._gallery = Gallery(folder)
        self._page: Served | None = None
        """The page as it was last served; None before it was read."""
        self._reading = asyncio.Lock()
        self._writing = asyncio.Lock()
        app = web.Application(middlewares=[self._check], client_max_size=_LARGEST)
        app.router.add_get("/{token}/", self._send_page)
        app.router.add_get("/{token}/index.html", self._send_page)
        app.router.add_get(r"/{token}/index-{number:[1-9]\d{0,6}}.html", self._send_page)
        app.router.add_get("/{token}/marks", self._send_marks)
        app.router.add_post("/{token}/marks", self._take_marks)
        app.router.add_get("/{token}/{name:.+}", self._send_picture)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def __aenter__(self) -> Self:
        """Read the folder, then listen.

        Raises:
            ConfigError: there is nothing to show, the marks are wrong, or the extra is missing.
            JournalError: the journal cannot be read, and there is nothing else to show.
            OSError: the port cannot be used.
        """
        page = await self._read()
        await asyncio.to_thread(read_marks, self._folder, page.names)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", self._guard.port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self._guard = Guard(port=self._runner.addresses[0][1], token=self._guard.token)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The page's URL, with the token in it."""
        return self._guard.url

    @web.middleware
    async def _check(self, request: web.Request, handler: _Answer) -> web.StreamResponse:
        refusal = self._guard.refusal(request.method, request.raw_path, request.headers)
        if refusal:
            return web.Response(status=403, text=f"{refusal}\n", headers=_HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        except CometfluxError as error:
            response = web.Response(status=409, text=error.message)
        response.headers.update(_HEADERS)
        return response

    # ── the page and its pictures ────────────────────────────────────────────────────────────────────────────────────

    async def _read(self, number: int = 1) -> Served:
        async with self._reading:
            self._page = await asyncio.to_thread(self._gallery.render, number)
            return self._page

    async def _send_page(self, request: web.Request) -> web.Response:
        page = await self._read(int(request.match_info.get("number", 1)))
        return web.Response(body=page.data, content_type="text/html", charset="utf-8")

    async def _send_picture(self, request: web.Request) -> web.StreamResponse:
        # As it was sent: the names of files need not be UTF-8. Only names of the page are served, so none leads out.
        path = request.raw_path.partition("?")[0].split("/", 2)[2]
        name = os.fsdecode(unquote_to_bytes(path))
        media_type = _MEDIA_TYPES.get(Path(name).suffix)
        if media_type is None or self._page is None or name not in self._page.files:
            raise web.HTTPNotFound(text="the page shows no such picture")
        try:
            file = await asyncio.to_thread(_open, self._folder, name)
        except OSError as error:
            raise web.HTTPNotFound(text="the picture cannot be read") from error
        found = os.fstat(file.fileno())
        tag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
        if request.headers.get("If-None-Match") == tag:
            file.close()
            return web.Response(status=304, headers={"ETag": tag})
        headers = {"ETag": tag, "Content-Security-Policy": "default-src 'none'; sandbox"}
        return web.Response(body=file, content_type=media_type, headers=headers)

    # ── the marks ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _names(self) -> frozenset[str]:
        return self._page.names if self._page else frozenset()

    async def _send_marks(self, request: web.Request) -> web.Response:
        tag = await asyncio.to_thread(self._tag)
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        marks = await asyncio.to_thread(read_marks, self._folder, self._names())
        return web.json_response(marks, headers={"ETag": tag})

    def _tag(self) -> str:
        try:
            found = (self._folder / PICKS).lstat()
        except FileNotFoundError:
            return '"none"'
        return f'"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"'

    async def _take_marks(self, request: web.Request) -> web.Response:
        later = parse_marks(await request.read(), "the request")
        names = self._names()
        if others := [file for file in later if file not in names]:
            raise ConfigError(f"the page has no picture {others[0]!r}")
        async with self._writing:
            await asyncio.to_thread(self._write, names, later)
        return web.Response(status=204)

    def _write(self, names: frozenset[str], later: Mapping[str, Mark]) -> None:
        # Read again: the file may have been changed by hand. If it is damaged, it is not replaced.
        write_marks(self._folder, merge(read_marks(self._folder, names), later))


def _open(folder: Path, name: str) -> BufferedReader:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return open_regular(path)
