"""Check, before anything is sent, that ``--reseed`` can give each job another seed."""

from collections.abc import Iterable

from cometflux.cli.errors import UsageError
from cometflux.cli.options.shared import RunOptions
from cometflux.engine.failure_policy import takes_seed
from cometflux.jobs import Job
from cometflux.sources.errors import Fault


def check_seeds(jobs: Iterable[Job], settings: RunOptions) -> None:
    """Refuse jobs that cannot get another seed, if ``--reseed`` is given.

    Raises:
        UsageError: there are such jobs; the error names each of their models once.
    """
    if not settings.reseed:
        return
    models = dict.fromkeys(job.model for job in jobs if not takes_seed(job))
    why = "is not known to take a seed: give its jobs one, or leave --reseed out"
    if models:
        raise UsageError([Fault(f"--reseed: {model} {why}") for model in models])
