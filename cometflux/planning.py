"""A whole batch, written down before the first of it is sent; and read again by a run that has no prompt file."""

from collections import Counter
from collections.abc import Iterable, Iterator

from cometflux import converter, reading
from cometflux.batch import Drawn
from cometflux.jobs import Job
from cometflux.records import Record, identify


def plan(jobs: Iterable[Job]) -> Iterator[Record]:
    """Make a record of each job, in their order. Reads the files that they name; blocks.

    Raises:
        InputError: a file cannot be read, or is no image.
    """
    known = reading.Descriptions()
    alike: Counter[str] = Counter()
    for index, job in enumerate(jobs):
        fingerprint = converter.fingerprint(job.model, reading.describe_input(job.input, known))
        # As the session counts them: those with keys apart.
        alike[fingerprint] += job.key is None
        yield Record(
            identity=identify(job.key, fingerprint, alike[fingerprint]),
            index=index,
            key=job.key or f"#{index:05d}",
            model=job.model,
            input=reading.absolute(job.input),
            fingerprint=fingerprint,
        )


def draw(record: Record) -> Drawn:
    """Make the job of a record again, with its place and its identity; iterate over such to run them."""
    is_named = record.identity.startswith("key:")
    # Checked when it was planned; what the service takes may have changed since.
    job = Job(model=record.model, input=record.input, key=record.key if is_named else None, validate=False)
    return Drawn(job=job, index=record.index, identity=record.identity, fingerprint=record.fingerprint)
