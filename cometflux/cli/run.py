"""A plan is run: session, bar, outcomes, and the exit code."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from cometflux.cli.faults import UsageError
from cometflux.cli.local import local_service
from cometflux.cli.options import Settings
from cometflux.cli.plan import Plan
from cometflux.cli.report import Tally, not_drawn, record
from cometflux.cli.screen import Screen
from cometflux.cli.streams import is_stdout_closed
from cometflux.cli.wording import end_text
from cometflux.errors import (
    AuthenticationError,
    CometfluxError,
    ConfigError,
    CreditError,
    SessionClosedError,
    SessionStoppedError,
)
from cometflux.events import Event
from cometflux.jobs import Job
from cometflux.registry import Outcome

if TYPE_CHECKING:
    from cometflux.batch import Batch


def run_plan(plan: Plan, settings: Settings, folder: Path) -> int:
    """Run every job of *plan*, save the pictures below *folder*, and return the exit code.

    Raises:
        UsageError: there is no stdout to print JSON to.
        ConfigError: there is no key, or a setting is unusable; nothing was sent.
        MissingExtraError: ``--local`` cannot draw.
    """
    if settings.json and is_stdout_closed():
        raise UsageError("stdout is closed, so what --json prints would be lost")
    screen = Screen()
    _keep_logs_quiet()
    for note in plan.notes:
        screen.say(f"note: {note}")
    with contextlib.ExitStack() as stack:
        place: tuple[str | None, str | None] = (settings.base_url, None)
        if settings.local:
            service = stack.enter_context(local_service(screen))
            place = (service.url, service.key)
        return _Run(plan, settings, folder, screen, place).run()


def _keep_logs_quiet() -> None:
    """Leave what the command says itself to the command; a defect is still logged."""
    log = logging.getLogger("cometflux")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
        log.setLevel(logging.ERROR)


@attrs.define
class _Run:
    plan: Plan
    settings: Settings
    folder: Path
    screen: Screen
    place: tuple[str | None, str | None]
    """The base URL and the key; None for what the environment says."""
    tally: Tally = attrs.field(init=False)
    jobs: Iterator[Job] = attrs.field(init=False)
    end: CometfluxError | None = None
    """Why the batch ended before its time; None while it has not."""
    interrupted_by: signal.Signals | None = None
    """The first signal that asked to stop; None while none has."""
    presses: int = 0
    is_stopping: bool = False
    """Whether the batch has been left, and what is paid for is waited for."""

    def __attrs_post_init__(self) -> None:
        self.tally = Tally(self.folder)
        self.jobs = iter(self.plan)

    def run(self) -> int:
        try:
            with self.screen.bar(len(self.plan)) as bar:
                asyncio.run(self._run(bar))
        except KeyboardInterrupt:
            # Only where signals cannot be caught by the loop.
            self.screen.say(self.tally.interrupted_line())
            return 130
        except BaseException:
            # A defect. What is paid for is told even then.
            self._tell_owed()
            raise
        return self._close()

    async def _run(self, bar: Callable[[Event], None] | None) -> None:
        from cometflux.wiring import open_session

        def watch(event: Event) -> None:
            self.tally.watch(event)
            if bar is not None:
                bar(event)

        base_url, key = self.place
        session = open_session(
            base_url=base_url,
            api_key=key,
            max_pending=self.settings.max_pending,
            proxy=self.settings.proxy,
            on_event=watch,
        )
        self._catch_signals()
        async with session:
            batch = session.generate(self.jobs, save_to=self.folder)
            await self._follow(batch)
            try:
                await session.aclose()
            except asyncio.CancelledError:
                _go_on()
        # The session is closed, so every job that was drawn has ended; after Ctrl-C their outcomes are still there.
        with contextlib.suppress(CometfluxError):
            async for outcome in batch:
                self._take(outcome)

    async def _follow(self, batch: "Batch") -> None:
        try:
            async for outcome in batch:
                self._take(outcome)
        except asyncio.CancelledError:
            task = _go_on()
            self.is_stopping = True
            self.end = SessionClosedError("interrupted")
            if self.presses > 1:
                asyncio.get_running_loop().call_soon(task.cancel)
            elif self.tally.owed:
                self.screen.say("stopping: what is paid for is waited for, up to 30 s; Ctrl-C again leaves at once")
        except CometfluxError as error:
            self.end = error

    def _catch_signals(self) -> None:
        """Let the first signal stop the batch and the second leave at once, always between two steps of the work."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            # Not on Windows, and not outside the main thread.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._on_signal, number, task)

    def _on_signal(self, number: signal.Signals, task: "asyncio.Task[None]") -> None:
        self.presses += 1
        self.interrupted_by = self.interrupted_by or number
        if self.presses == 1 or (self.presses == 2 and self.is_stopping):
            task.cancel()

    def _take(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        if self.settings.json:
            self.screen.data(record(outcome))
            return
        for path in outcome.files:
            self.screen.data(str(path))

    def _close(self) -> int:
        """Tell what became of the jobs."""
        ended = self.tally.kinds.total()
        cause = self._cause()
        if self.is_stopping:
            self.tally.look_again()
        if self.end is not None:
            for index, job in enumerate(self.jobs, ended):
                self._take(not_drawn(index, job, self.end))
        if ended:
            self.screen.say("")
            for table in self.tally.tables(cause):
                self.screen.show(table)
            self.screen.say("")
        if self.end is not None and not self.is_stopping:
            self.screen.error(end_text(self.end, is_local=self.settings.local))
        if self.tally.is_disk_refusing:
            self.screen.error(f"the folder {str(self.folder)!r} cannot be written to any more")
        if self.is_stopping:
            self.screen.say(self.tally.interrupted_line())
        elif ended:
            self._tell_owed()
            self.screen.say(self.tally.last_line())
        return self._exit_code()

    def _cause(self) -> CometfluxError | None:
        return self.end.cause if isinstance(self.end, SessionStoppedError) else self.end

    def _tell_owed(self) -> None:
        if self.tally.owed:
            self.screen.say(self.tally.owed_line())

    def _exit_code(self) -> int:
        if self.is_stopping:
            return 128 + (self.interrupted_by or signal.SIGINT)
        cause = self._cause()
        if isinstance(cause, ConfigError | AuthenticationError | CreditError) or (cause and cause.is_foreign):
            return 3
        if self.tally.is_disk_refusing:
            return 3
        return 0 if cause is None and self.tally.is_all_well and not self.screen.is_data_lost else 1


def _go_on() -> "asyncio.Task[None]":
    """Take note of a cancellation that asked to stop the work, not this task; return the task."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
    return task
