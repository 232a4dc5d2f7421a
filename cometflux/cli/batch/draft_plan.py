"""Check a whole prompt file, and draft its jobs, before anything is written or sent."""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import InputError
from cometflux.jobs import Job, outputs_in
from cometflux.journal.draft import Draft
from cometflux.journal.marks import NameMarks
from cometflux.journal.plan import plan_jobs
from cometflux.sources import validation
from cometflux.sources.errors import Fault, FaultList, SourceError
from cometflux.sources.planner import Planner, copies
from cometflux.storage.naming import UnknownFieldError, find_names

if TYPE_CHECKING:
    from cometflux.cli.terminal.progress_bar import CheckBar
    from cometflux.distributed.parts import Part


@attrs.frozen(kw_only=True)
class BatchPlan:
    """The jobs of a prompt file, all checked; they are kept in a temporary file."""

    draft: Draft
    name: str
    """The name of the prompt file in messages."""
    unit: str
    """The unit of its lines: ``line`` or ``row``."""
    notes: tuple[str, ...]
    """Warnings for the user, to be shown before the run starts."""
    models: frozenset[str] = frozenset()
    """The models of its jobs."""
    validate: bool = True
    """Whether the inputs of known models are checked."""

    has_chains: bool = False
    """Whether a job takes the output of another one."""

    def __len__(self) -> int:
        return len(self.draft)

    def sample(self, count: int) -> frozenset[str]:
        """Return the identities of *count* jobs that are spread over the file, and of the jobs that they need."""
        chosen = spread(len(self), count)
        wanted = {row.identity for number, row in enumerate(self.draft) if number in chosen}
        size = 0
        while self.has_chains and size < len(wanted):
            size = len(wanted)
            rows = [row for row in self.draft if row.identity in wanted]
            wanted |= {output.identity for row in rows for _, output in outputs_in(row.to_job())}
        return frozenset(wanted)


def spread(total: int, count: int) -> frozenset[int]:
    """Return *count* numbers from 0 to below *total* at equal distances, the first and the last among them."""
    if count >= total:
        return frozenset(range(total))
    if count == 1:
        return frozenset({0})
    return frozenset((number * (total - 1) + (count - 1) // 2) // (count - 1) for number in range(count))


def draft_batch(
    planner: Planner, settings: RunOptions, part: "Part | None" = None, name: str | None = None
) -> BatchPlan:
    """Check every row, and draft the copies of its job; of a *part* only those that are in it.

    *name* is the template of the files' names; None to name them by index and prompt.

    A terminal shows how many rows were checked.

    Raises:
        SourceError: the source has mistakes; the error lists all of them. Or names of files are wrong, or jobs of a
            part take the output of other jobs.
        InputError: an image file cannot be read any more.
        ConfigError: the draft does not fit into the folder for temporary files.
    """
    draft = Draft()
    lines = deque[int | None]()
    models = set[str]()
    names = _Names(planner, name, lines)
    with Screen(settings.voice).checking(planner.source.name) as bar:
        jobs = _copies(planner, lines, models, bar)
        for row in plan_jobs(jobs, planner.source.name, None if name is None else names.name_of):
            line = lines.popleft()
            if part is None or part.has(row.identity):
                draft.add(row, line)
    source = planner.source
    names.check()
    if part is not None and planner.keys.outputs:
        raise SourceError("its jobs take the output of other jobs, which --part may give another machine", source.name)
    return BatchPlan(
        draft=draft,
        name=source.name,
        unit=source.unit,
        notes=planner.notes,
        models=frozenset(models),
        validate=planner.defaults.validate,
        has_chains=planner.keys.outputs > 0,
    )


class _Names:
    """Names the files of jobs, and collects the mistakes. *lines* begins with the line of the job to be named."""

    def __init__(self, planner: Planner, text: str | None, lines: deque[int | None]) -> None:
        try:
            self._template = find_names(text, planner.source.kept)
        except InputError as error:
            raise SourceError(validation.describe(error.under("--name"))) from error
        self._source = planner.source
        self._keep_label = planner.defaults.keep_label
        self._lines = lines
        self._marks = NameMarks()
        self._faults = FaultList()
        self._unknown: set[str] = set()
        """The fields that no job has, each of which is reported once."""

    def name_of(self, index: int, job: Job) -> str | None:
        """Return the name of a job's files; None to name them by index and prompt, or if there is a mistake."""
        if self._template is None:
            return None
        line = self._lines[0]
        try:
            name = self._template.fill(index, job)
        except UnknownFieldError as error:
            self._note_unknown(error)
            return None
        except InputError as error:
            self._faults.add(Fault(validation.describe(error.under("--name")), line))
            return None
        if (other := self._marks.add(name, job.input, index if line is None else line)) is not None:
            where = "another job" if other == line else f"{self._source.unit} {other}"
            self._faults.add(Fault(f"--name: {where} has the name {name!r}, too; add {{index}} to it", line))
        return name

    def _note_unknown(self, error: UnknownFieldError) -> None:
        name, text = str(error.given), validation.describe(error.under("--name"))
        if name not in self._unknown:
            self._unknown.add(name)
            is_column = name in self._source.columns
            self._faults.add(Fault(validation.also(text, self._keep_label(name)) if is_column else text))

    def check(self) -> None:
        """Raise if there are mistakes.

        Raises:
            SourceError: names are not safe, or two jobs have one.
        """
        if self._faults.count:
            raise self._faults.error(self._source.name, self._source.unit)


def _copies(planner: Planner, lines: deque[int | None], models: set[str], bar: "CheckBar | None") -> Iterator[Job]:
    """Yield the copies of each job; *lines* gets the line of each, and *models* the models."""
    for number, (job, line) in enumerate(planner.jobs(), 1):
        models.add(job.model)
        if bar is not None and not number % 1000:
            share = planner.source.share
            bar.show(number, share and share())
        for each in copies(job, planner.defaults.count):
            lines.append(line)
            yield each
