"""When a job is submitted again because its prediction failed, and with which seed."""

import logging
import secrets

import attrs

from cometflux.errors import InputError
from cometflux.images.looks import can_look
from cometflux.jobs import Job
from cometflux.models.model import find_known, parameters
from cometflux.number_checks import check_count

_log = logging.getLogger("cometflux.images")
_SEEDS = 2**31
"""Every model takes seeds below this."""


@attrs.frozen(kw_only=True)
class FailurePolicy:
    """How often to submit a job again if its prediction failed.

    Raises:
        ConfigError: a number is not a whole number from 0.
    """

    retry_failed: int = 0
    """How often after a transient failure; the job is the same."""
    reseed: int = 0
    """How often after the service withheld an image; the job gets another seed."""

    def __attrs_post_init__(self) -> None:
        check_count("retry_failed", self.retry_failed, 0)
        check_count("reseed", self.reseed, 0)
        if self.reseed and not can_look():
            _log.warning('reseed does not find black images without the extra images: pip install "cometflux[images]"')

    def check(self, job: Job) -> None:
        """Refuse a job that cannot get another seed, before anything is sent for it.

        Raises:
            InputError: its model has no parameter for it, or is not known and the job has no seed.
        """
        if self.reseed and not takes_seed(job):
            raise InputError("seed", None, f"reseed needs a model with a seed, and none is known of {job.model}")


def takes_seed(job: Job) -> bool:
    """Whether the job has a seed, or its model is known to take one."""
    if "seed" in job.input:
        return True
    known = find_known(job.model, job.schema)
    return known is not None and any(each.name == "seed" for each in parameters(known))


def with_new_seed(job: Job) -> Job:
    """Return the job with a seed that nobody chose."""
    return attrs.evolve(job, input={**job.input, "seed": secrets.randbelow(_SEEDS)})
