"""A whole batch, written down before the first of it is sent; and read again by a run that has no prompt file."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from uuid import uuid4

from cometflux.basics.pages import read_ahead
from cometflux.errors import InputError
from cometflux.images import reference_files, summaries
from cometflux.jobs import Job, PlannedJob, position_key
from cometflux.journal import codec
from cometflux.journal.marks import Marks
from cometflux.journal.record import JobRecord, identify
from cometflux.protocol import encoding


class PlannedRow(NamedTuple):
    """A job as the journal keeps it before anything of it is sent."""

    identity: str
    """The name by which a later run finds this job; see `identify`."""
    position: int
    """Its place in the order of its batch, from 0."""
    plan: str
    """The text that `codec.dump_plan` makes of its key, model, input, fingerprint and source."""

    @classmethod
    def of(cls, record: JobRecord) -> "PlannedRow":
        """Return the row of a record, without its progress."""
        return cls(record.identity, record.index, codec.dump_plan(record))

    def to_record(self) -> JobRecord:
        """Return the record of the job, of which nothing was sent."""
        return codec.load_record(self.identity, self.position, self.plan, "{}")

    def to_job(self, *, validate: bool = True) -> PlannedJob:
        """Make the job again, with its place and its identity. It was checked when it was planned.

        *validate* is the field of the job.
        """
        known = codec.load_plan(self.plan)
        key = known["key"] if self.identity.startswith("key:") else None
        job = Job.checked(known["model"], known["input"], key, validate=validate, tags=known["tags"])
        return PlannedJob(
            job=job,
            index=self.position,
            identity=self.identity,
            fingerprint=known["fingerprint"],
            name=known["name"],
        )


def new_identity() -> str:
    """Name a job that no run has had before, so that it is always new."""
    return f"run:{uuid4().hex}"


def plan_jobs(
    jobs: Iterable[Job],
    source: str = "",
    name_of: Callable[[int, Job], str | None] | None = None,
    *,
    new_from: int | None = None,
) -> Iterator[PlannedRow]:
    """Make a row of each job, in their order. Reads the files in their inputs; blocks.

    *source* is the name of their prompt file; empty if there is none. *name_of* names the files of a job by its index;
    None to name them by index and prompt. *new_from* is the place of the first job, if all jobs are new whatever the
    journal has; None to begin at 0 and to know jobs again.

    Raises:
        InputError: a file cannot be read, or is not an image.
    """
    known = reference_files.Descriptions()
    alike = Marks()
    for index, job in read_ahead(enumerate(jobs, new_from or 0)):
        given = job.input if summaries.is_flat(job.input) else reference_files.describe_input(job.input, known)
        fingerprint = encoding.fingerprint(job.model, given)
        # As the session counts them: those with keys apart.
        number = alike.count(bytes.fromhex(fingerprint)[:16]) if job.key is None else 0
        plan = codec.dump_plan_of(
            key=job.key or position_key(index),
            model=job.model,
            fingerprint=fingerprint,
            input=given if given is job.input else reference_files.absolute(job.input),
            source=source,
            name=None if name_of is None else name_of(index, job),
            tags=job.tags,
        )
        identity = identify(job.key, fingerprint, number) if new_from is None else new_identity()
        yield PlannedRow(identity, index, plan)


def job_of_record(record: JobRecord) -> PlannedJob:
    """Make the job of a record again, with its place and its identity; iterate over such to run them."""
    is_named = record.identity.startswith("key:")
    job = _job(record, key=record.key if is_named else None, tags=record.tags)
    return PlannedJob(
        job=job,
        index=record.index,
        identity=record.identity,
        fingerprint=record.fingerprint,
        name=record.name,
    )


def _job(record: JobRecord, **options: Any) -> Job:
    try:
        return Job(model=record.model, input=record.input, **options)
    except InputError:
        # Checked when it was planned; what the service takes may have changed since.
        return Job(model=record.model, input=record.input, validate=False, **options)


def job_of_saved(row: PlannedRow) -> PlannedJob | None:
    """Make the job of a row that is saved again, without a check, since nothing is sent for it; quick.

    Returns None if the row is not what was written.
    """
    try:
        planned = row.to_job(validate=False)
    except (InputError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    job, name = planned.job, planned.name
    texts = (job.model, planned.fingerprint, "" if job.key is None else job.key, "" if name is None else name)
    is_plain = type(planned.index) is int and type(job.input) is dict and {*map(type, texts)} == {str}
    return planned if is_plain else None
