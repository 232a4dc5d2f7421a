"""One run: a session works through the jobs, and signals stop it."""

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cometflux.cli.batch.finished_jobs import Found, unfinished
from cometflux.cli.batch.interruption import WORK
from cometflux.cli.batch.picture_looks import PictureLooks
from cometflux.cli.batch.plan_journal import BatchWork
from cometflux.cli.batch.run_end import RunEnd
from cometflux.cli.batch.signatures import make_signer
from cometflux.cli.batch.undrawn import finished_outcome
from cometflux.cli.exit_codes import code_of_interrupt
from cometflux.cli.options.shared import RunOptions, check_exclusive
from cometflux.cli.terminal import signals
from cometflux.cli.terminal.event_log import describe, sentence
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import (
    CometfluxError,
    ConnectError,
    SessionClosedError,
)
from cometflux.events import Event, Polled, Retried
from cometflux.journal.writer import JournalWriter
from cometflux.session.batch import Batch
from cometflux.session.open import open_session
from cometflux.session.settings import secrets_hidden
from cometflux.storage.folder import Folder
from cometflux.storage.object_store import open_store

if TYPE_CHECKING:
    from cometflux.cli.terminal.progress_bar import ProgressBar


class BatchRun(RunEnd):
    """One run of the command, from its settings to its exit code."""

    def __init__(
        self,
        settings: RunOptions,
        out: Path | str,
        screen: Screen,
        base_url: str,
        key: str,
        writer: JournalWriter,
    ) -> None:
        super().__init__(settings, out, screen, writer)
        self.bar: ProgressBar | None = None
        check_exclusive(settings, out)  # `resume` knows the place only now
        if settings.look:
            self.looks = PictureLooks(Path(out))
        self.signer = make_signer(settings)
        self.session = open_session(
            base_url=base_url,
            api_key=key,
            max_pending=settings.max_pending,
            creates_per_minute=settings.creates_per_minute,
            polls_per_minute=settings.polls_per_minute,
            proxy=settings.proxy,
            journal=writer,
            max_predictions=settings.limit,
            max_cost=settings.max_cost,
            prices=settings.prices.prices,
            retry_failed=settings.retry_failed,
            reseed=settings.reseed,
            embed=settings.embed,
            sign=self.signer,
            savers=settings.savers,
            on_event=self._watch,
        )
        self.task: asyncio.Task[None] | None = None
        """The task that a signal stops; None before the work begins."""
        self._is_cut_told = False
        """Whether it was said that there is no connection."""

    def finish(self, work: BatchWork, stack: contextlib.ExitStack, notes: Sequence[str] = ()) -> int:
        """Run *work*, print how it ended, and close *stack*."""
        try:
            for note in notes:
                self.screen.say(note)
            self.screen.write_aside()
            self._run(work)
            code = self._tell_end(work)
        except KeyboardInterrupt as stop:
            if self.task is None:
                raise
            # The signal came while the end was printed; the work is over.
            code = code_of_interrupt(stop)
        finally:
            if self.task is None:
                # The session never had the writer, so it did not close it.
                self.writer.close()
            self.screen.close()
        with signals.ignored():
            stack.close()
        return code

    def _run(self, work: BatchWork) -> None:
        # The session has the key, and the processes that save need none.
        hidden = secrets_hidden() if isinstance(self.settings.savers, int) else contextlib.nullcontext()
        try:
            with hidden, self.screen.bar(work.total) as self.bar, signals.taken(self._on_signal):
                signals.run(self._work(work))
        except asyncio.CancelledError:
            # A signal came with the last step.
            self.is_stopping = True
        except BaseException:
            # A defect. Print the ids of paid predictions all the same.
            self.summary.is_kept = False
            self._tell_owed()
            raise

    async def _work(self, work: BatchWork) -> None:
        self.task = asyncio.current_task()
        WORK.set()
        try:
            async with self.session:
                # A path is printed as it was given.
                out, check = self.out, self.settings.check
                place = Folder(out) if isinstance(out, Path) else open_store(out, check=check)
                is_quick = work.has_saved and not self._tells_each
                jobs = unfinished(work.draws, place.checker(), self._take_finished) if is_quick else work.jobs
                batch = self.session.generate(jobs, save_to=place)
                await self._follow(batch)
                try:
                    await self.session.aclose()
                except asyncio.CancelledError:
                    _go_on()
        except asyncio.CancelledError:
            # The session was still opening the journal.
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
            self._stop()
            if self.presses == 1 and self.summary.owed:
                self.screen.say("stopping: waiting up to 30 s for what is paid for; Ctrl-C again exits now")
        except CometfluxError as error:
            self.end = error

    def _stop(self) -> None:
        self.is_stopping = True
        self.end = SessionClosedError("interrupted")
        _go_on()

    def _on_signal(self, number: signal.Signals) -> None:
        """Stop the batch at the first signal, and leave at the second, both between two steps of the loop."""
        if self.task is None:
            raise signals.Interrupted(number)
        self.presses += 1
        self.interrupted_by = self.interrupted_by or number
        # If the work is over, or its loop is closed, there is nothing left to stop.
        self.is_leaving = self.is_leaving or self.task.done()
        with contextlib.suppress(RuntimeError):
            self.task.get_loop().call_soon_threadsafe(self._press, self.presses, self.task)

    def _press(self, presses: int, task: "asyncio.Task[None]") -> None:
        if presses == 1:
            task.cancel()
        else:
            self.session.end_grace()

    def _take_finished(self, found: Sequence[Found]) -> None:
        """Count jobs that earlier runs finished, and print the paths of their images."""
        whole = [images for job, images in found if not job.is_short]
        self.summary.add_finished(whole)
        self.screen.data(*(str(image.path) for images in whole for image in images))
        for job, images in found:
            if job.is_short:
                self._take(finished_outcome(job, images))
        if self.bar is not None:
            self.bar.add_finished(len(found))

    def _watch(self, event: Event) -> None:
        self.summary.watch(event)
        if self.looks is not None:
            self.looks.watch(event)
        if self.bar is not None:
            self.bar(event)
        if self.screen.voice.is_log:
            self.screen.log(*describe(event))
        elif self.screen.voice.verbosity > 1:
            self.screen.say(sentence(event))
        elif self.bar is None:
            self._tell_cut(event)

    def _tell_cut(self, event: Event) -> None:
        """Say once that there is no connection. If there is a bar, it says so."""
        error = event.error if isinstance(event, Retried | Polled) else None
        if isinstance(error, ConnectError) and not self._is_cut_told:
            self._is_cut_told = True
            self.screen.say(f"{error.message}; trying again")


def _go_on() -> None:
    """Clear the cancellation of this task, because it was meant to stop only the batch."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
