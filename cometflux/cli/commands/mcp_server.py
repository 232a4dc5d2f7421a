"""Run the tool server: open its folder, serve, and shut down."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from cometflux.cli.batch.division import check_undivided
from cometflux.cli.batch.open_journal import account_of
from cometflux.cli.batch.plan_journal import plan_rest
from cometflux.cli.batch.remaining_jobs import count_states
from cometflux.cli.batch.run import find_service
from cometflux.cli.commands.mcp_options import ServerOptions
from cometflux.cli.commands.mcp_stdio import Lines, Words, answerable, kept_clean
from cometflux.cli.errors import UsageError
from cometflux.cli.exit_codes import ExitCode, code_of_signal
from cometflux.cli.terminal import signals
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import ConfigError, needs_extra
from cometflux.events import Event
from cometflux.journal.place import FILE_NAME
from cometflux.journal.reader import Journal
from cometflux.journal.writer import JournalWriter
from cometflux.session.open import open_session
from cometflux.session.session import Session
from cometflux.storage.folder import prepare_folder

_FAREWELL = 2.0
"""How many seconds a client gets to read the last responses."""


def serve(serving: ServerOptions, *, new_key: bool) -> int:
    """Serve over the standard streams until stdin ends or a signal comes, and return the exit code.

    Raises:
        UsageError: a folder of ``--allow`` does not exist.
        ConfigError: the key is missing, a setting is unusable, or the folder cannot be written to.
        JournalError: the journal cannot be used.
        MissingExtraError: a package is not installed.
    """
    _check_installed()
    _check_allowed(serving.allow)
    settings = serving.settings
    screen = Screen()
    # Log to stderr, because stdout carries the protocol.
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    with contextlib.ExitStack() as stack:
        base_url, key = find_service(stack, screen, settings)
        check_undivided(serving.out)
        prepare_folder(serving.out)
        writer = JournalWriter(serving.out / FILE_NAME, account_of(base_url, key, settings, may_change_key=new_key))
        plan_rest(writer, settings)
        # The session closes the writer too, but an error may come before there is a session.
        stack.callback(writer.close)
        if writer.place is not None:
            raise ConfigError(f"the pictures of {serving.out} go to {writer.place}; use another folder with --out")
        bought = _count_bought(writer)
        screen.say(
            f"serving tools on stdin and stdout; {bought} of at most {serving.max_predictions} predictions are bought; "
            f"pictures go to {serving.out}"
        )
        if sys.stdin.isatty():
            screen.say("an agent's client is meant to start this command; Ctrl-C ends it")

        def make_session(watch: Callable[[Event], None]) -> Session:
            return open_session(
                base_url=base_url,
                api_key=key,
                max_pending=settings.max_pending,
                proxy=settings.proxy,
                journal=writer,
                max_predictions=serving.max_predictions,
                on_event=watch,
            )

        code = _Server(serving, screen, make_session).run()
        _tell_end(screen, writer)
    return code


def _check_installed() -> None:
    with needs_extra("cometflux mcp", "cli,mcp", "mcp", "mcp_types", "PIL"):
        import mcp  # noqa: F401
        import mcp_types  # noqa: F401
        import PIL  # noqa: F401


def _check_allowed(folders: tuple[Path, ...]) -> None:
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"--allow {folder}: there is no such folder")


def _count_bought(writer: JournalWriter) -> int:
    with Journal(writer.path) as journal:
        return sum(record.bought for record in journal.records())


def _tell_end(screen: Screen, writer: JournalWriter) -> None:
    status = count_states(writer)
    parts = [
        f"{status[place]} {place}" for place in ("saved", "unsaved", "pending", "detached", "unknown") if status[place]
    ]
    screen.say(f"the tool server has ended; {', '.join(parts) or 'nothing was bought'}")


class _Server:
    def __init__(
        self, serving: ServerOptions, screen: Screen, make_session: Callable[[Callable[[Event], None]], Session]
    ) -> None:
        self._serving = serving
        self._screen = screen
        self._make_session = make_session
        self._task: asyncio.Task[None] | None = None
        self._stopped_by: signal.Signals | None = None
        self._presses = 0
        self._end_grace: Callable[[], None] | None = None
        """Ends the wait for paid predictions; None while the server serves."""

    def run(self) -> int:
        with signals.taken(self._on_signal), contextlib.suppress(asyncio.CancelledError):
            signals.run(self._serve())
        return ExitCode.OK if self._stopped_by is None else code_of_signal(self._stopped_by)

    def _on_signal(self, number: signal.Signals) -> None:
        self._stopped_by = self._stopped_by or number
        if self._task is None:
            raise signals.Interrupted(number)
        # If the loop is already closed, there is nothing left to stop.
        with contextlib.suppress(RuntimeError):
            self._task.get_loop().call_soon_threadsafe(self._press, self._task)

    def _press(self, task: "asyncio.Task[None]") -> None:
        """End the serving at the first signal, and the wait for paid predictions at the second.

        Clients close stdin first and send a signal soon after: that one does not cut the waiting short.
        """
        self._presses += 1
        if self._end_grace is None:
            task.cancel()
        elif self._presses > 1:
            self._end_grace()

    async def _serve(self) -> None:
        from cometflux.mcp.image_service import open_image_service
        from cometflux.mcp.server import make_server

        serving = self._serving
        self._task = asyncio.current_task()
        async with open_image_service(
            self._make_session,
            serving.out,
            allowed=serving.allow,
            most=serving.max_predictions,
            wait=float(serving.wait),
        ) as service:
            try:
                with kept_clean() as wire:
                    await _speak(make_server(service, serving.schemas.values()), wire)
            finally:
                self._end_grace = service.end_grace
                if service.under_way:
                    self._screen.say("stopping: waiting up to 30 s for what is paid for; Ctrl-C again exits now")


async def _speak(server: Any, wire: int) -> None:
    from mcp.server.stdio import stdio_server

    lines = Lines(0)
    words = Words(wire, lines.end)
    messages = answerable(lines, words)
    try:
        # The package's own reader could not be stopped while it waits for a line.
        async with stdio_server(stdin=cast("Any", messages), stdout=cast("Any", words)) as (read, write):
            await server.run(read, write, server.create_initialization_options())
    finally:
        words.close(_FAREWELL)
