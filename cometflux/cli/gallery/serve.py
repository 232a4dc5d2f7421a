"""Serve the gallery until the command is told to stop."""

import secrets
from pathlib import Path

from cometflux.cli.gallery.server import GalleryServer
from cometflux.cli.terminal import signals
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import ConfigError


def serve_gallery(screen: Screen, folder: Path, port: int) -> None:
    """Serve the gallery of *folder*, and print its URL. Ctrl-C ends it.

    Raises:
        ConfigError: there is nothing to show, the marks are wrong, the port is taken, or an extra is missing.
        JournalError: the journal cannot be read, and there is nothing else to show.
    """
    signals.run(_serve(screen, GalleryServer(folder, secrets.token_urlsafe(24), port), port))


async def _serve(screen: Screen, server: GalleryServer, port: int) -> None:
    with signals.awaited() as stop:
        try:
            await server.__aenter__()
        except OSError as error:
            raise ConfigError(f"--port {port}: cannot listen on this port: {error.strerror or error}") from error
        try:
            screen.data(server.url)
            screen.say("the gallery is at this address until Ctrl-C; anyone with the address can mark its pictures")
            await stop.wait()
        finally:
            await server.__aexit__(None, None, None)
    screen.say("the gallery has stopped")
