"""Print how a run ended: tables, reasons, report, next command, exit code."""

import contextlib
import signal
from pathlib import Path

import attrs

from cometflux.cli.batch.journal_status import has_claims
from cometflux.cli.batch.next_command import tell_next
from cometflux.cli.batch.outcome_lines import describe, text_line
from cometflux.cli.batch.picture_looks import PictureLooks
from cometflux.cli.batch.plan_journal import BatchWork
from cometflux.cli.batch.remaining_jobs import count_states, enough, enough_dollars
from cometflux.cli.batch.saved_files import UnembeddedCount
from cometflux.cli.batch.signatures import unsigned_lines
from cometflux.cli.batch.statistics import REPORT_NAME, write_report
from cometflux.cli.batch.summary import RunSummary
from cometflux.cli.exit_codes import code_of_interrupt, code_of_run, code_of_signal
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal import signals
from cometflux.cli.terminal.messages import end_text
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import (
    CometfluxError,
    JournalError,
    LimitError,
    SessionStoppedError,
)
from cometflux.journal.costs import CostSum, describe_estimate
from cometflux.journal.reader import Journal
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import Outcome
from cometflux.provenance.signing import Signer

_READING = 0.5
"""How many seconds to wait for the reader of stdout before stderr continues."""


class RunEnd:
    """The end of a run: the lines to print, the report, and the exit code."""

    def __init__(self, settings: RunOptions, out: Path | str, screen: Screen, writer: JournalWriter) -> None:
        self.settings = settings
        self.out = out
        self.screen = screen
        self.writer = writer
        self.summary = RunSummary(out, is_kept=True)
        self.unembedded = UnembeddedCount()
        self.signer: Signer | None = None
        """Signs the pictures; None unless that is wanted."""
        self.looks: PictureLooks | None = None
        """Looks at the pictures; None unless that is wanted."""
        self.end: CometfluxError | None = None
        """The error that ended the batch early; None unless one did."""
        self.interrupted_by: signal.Signals | None = None
        """The first signal; None unless one came."""
        self.presses = 0
        self.is_leaving = False
        """Whether a signal came after the work, and could not end the command at once. Then no reader is waited for."""
        self.is_stopping = False
        """Whether the batch has been left, so that the run only waits for accepted predictions."""

    @property
    def _tells_each(self) -> bool:
        """Whether more than the paths of its images is wanted of each job."""
        return self.settings.json or self.settings.embed or self.screen.voice.is_log or self.screen.voice.verbosity > 0

    def _take(self, outcome: Outcome) -> None:
        self.summary.add(outcome)
        if self.screen.voice.verbosity and not self.screen.voice.is_log:
            self.screen.say(text_line(outcome))
        if self.settings.embed:
            self.unembedded.look(each for each in outcome.files if isinstance(each, Path))
        if self.settings.json:
            self.screen.data_json(describe(outcome))
            return
        self.screen.data(*map(str, outcome.files))

    def _tell_end(self, work: BatchWork) -> int:
        """Print how the jobs ended, and return the exit code."""
        status = self._read_status()
        self.summary.costs = self._read_costs(work)
        # Ids that are not in the journal must be printed here.
        self.summary.is_kept = status is not None and not isinstance(self._cause(), JournalError)
        if status is not None and status["planned"] != work.total and not work.is_addition:
            self.summary.whose = " of this file"
        has_begun = bool(self.summary.figures.kinds)
        try:
            if self.looks is not None:
                self._finish_looks(self.looks)
            self._tell_rest(work)
            # Data that somebody reads comes before the closing lines.
            self.screen.drain(_READING)
            if has_begun:
                self._tell_tables()
            self._tell_reasons()
            for line in (*self.unembedded.lines(), *unsigned_lines(self.signer)):
                self.screen.say(line)
            for line in () if self.looks is None else self.looks.lines():
                self.screen.say(line)
            self._tell_lines(has_begun=has_begun)
        except KeyboardInterrupt as stop:
            self._report(work, status, code_of_interrupt(stop))
            self._tell_next(work, status)
            return code_of_interrupt(stop)
        self._report(work, status, self._exit_code(work, status))
        self._tell_next(work, status)
        try:
            self._wait_for_reader()
        except KeyboardInterrupt as stop:
            return code_of_interrupt(stop)
        return self._exit_code(work, status)

    def _finish_looks(self, looks: PictureLooks) -> None:
        try:
            looks.finish(is_stopping=self.is_stopping)
        except OSError as error:
            self.screen.say(f"note: what the pictures look like cannot be kept: {error.strerror}")

    def _leave(self, _: signal.Signals) -> None:
        self.is_leaving = True

    def _wait_for_reader(self) -> None:
        if self.is_leaving or self.presses > 1 or self.screen.drain(_READING):
            return
        self.screen.say("waiting for stdout to be read; Ctrl-C exits")
        self.screen.drain()

    def _read_status(self) -> dict[str, int] | None:
        """Count the journal's jobs by state; None if the journal cannot be read."""
        try:
            return count_states(self.writer)
        except CometfluxError as error:
            self.end = self.end or error
            return None

    def _read_costs(self, work: BatchWork) -> CostSum:
        """Add up the estimates of all predictions of the folder; if the jobs were added to others, of the outcomes."""
        if not work.is_addition:
            with contextlib.suppress(CometfluxError), Journal(self.writer.path) as journal:
                return journal.costs()
        return self.summary.figures.costs

    def _tell_rest(self, work: BatchWork) -> None:
        if self.is_stopping:
            self.summary.look_again()
        # One line on the journal's state is enough for people.
        if self.end is not None and self.settings.json:
            with contextlib.suppress(JournalError):
                for outcome in work.rest(self.end):
                    self._take(outcome)

    def _tell_tables(self) -> None:
        # With --quiet only the problems are printed.
        news = self.summary.bad_news if self.screen.voice.is_quiet else self.summary.tables
        self.screen.say("")
        for table in news(self._cause()):
            self.screen.show(table)
        self.screen.say("")

    def _report(self, work: BatchWork, status: dict[str, int] | None, code: int) -> None:
        """Write the figures to the folder of the journal, and to the log."""
        values = self.summary.figures.summary()
        values |= {"jobs": work.total, "exit_code": code, "interrupted": self.is_stopping}
        values |= {"ended_by": None if self.end is None else self.end.message, "journal": status}
        values |= describe_estimate(self.summary.costs)
        if self.looks is not None:
            values["looks"] = self.looks.facts()
        values["problems"] = self.summary.problems.of_jobs
        if self.screen.voice.is_log:
            self.screen.log("report", values)
        wanted = self.writer.path.with_name(REPORT_NAME)
        try:
            with signals.taken(self._leave):
                path = write_report(wanted.parent, values)
        except OSError as error:
            self.screen.error(f"{wanted} cannot be written ({error.strerror})")
            return
        if path != wanted:
            self.screen.say(f"note: {wanted} is not a file of cometflux and stays; the report is {path.name}")

    def _tell_reasons(self) -> None:
        if self.end is not None and not self.is_stopping:
            self.screen.error(end_text(self.end, is_local=self.settings.local))
        if self.summary.is_disk_refusing:
            where = self.out if isinstance(self.out, str) else f"the folder {str(self.out)!r}"
            self.screen.error(f"{where} can no longer be written to")

    def _tell_lines(self, *, has_begun: bool) -> None:
        if self.is_stopping:
            self.screen.warn(self.summary.interrupted_line())
        elif has_begun:
            self._tell_owed()
            self.screen.say(self.summary.last_line())

    def _tell_next(self, work: BatchWork, status: dict[str, int] | None) -> None:
        is_done = self.summary.is_all_well and self.end is None and status is not None
        # The folder's other jobs concern a run that added its own only if money may be lost with them.
        if not (work.is_addition and is_done) or has_claims(status or {}):
            tell_next(self.screen, self.writer.path.parent, self.settings, status, self._raised(status))

    def _raised(self, status: dict[str, int] | None) -> RunOptions | None:
        """Return the settings with a limit with which the batch can resume; None if no other can help."""
        cause, limit, most = self._cause(), self.settings.limit, self.settings.max_cost
        if not isinstance(cause, LimitError) or (status is not None and status["saved"] == status["planned"]):
            return None
        if cause.setting == "max_cost" and most is not None:
            return attrs.evolve(self.settings, max_cost=enough_dollars(self.writer, self.settings.prices.prices, most))
        return None if limit is None else attrs.evolve(self.settings, limit=enough(self.writer, limit))

    def _cause(self) -> CometfluxError | None:
        return self.end.cause if isinstance(self.end, SessionStoppedError) else self.end

    def _tell_owed(self) -> None:
        if self.summary.owed:
            self.screen.warn(self.summary.owed_line())

    def _exit_code(self, work: BatchWork, status: dict[str, int] | None) -> int:
        if self.is_stopping:
            return code_of_signal(self.interrupted_by or signal.SIGINT)
        return code_of_run(
            self._cause(),
            is_disk_refusing=self.summary.is_disk_refusing,
            has_unknown=bool(self.summary.unknown if status is None or work.is_addition else status["unknown"]),
            is_all_well=self.summary.is_all_well and not self.screen.is_data_lost,
        )
