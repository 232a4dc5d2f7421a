"""Jobs are run: session, bar, outcomes, and the exit code."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from cometflux.cli.batch.journal import (
    BatchWork,
    account_of,
    count_states,
    enough,
    has_claims,
    is_unfinished,
    own_base_url,
    own_place,
    plan_batch,
    plan_rest,
    resume_line,
    summary,
)
from cometflux.cli.batch.keep_manifest import with_manifest
from cometflux.cli.batch.run_locally import local_service
from cometflux.cli.batch.saved_files import UnembeddedCount
from cometflux.cli.batch.statistics import REPORT_NAME, write_report
from cometflux.cli.batch.summary import RunSummary, not_drawn, record, told
from cometflux.cli.errors import UsageError
from cometflux.cli.exit_codes import code_of_interrupt, code_of_run, code_of_signal
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal import signals
from cometflux.cli.terminal.event_log import describe, sentence
from cometflux.cli.terminal.messages import end_text
from cometflux.cli.terminal.quoting import argument, join
from cometflux.cli.terminal.screen import Screen
from cometflux.cli.terminal.streams import is_stdout_closed
from cometflux.errors import (
    CometfluxError,
    JournalError,
    LimitError,
    SessionClosedError,
    SessionStoppedError,
)
from cometflux.events import Event
from cometflux.jobs import Job, position_key
from cometflux.journal.reader import FILE_NAME, Journal
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import Outcome
from cometflux.session.batch import Batch
from cometflux.session.open import open_session
from cometflux.session.settings import read_base_url, read_key
from cometflux.sources.planner import Plan
from cometflux.storage.folder import prepare_folder
from cometflux.storage.object_store import open_store

_READING = 0.5
"""How many seconds a reader of stdout is given before the talk goes on without him."""


def run_prompts(plan: Plan, settings: RunOptions, out: Path | str) -> int:
    """Run every job of *plan*, save the pictures, and return the exit code.

    They go to *out*: a folder, or the URL of a place in an object store.

    Raises:
        UsageError: there is no stdout to print JSON to.
        ConfigError: there is no key, or a setting is unusable; nothing was sent.
        MissingExtraError: ``--local`` cannot draw.
    """
    with _outset(settings, plan.notes) as (screen, stack):
        base_url, key = _find_service(stack, screen, settings)
        run = _Run(settings, out, screen, base_url, key)
        return run.finish(_Prompts(len(plan), iter(plan)), stack)


def run_batch(plan: Plan, settings: RunOptions, folder: Path, *, place: str | None = None, new_key: bool) -> int:
    """Write every job of *plan* down in the journal of *folder*, run what is not done, and return the exit code.

    The pictures go to the same folder, or to *place*, which the journal then notes.

    Raises:
        UsageError: as for `run_prompts`, or a key stands in the journal for something else.
        ConfigError: there is no key, a setting is unusable, or the folder cannot be written to; nothing was sent.
        JournalError: the journal cannot be used; nothing was sent.
        MissingExtraError: ``--local`` cannot draw.
    """
    with _outset(settings, plan.notes) as (screen, stack):
        base_url, key = _find_service(stack, screen, settings)
        account = account_of(base_url, key, settings, may_change_key=new_key)
        writer = JournalWriter(folder / FILE_NAME, account)
        run = _Run(settings, place or folder, screen, base_url, key, writer)
        if place is not None:
            # What is missing for it is told before anything is written.
            open_store(place)
        prepare_folder(folder)
        with _gallery_of(folder, screen, is_wanted=settings.gallery):
            work, notes = plan_batch(writer, plan, settings, place)
            return with_manifest(screen, folder, lambda: run.finish(work, stack, notes))


def run_resume(folder: Path, settings: RunOptions, *, new_key: bool) -> int:
    """Run what is not done of the journal in *folder*, and return the exit code.

    Raises:
        UsageError: there is no stdout to print JSON to.
        ConfigError: there is no journal, and as for `run_batch`.
        JournalError: the journal cannot be used; nothing was sent.
        MissingExtraError: ``--local`` cannot draw.
    """
    with _outset(settings, ()) as (screen, stack):
        own = own_base_url(folder, settings, new_key=new_key)
        place = own_place(folder)
        base_url, key = _find_service(stack, screen, settings, own)
        account = account_of(base_url, key, settings, may_change_key=new_key)
        writer = JournalWriter(folder, account)
        run = _Run(settings, place or writer.path.parent, screen, base_url, key, writer)
        prepare_folder(writer.path.parent)
        with _gallery_of(writer.path.parent, screen, is_wanted=settings.gallery):
            work, notes = plan_rest(writer, settings)
            return with_manifest(screen, writer.path.parent, lambda: run.finish(work, stack, notes))


def _gallery_of(folder: Path, screen: Screen, *, is_wanted: bool) -> contextlib.AbstractContextManager[None]:
    if not is_wanted:
        return contextlib.nullcontext()
    from cometflux.cli.batch.gallery import kept_gallery

    return kept_gallery(screen, folder)


def tell_claims(screen: Screen, folder: Path, settings: RunOptions) -> None:
    """Tell which command goes on, where the journal in *folder* has what is paid for and not saved, or may be."""
    with contextlib.suppress(CometfluxError), signals.ignored(), Journal(folder) as journal:
        status = journal.status()
        if has_claims(status):
            _tell_next(screen, folder, settings, status)


def _tell_next(
    screen: Screen, folder: Path, settings: RunOptions, status: dict[str, int] | None, limit: int | None = None
) -> None:
    """Tell how far the folder is, and which command goes on; each on a line that can be pasted.

    Args:
        screen: where to tell it.
        folder: that of the journal.
        settings: those of this run.
        status: what the journal has; None where it cannot be read.
        limit: one that lets it go on; None where no limit has ended this run.
    """
    left = status is None or is_unfinished(status)
    unknown = 0 if status is None else status["unknown"]
    if status is not None and (left or unknown):
        screen.say(f"{folder}: {summary(status)}")
    if unknown and not settings.local:
        screen.say("to see what is unknown, and to settle it:")
        screen.say(f"  {join(['cometflux', 'unknown', argument(folder)])}")
    if left or limit is not None or (unknown and settings.local):
        screen.say("to go on:" if limit is None else "to go on, raise the limit, as in:")
        screen.say(f"  {resume_line(folder, settings, limit=limit)}")


@contextlib.contextmanager
def _outset(settings: RunOptions, notes: Sequence[str]) -> "Iterator[tuple[Screen, contextlib.ExitStack]]":
    if settings.json and is_stdout_closed():
        raise UsageError("stdout is closed, so what --json prints would be lost")
    screen = Screen(settings.voice)
    for note in notes:
        screen.say(f"note: {note}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet_logs())
        yield screen, stack


def _find_service(
    stack: contextlib.ExitStack, screen: Screen, settings: RunOptions, own: str | None = None
) -> tuple[str, str]:
    """Return the base URL and the key; *own* is the address that a folder names, where it has a say."""
    if settings.local:
        service = stack.enter_context(local_service(screen))
        return service.url, service.key
    return read_base_url(settings.base_url or own), read_key()


@contextlib.contextmanager
def _quiet_logs() -> "Iterator[None]":
    """Leave what the command says itself to the command; a defect is still logged."""
    log = logging.getLogger("cometflux")
    if log.handlers:
        yield
        return
    handler, before = logging.StreamHandler(), log.level
    log.addHandler(handler)
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


@attrs.define
class _Prompts:
    """The jobs of a run that keeps no journal."""

    total: int
    jobs: Iterator[Job]
    writer: None = None

    def rest(self, cause: CometfluxError) -> Iterator[Outcome]:
        """Yield the outcomes of what was not drawn before *cause*."""
        jobs = list(self.jobs)
        for index, job in enumerate(jobs, self.total - len(jobs)):
            yield not_drawn(index, job.key or position_key(index), job, cause)


class _Run:
    """One run of the command, from its settings to its exit code."""

    def __init__(
        self,
        settings: RunOptions,
        out: Path | str,
        screen: Screen,
        base_url: str,
        key: str,
        writer: JournalWriter | None = None,
    ) -> None:
        self.settings = settings
        self.out = out
        self.screen = screen
        self.writer = writer
        self.tally = RunSummary(out, is_kept=writer is not None)
        self.bare = UnembeddedCount()
        self.bar: Callable[[Event], None] | None = None
        self.session = open_session(
            base_url=base_url,
            api_key=key,
            max_pending=settings.max_pending,
            creates_per_minute=settings.creates_per_minute,
            polls_per_minute=settings.polls_per_minute,
            proxy=settings.proxy,
            journal=writer,
            max_predictions=settings.limit,
            retry_failed=settings.retry_failed,
            embed=settings.embed,
            on_event=self._watch,
        )
        self.end: CometfluxError | None = None
        """Why the batch ended before its time; None while it has not."""
        self.task: asyncio.Task[None] | None = None
        """What works, and is told to stop; None while nothing has begun."""
        self.interrupted_by: signal.Signals | None = None
        """The first signal that asked to stop; None while none has."""
        self.presses = 0
        self.is_stopping = False
        """Whether the batch has been left, and what is paid for is waited for."""

    def finish(self, work: BatchWork | _Prompts, stack: contextlib.ExitStack, notes: Sequence[str] = ()) -> int:
        """Run *work*, tell what became of it, and leave what *stack* holds."""
        try:
            for note in notes:
                self.screen.say(note)
            self.screen.write_aside()
            self._run(work)
            code = self._tell_end(work)
        except KeyboardInterrupt as stop:
            if self.task is None:
                raise
            # Between two steps of the telling: what was sent was sent.
            code = code_of_interrupt(stop)
        finally:
            if self.writer is not None and self.task is None:
                # Never handed over to the session, which would have closed it.
                self.writer.close()
            self.screen.close()
        with signals.ignored():
            stack.close()
        return code

    # ── at work ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self, work: BatchWork | _Prompts) -> None:
        try:
            with self.screen.bar(work.total) as self.bar, signals.taken(self._on_signal):
                asyncio.run(self._work(work))
        except asyncio.CancelledError:
            # A signal came with the last step.
            self.is_stopping = True
        except BaseException:
            # A defect. What is paid for is told even then.
            self.tally.is_kept = False
            self._tell_owed()
            raise

    async def _work(self, work: BatchWork | _Prompts) -> None:
        self.task = asyncio.current_task()
        try:
            async with self.session:
                batch = self.session.generate(work.jobs, save_to=self.out)
                await self._follow(batch)
                try:
                    await self.session.aclose()
                except asyncio.CancelledError:
                    _go_on()
        except asyncio.CancelledError:
            # The journal was still being handed over.
            self._stop()
            return
        # The session is closed, so every job that was drawn has ended; after Ctrl-C their outcomes are still there.
        with contextlib.suppress(CometfluxError):
            async for outcome in batch:
                self._take(outcome)

    async def _follow(self, batch: Batch) -> None:
        try:
            async for outcome in batch:
                self._take(outcome)
        except asyncio.CancelledError:
            task = self._stop()
            if self.presses > 1:
                asyncio.get_running_loop().call_soon(task.cancel)
            elif self.tally.owed:
                self.screen.say("stopping: what is paid for is waited for, up to 30 s; Ctrl-C again leaves now")
        except CometfluxError as error:
            self.end = error

    def _stop(self) -> "asyncio.Task[None]":
        self.is_stopping = True
        self.end = SessionClosedError("interrupted")
        return _go_on()

    def _on_signal(self, number: signal.Signals) -> None:
        """Let the first signal stop the batch and the second leave at once, always between two steps of the work."""
        if self.task is None:
            raise signals.Interrupted(number)
        # The loop may be closed already, and then there is nothing left to stop.
        with contextlib.suppress(RuntimeError):
            self.task.get_loop().call_soon_threadsafe(self._press, number, self.task)

    def _press(self, number: signal.Signals, task: "asyncio.Task[None]") -> None:
        self.presses += 1
        self.interrupted_by = self.interrupted_by or number
        if self.presses == 1 or (self.presses == 2 and self.is_stopping):
            task.cancel()

    def _watch(self, event: Event) -> None:
        self.tally.watch(event)
        if self.bar is not None:
            self.bar(event)
        if self.screen.voice.is_log:
            self.screen.log(*describe(event))
        elif self.screen.voice.verbosity > 1:
            self.screen.say(sentence(event))

    def _take(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        if self.screen.voice.verbosity and not self.screen.voice.is_log:
            self.screen.say(told(outcome))
        if self.settings.embed:
            self.bare.look(each for each in outcome.files if isinstance(each, Path))
        if self.settings.json:
            self.screen.data(record(outcome))
            return
        for path in outcome.files:
            self.screen.data(str(path))

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell_end(self, work: BatchWork | _Prompts) -> int:
        """Tell what became of the jobs, and return the exit code."""
        status = self._read_status()
        # What the disk has not taken in is told here, or nowhere.
        self.tally.is_kept = status is not None and not isinstance(self._cause(), JournalError)
        if status is not None and status["planned"] != work.total:
            self.tally.whose = " of this file"
        has_begun = bool(self.tally.kinds)
        try:
            self._tell_rest(work)
            # Where it is read, in front of the talk.
            self.screen.drain(_READING)
            if has_begun:
                self._tell_tables()
            self._tell_reasons()
            for line in self.bare.lines():
                self.screen.say(line)
            self._tell_lines(has_begun=has_begun)
        except KeyboardInterrupt as stop:
            self._report(work, status, code_of_interrupt(stop))
            self._tell_next(status)
            return code_of_interrupt(stop)
        self._report(work, status, self._exit_code(status))
        self._tell_next(status)
        try:
            self._wait_for_reader()
        except KeyboardInterrupt as stop:
            return code_of_interrupt(stop)
        return self._exit_code(status)

    def _wait_for_reader(self) -> None:
        if self.presses > 1 or self.screen.drain(_READING):
            return
        self.screen.say("waiting for stdout to be read; Ctrl-C leaves")
        self.screen.drain()

    def _read_status(self) -> dict[str, int] | None:
        """Count what the journal has; None where there is none, or none that can be read."""
        if self.writer is None:
            return None
        try:
            return count_states(self.writer)
        except CometfluxError as error:
            self.end = self.end or error
            return None

    def _tell_rest(self, work: BatchWork | _Prompts) -> None:
        if self.is_stopping:
            self.tally.look_again()
        # With a journal, people are told in one line where it stands.
        if self.end is not None and (self.writer is None or self.settings.json):
            with contextlib.suppress(JournalError):
                for outcome in work.rest(self.end):
                    self._take(outcome)

    def _tell_tables(self) -> None:
        # Who wants errors only, gets those.
        news = self.tally.bad_news if self.screen.voice.is_quiet else self.tally.tables
        self.screen.say("")
        for table in news(self._cause()):
            self.screen.show(table)
        self.screen.say("")

    def _report(self, work: BatchWork | _Prompts, status: dict[str, int] | None, code: int) -> None:
        """Leave the figures in the folder of a batch, and in the log."""
        values = self.tally.figures.summary()
        values |= {"jobs": work.total, "exit_code": code, "interrupted": self.is_stopping}
        values |= {"ended_by": None if self.end is None else self.end.message, "journal": status}
        if self.screen.voice.is_log:
            self.screen.log("report", values)
        if self.writer is None:
            return
        try:
            with signals.ignored():
                write_report(self.writer.path.parent, values)
        except OSError as error:
            self.screen.error(f"{self.writer.path.with_name(REPORT_NAME)} cannot be written ({error.strerror})")

    def _tell_reasons(self) -> None:
        if self.end is not None and not self.is_stopping:
            self.screen.error(end_text(self.end, is_local=self.settings.local))
        if self.tally.is_disk_refusing:
            where = self.out if isinstance(self.out, str) else f"the folder {str(self.out)!r}"
            self.screen.error(f"{where} cannot be written to any more")

    def _tell_lines(self, *, has_begun: bool) -> None:
        if self.is_stopping:
            self.screen.warn(self.tally.interrupted_line())
        elif has_begun:
            self._tell_owed()
            self.screen.say(self.tally.last_line())

    def _tell_next(self, status: dict[str, int] | None) -> None:
        if self.writer is not None:
            folder = self.writer.path.parent
            _tell_next(self.screen, folder, self.settings, status, self._higher_limit())

    def _higher_limit(self) -> int | None:
        """Return a limit with which the batch can go on; None where none has ended it."""
        if self.writer is None or self.settings.limit is None or not isinstance(self._cause(), LimitError):
            return None
        try:
            return enough(self.writer, self.settings.limit)
        except CometfluxError:
            return self.settings.limit + max(self.settings.limit, 1)

    def _cause(self) -> CometfluxError | None:
        return self.end.cause if isinstance(self.end, SessionStoppedError) else self.end

    def _tell_owed(self) -> None:
        if self.tally.owed:
            self.screen.warn(self.tally.owed_line())

    def _exit_code(self, status: dict[str, int] | None) -> int:
        if self.is_stopping:
            return code_of_signal(self.interrupted_by or signal.SIGINT)
        return code_of_run(
            self._cause(),
            is_disk_refusing=self.tally.is_disk_refusing,
            has_unknown=bool(self.tally.unknown if status is None else status["unknown"]),
            is_all_well=self.tally.is_all_well and not self.screen.is_data_lost,
        )


def _go_on() -> "asyncio.Task[None]":
    """Take note of a cancellation that asked to stop the work, not this task; return the task."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
    return task
