"""Count the outcomes of a run, and summarize them for people at its end."""

import time
from collections.abc import Iterator, Sequence, Sized
from pathlib import Path

from rich.table import Table
from rich.text import Text

from cometflux.account.cost_words import told_costs
from cometflux.basics.plain_text import by_number, count_of, plain
from cometflux.cli.batch.outcome_lines import KIND_WORDS
from cometflux.cli.batch.problems import RunProblems
from cometflux.cli.batch.saved_files import count_late
from cometflux.cli.batch.statistics import REPORT_NAME, RunStatistics, in_words, spread
from cometflux.errors import (
    CometfluxError,
    OutputError,
    PredictionError,
    SessionClosedError,
    SessionStoppedError,
    UnknownSubmissionError,
)
from cometflux.events import Accepted, Ended, Event, Retried, Saved
from cometflux.journal.costs import CostSum
from cometflux.journal.manifest import expected
from cometflux.outcomes import Outcome, OutcomeKind

_ENOUGH = 5
"""The times at the service are shown from this many predictions on."""


class RunSummary:
    """Counts events and outcomes.

    Args:
        folder: the folder for the pictures, or the URL of a place in an object store.
        is_kept: whether a journal has the ids of the paid predictions.
    """

    def __init__(self, folder: Path | str, *, is_kept: bool = False) -> None:
        self.folder = folder
        self.is_kept = is_kept
        self.whose = ""
        """Qualifies the counts, such as `` of this file``; empty if they cover all jobs of the folder."""
        self.pictures = 0
        """How many images this run has saved."""
        self.earlier = 0
        """How many images were already saved by earlier runs."""
        self.has_asked = False
        """Whether a prediction had to be polled."""
        self.reconnects = 0
        """How many submissions were retried because the service had provably not accepted them."""
        self.repurchases = 0
        """How many jobs were submitted again after a failed prediction or an unknown submission."""
        self._resubmitted: set[int] = set()
        self.in_doubt = 0
        """How many submissions of this run are unknown."""
        self._fresh: set[str] = set()
        """The ids of the predictions that this run has saved and whose outcomes have not arrived yet."""
        self.is_disk_refusing = False
        """Whether the disk refused an image, so that it would refuse the next one too."""
        self.began = time.monotonic()
        self.figures = RunStatistics()
        self.costs = CostSum()
        """What all predictions of the folder cost by estimate, those of earlier runs included."""
        self.owed: dict[str, None] = {}
        """The ids of paid predictions that did not fail and are not saved; their pictures can still be fetched."""
        self._cut_off: dict[str, int] = {}
        """The predictions whose saving was interrupted, and how many images each has."""
        self.problems = RunProblems(REPORT_NAME if is_kept else "--json")

    @property
    def unknown(self) -> int:
        """How many submissions are unknown."""
        return self.figures.kinds[OutcomeKind.UNKNOWN]

    @property
    def is_all_well(self) -> bool:
        """Whether every job succeeded and is saved."""
        return not self.figures.unsaved and self.figures.kinds.total() == self.figures.kinds[OutcomeKind.SUCCEEDED]

    def watch(self, event: Event) -> None:
        """Count an event. Events arrive as soon as something is charged or saved, before the outcome does."""
        self.figures.watch(event)
        match event:
            case Accepted(prediction_id=prediction_id, job_id=job_id):
                self._note_repurchase(job_id)
                self.has_asked = True
                self.owed[prediction_id] = None
            case Saved(prediction_id=prediction_id, files=files):
                self.pictures += len(files)
                self._fresh.add(prediction_id)
            case Retried(error=PredictionError() as error, job_id=job_id):
                self._resubmitted.add(job_id)
                # It failed, so it has no pictures to fetch.
                self.owed.pop(error.prediction.id, None)
            case Retried(error=UnknownSubmissionError(), job_id=job_id):
                self._resubmitted.add(job_id)
            case Retried():
                self.reconnects += 1
            case Ended(kind=OutcomeKind.UNKNOWN, job_id=job_id):
                self._note_repurchase(job_id)
            case Ended(kind=kind, error=error, prediction_id=str(prediction_id)):
                # A prediction that succeeded with an error may have only some of its images on disk.
                if kind is not OutcomeKind.DETACHED and not (kind is OutcomeKind.SUCCEEDED and error):
                    self.owed.pop(prediction_id, None)
                self.is_disk_refusing |= isinstance(error, OutputError) and error.is_disk

    def _note_repurchase(self, job_id: int) -> None:
        """Count a job that was submitted again and is, or may be, charged again."""
        self.repurchases += job_id in self._resubmitted
        self._resubmitted.discard(job_id)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.figures.add(outcome)
        self.in_doubt += outcome.kind is OutcomeKind.UNKNOWN and not outcome.resumed
        prediction_id = outcome.prediction.id if outcome.prediction else ""
        self.earlier += 0 if prediction_id in self._fresh else len(outcome.files)
        self._fresh.discard(prediction_id)
        if (outcome.ok and not _is_short(outcome)) or _is_told_elsewhere(outcome):
            return
        if outcome.prediction and outcome.kind is OutcomeKind.SUCCEEDED and not outcome.files:
            self._cut_off[outcome.prediction.id] = len(outcome.prediction.output)
        self.problems.add(outcome)

    def add_finished(self, jobs: Sequence[Sized]) -> None:
        """Count jobs that earlier runs finished, each given as its images."""
        self.figures.add_finished(len(jobs))
        self.earlier += sum(map(len, jobs))

    def look_again(self) -> None:
        """Count the images that reached the disk although their saving was interrupted."""
        # In an object store, the next run checks which images arrived.
        if not self._cut_off or isinstance(self.folder, str):
            return
        for prediction_id, count in count_late(self.folder, self._cut_off).items():
            self.pictures += count
            if count >= self._cut_off[prediction_id]:
                self.owed.pop(prediction_id, None)

    def tables(self, cause: CometfluxError | None) -> Iterator[Table | Text]:
        """Yield the closing tables: the counts, then the problems, except for the *cause* of the end."""
        yield self._counts()
        yield from self._course()
        yield from self.bad_news(cause)

    def bad_news(self, cause: CometfluxError | None) -> Iterator[Table | Text]:
        """Yield the problems, except for the *cause* of the end."""
        yield from self.problems.tables(cause)
        if unknown := self.figures.kinds[OutcomeKind.UNKNOWN]:
            verb = by_number(unknown, "is unknown: it", "are unknown: they")
            yield Text(f"{unknown} {verb} may be billed, and {_is(unknown)} not repeated")

    def _counts(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="left")
        table.add_column(justify="right")
        for kind in OutcomeKind:
            if count := self.figures.kinds[kind] - (self.figures.unsaved if kind is OutcomeKind.SUCCEEDED else 0):
                table.add_row(Text(KIND_WORDS[kind], _STYLES.get(kind, "yellow")), str(count))
        if self.figures.unsaved:
            table.add_row(Text("paid, not saved", "red"), str(self.figures.unsaved))
        if self.figures.resumed:
            table.add_row("from earlier runs", str(self.figures.resumed))
        table.add_row("bought", str(self.figures.created))
        for name, amount in told_costs(self.costs)[:1] if self.costs.bases else ():
            table.add_row(f"{name}, earlier runs included" if self.figures.resumed else name, plain(amount))
        # If everything was saved by earlier runs, a count of 0 would look like a failure.
        if self.pictures or not self.earlier:
            table.add_row("pictures", str(self.pictures))
        rows = {
            "polls": self.figures.polls if self._is_many else 0,
            "bought again": self.repurchases,
            "tried again to connect": self.reconnects,
            "asked to slow down": self.figures.throttles,
        }
        for name, count in rows.items():
            if count:
                table.add_row(name, str(count))
        if self._is_many:
            table.add_row("size", in_words(self.figures.bytes))
        table.add_row("elapsed", f"{time.monotonic() - self.began:.1f} s")
        return table

    @property
    def _is_many(self) -> bool:
        return self.figures.created >= _ENOUGH

    def _course(self) -> Iterator[Text]:
        """Yield the lines on the times, unless there were only a few predictions."""
        took, noticed = spread(self.figures.times), spread(self.figures.delays())
        if self._is_many and took["count"]:
            yield Text(f"at the service {took['p50']:.2f} s each, 95 % of them within {took['p95']:.2f} s")
        if self._is_many and noticed["count"]:
            yield Text(f"noticed {noticed['p50']:.2f} s after the end, 95 % of them within {noticed['p95']:.2f} s")

    def last_line(self) -> str:
        """Return the last line: the number of pictures and their folder."""
        where = f"in {plain(str(self.folder))}"
        pictures = f"{count_of(self.pictures + self.earlier, 'picture')}{self.whose} {where}"
        if not self.is_idle:
            return pictures
        if self.is_all_well:
            return f"nothing was left to do: {pictures}"
        saved = self.figures.kinds[OutcomeKind.SUCCEEDED] - self.figures.unsaved
        total = self.figures.kinds.total()
        jobs = f"{saved} of {count_of(total, 'job')}{self.whose} {_is(1 if total == 1 else saved)} saved {where}"
        others = {
            kind: count
            for kind in OutcomeKind
            if (count := self.figures.kinds[kind]) and kind is not OutcomeKind.SUCCEEDED
        }
        parts = [
            f"{count} {_is(count)} unknown" if kind is OutcomeKind.UNKNOWN else f"{count} {KIND_WORDS[kind]}"
            for kind, count in others.items()
        ]
        return f"nothing was left to do: {', '.join([jobs, *parts])}"

    @property
    def is_idle(self) -> bool:
        """Whether earlier runs had already finished every job."""
        return self.figures.resumed == self.figures.kinds.total() > 0 and not (
            self.figures.created or self.pictures or self.has_asked
        )

    def interrupted_line(self) -> str:
        """Return the line on an interruption: the charged predictions, the saved pictures, and the ids of the rest."""
        unknown = self.in_doubt
        doubt = f"; {unknown} more may be, and {by_number(unknown, 'its id is', 'their ids are')} not known"
        left = f"; {self.owed_line()}" if self.owed else ""
        # The folder has more if earlier runs saved some.
        pictures = (
            f"{count_of(self.pictures, 'new picture' if self.earlier else 'picture')} in {plain(str(self.folder))}"
        )
        bought = f"interrupted: {count_of(self.figures.created, 'prediction')} bought, {pictures}"
        return f"{bought}{doubt if unknown else ''}{left}"

    def owed_line(self) -> str:
        """Return the line on paid predictions that are not saved, with their ids unless the journal has them."""
        verb = _is(len(self.owed))
        if self.is_kept:
            ids = by_number(len(self.owed), "its id", "their ids")
            return f"{count_of(len(self.owed), 'prediction')} {verb} paid and not saved; the journal has {ids}"
        ids = ", ".join(map(plain, self.owed))
        return f"{count_of(len(self.owed), 'prediction')} {verb} paid and not saved: {ids}"


_STYLES = {OutcomeKind.SUCCEEDED: "green", OutcomeKind.FAILED: "red", OutcomeKind.UNKNOWN: "bold red"}


def _is(number: int) -> str:
    return by_number(number, "is", "are")


def _is_told_elsewhere(outcome: Outcome) -> bool:
    """Whether the job was not sent because the session stopped, which is reported once for all jobs."""
    return outcome.kind is OutcomeKind.NOT_SENT and isinstance(outcome.error, SessionStoppedError | SessionClosedError)


def _is_short(outcome: Outcome) -> bool:
    return len(outcome.files) < (expected(outcome.job) or 0)
