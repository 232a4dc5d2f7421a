"""Take the finished jobs out of a run: their images are checked page by page, and the session never has these jobs."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

from cometflux.basics.pages import pages
from cometflux.images.formats import Image
from cometflux.jobs import PlannedJob
from cometflux.journal.finished import FinishedJob, load_finished
from cometflux.journal.job_rows import JournalRow
from cometflux.storage.backend import Jobs

Check = Callable[[Jobs], Awaitable[Sequence[tuple[Image, ...] | None]]]
Found = tuple[FinishedJob, tuple[Image, ...]]
Draw = tuple[JournalRow | None, Callable[[], PlannedJob]]
"""The row of a job in the journal, None if it need not be looked at, and the function that makes the job."""


async def unfinished(
    draws: Iterable[Draw], check: Check, tell: Callable[[Sequence[Found]], None]
) -> AsyncIterator[PlannedJob]:
    """Yield the jobs that are not finished; *tell* is called with the others, in their order.

    A job is finished if the journal has it as saved, and if *check*, which is that of their place, finds each image.
    """
    for page in pages(draws):
        jobs = [None if row is None else load_finished(row) for row, _ in page]
        checked = iter(await _check(check, [job.files for job in jobs if job is not None]))
        found = [(job, None if job is None else next(checked)) for job in jobs]
        tell([(job, images) for job, images in found if job is not None and images is not None])
        for (_, make), (_, images) in zip(page, found, strict=True):
            if images is None:
                yield make()


async def _check(check: Check, jobs: Jobs) -> Sequence[tuple[Image, ...] | None]:
    # If the place cannot be read, each job finds that out for itself.
    with contextlib.suppress(Exception):
        return await check(jobs) if jobs else ()
    return [None] * len(jobs)
