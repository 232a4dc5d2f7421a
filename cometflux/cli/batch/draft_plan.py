"""Check a whole prompt file, and draft its jobs, before anything is written or sent."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import attrs

from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.screen import Screen
from cometflux.jobs import Job
from cometflux.journal.draft import Draft
from cometflux.journal.plan import plan_jobs
from cometflux.sources.planner import Planner, copies

if TYPE_CHECKING:
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
    validate: bool = True
    """Whether the inputs of known models are checked."""

    def __len__(self) -> int:
        return len(self.draft)


def draft_batch(planner: Planner, settings: RunOptions, part: "Part | None" = None) -> BatchPlan:
    """Check every row, and draft the copies of its job; of a *part* only those that are in it.

    A terminal shows how many rows were checked.

    Raises:
        SourceError: the source has mistakes; the error lists all of them.
        InputError: an image file cannot be read any more.
        ConfigError: the draft does not fit into the folder for temporary files.
    """
    draft = Draft()
    lines: list[int | None] = []
    with Screen(settings.voice).checking(planner.source.name) as show:
        jobs = _copies(planner, lines, show)
        for row in plan_jobs(jobs, planner.source.name):
            if part is None or part.has(row.identity):
                draft.add(row, lines[-1])
    source = planner.source
    return BatchPlan(
        draft=draft, name=source.name, unit=source.unit, notes=planner.notes, validate=planner.defaults.validate
    )


def _copies(planner: Planner, lines: list[int | None], show: Callable[[int, float | None], None]) -> Iterator[Job]:
    """Yield the copies of each job; *lines* has the line of the last one."""
    for number, (job, line) in enumerate(planner.jobs(), 1):
        lines[:] = [line]
        if not number % 1000:
            share = planner.source.share
            show(number, share and share())
        yield from copies(job, planner.defaults.count)
