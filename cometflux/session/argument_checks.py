"""Checks of what a caller gives to a session."""

from collections.abc import Iterable

from cometflux.engine.job_sources import CHAIN_NEEDS
from cometflux.errors import ConfigError, InputError
from cometflux.jobs import PlannedJob, outputs_in
from cometflux.journal.redo import REDONE_STATES
from cometflux.journal.states import STATE_NAMES
from cometflux.predictions import Prediction


def check_redo(names: object, *, has_journal: bool) -> frozenset[str]:
    """Return the jobs to redo; refuse anything but keys and the states whose jobs can be redone."""
    states = ", ".join(REDONE_STATES)
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ConfigError(setting="redo", given=names, allowed=f"must be a set of states ({states}) and keys")
    wanted = [*names]
    for name in wanted:
        if not isinstance(name, str) or (name in STATE_NAMES and name not in REDONE_STATES):
            raise ConfigError(setting="redo", given=name, allowed=f"must be a key, or one of {states}")
    if wanted and not has_journal:
        raise ConfigError(setting="redo", allowed="needs a journal, which knows the jobs that are over")
    return frozenset(wanted)


def check_chains(jobs: object, *, is_possible: bool) -> None:
    """Refuse a list in which a job takes the output of itself or of a later job; other iterables are seen too late.

    *is_possible* says whether there is a place for saved images, and a journal.

    Raises:
        InputError: there is such a job, or one at all and it is not possible.
    """
    if not isinstance(jobs, list | tuple) or not any(map(outputs_in, jobs)):
        return
    # Of equal ones, the first is meant.
    numbered = [*reversed([*enumerate(jobs)])]
    keys = {key: number for number, item in numbered if (key := _key_of(item)) is not None}
    objects = {id(item): number for number, item in numbered}
    for number, item in enumerate(jobs):
        for field, output in outputs_in(item):
            if not is_possible:
                raise InputError(field, str(output), CHAIN_NEEDS)
            stands = objects.get(id(output.source), -1) if output.key is None else keys.get(output.key, -1)
            if stands >= number:
                raise InputError(field, str(output), "a job can only take the output of a job that comes before it")


def _key_of(item: object) -> str | None:
    return getattr(item.job if isinstance(item, PlannedJob) else item, "key", None)


def check_transport(transport: object) -> None:
    """Refuse a value that lacks a verb of `Transport`."""
    verbs = ("submit", "send", "download", "aclose")
    if isinstance(transport, type) or not all(callable(getattr(transport, verb, None)) for verb in verbs):
        allowed = f"must be an object with {', '.join(verbs)}, as Transport says"
        raise ConfigError(setting="transport", given=transport, allowed=allowed)


def check_prediction(prediction: object) -> None:
    """Refuse a value that is not a prediction."""
    if not isinstance(prediction, Prediction):
        raise InputError("prediction", prediction, "must be a Prediction; session.client.get fetches one by its id")


def check_type(name: str, value: object, kind: type) -> None:
    """Refuse a value that is neither None nor of this type."""
    if value is not None and not isinstance(value, kind):
        raise ConfigError(setting=name, given=value, allowed=f"must be a {kind.__name__}")
