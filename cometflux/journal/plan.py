"""A whole batch, written down before the first of it is sent; and read again by a run that has no prompt file."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from cometflux.errors import InputError
from cometflux.images import reference_files
from cometflux.jobs import Job, PlannedJob, position_key
from cometflux.journal.record import JobRecord, identify
from cometflux.protocol import encoding


def plan_jobs(jobs: Iterable[Job], source: str = "") -> Iterator[JobRecord]:
    """Make a record of each job, in their order. Reads the files in their inputs; blocks.

    *source* is the name of their prompt file; empty if there is none.

    Raises:
        InputError: a file cannot be read, or is not an image.
    """
    known = reference_files.Descriptions()
    alike: Counter[str] = Counter()
    for index, job in enumerate(jobs):
        fingerprint = encoding.fingerprint(job.model, reference_files.describe_input(job.input, known))
        # As the session counts them: those with keys apart.
        alike[fingerprint] += job.key is None
        yield JobRecord(
            identity=identify(job.key, fingerprint, alike[fingerprint]),
            index=index,
            key=job.key or position_key(index),
            model=job.model,
            input=reference_files.absolute(job.input),
            fingerprint=fingerprint,
            source=source,
        )


def job_of_record(record: JobRecord) -> PlannedJob:
    """Make the job of a record again, with its place and its identity; iterate over such to run them."""
    is_named = record.identity.startswith("key:")
    job = _job(record, key=record.key if is_named else None)
    return PlannedJob(job=job, index=record.index, identity=record.identity, fingerprint=record.fingerprint)


def _job(record: JobRecord, **options: Any) -> Job:
    try:
        return Job(model=record.model, input=record.input, **options)
    except InputError:
        # Checked when it was planned; what the service takes may have changed since.
        return Job(model=record.model, input=record.input, validate=False, **options)
