"""The sets of images that a job has saved: one for each attempt that left some."""

from collections.abc import Iterator

import attrs

from cometflux.journal import codec
from cometflux.journal.record import JobRecord
from cometflux.journal.states import State


def image_sets(record: JobRecord) -> tuple[JobRecord, ...]:
    """Return the job as it was after each attempt that saved images, the first one first.

    If the job was not redone, that is *record* alone, or nothing if it has no saved image.
    """
    if not record.earlier:
        return (record,) if record.files else ()
    return tuple(reversed([each for each in _backwards(record) if each.files]))


def _backwards(record: JobRecord) -> Iterator[JobRecord]:
    yield record
    for attempt in reversed(record.earlier):
        if attempt.plan:
            plan = codec.load_plan(attempt.plan)
            record = attrs.evolve(record, **{name: plan[name] for name in ("model", "input", "tags")})
        record = attrs.evolve(
            record,
            state=State.ENDED,
            kind=attempt.kind,
            prediction_id=attempt.prediction_id,
            prediction=attempt.prediction,
            evidence=attempt.evidence,
            files=attempt.files,
            taken=(),
        )
        yield record
