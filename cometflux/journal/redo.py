"""Jobs that somebody asks for again, although they are over. Values in, values out."""

from collections.abc import Container

import attrs

from cometflux.jobs import Tags
from cometflux.journal import codec
from cometflux.journal.record import JobRecord
from cometflux.journal.states import UNFINISHED

REDONE_STATES = ("failed", "canceled", "expired", "rejected")
"""The states whose jobs can be asked for together. An unknown or a saved job is asked for by its key alone."""


def is_to_redo(record: JobRecord, key: str, names: Container[str]) -> bool:
    """Whether to redo the job of *record*, whose key is *key*: *names* are states, of `REDONE_STATES`, and keys.

    A prediction that the service has, or whose images are not saved yet, is left alone.
    """
    return has_state(record, names) or (key in names and not is_under_way(record))


def has_state(record: JobRecord, names: Container[str]) -> bool:
    """Whether the job is in one of these states. One whose unknown submission was given up is not canceled here."""
    return record.state_name in names and record.state_name in REDONE_STATES and not record.is_abandoned


def is_under_way(record: JobRecord) -> bool:
    """Whether the job has a prediction that is paid for, and whose images may still come."""
    return record.state_name in UNFINISHED


def redone(record: JobRecord, new: JobRecord | None = None) -> JobRecord:
    """Plan a job again: as it is, or with the model and the input of *new*. It keeps its identity and its attempts."""
    if new is None or new.fingerprint == record.fingerprint:
        return record.redo()
    planned = record.redo(codec.dump_plan(record))
    return attrs.evolve(
        planned,
        model=new.model,
        input=new.input,
        fingerprint=new.fingerprint,
        source=new.source or record.source,
        tags=Tags({**record.tags, **new.tags}) if new.tags else record.tags,
    )


def was_planned_as(record: JobRecord, fingerprint: str) -> bool:
    """Whether the job had this fingerprint before somebody asked for it with another input."""
    return any(each.plan and codec.load_plan(each.plan)["fingerprint"] == fingerprint for each in record.earlier)
