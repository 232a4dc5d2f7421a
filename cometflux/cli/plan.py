"""Rows and options become jobs, in the words of the shell."""

from pathlib import Path

from cometflux.cli.given import Given
from cometflux.sources.plan import Constant, Defaults, Plan
from cometflux.sources.plan import make_plan as make_any_plan
from cometflux.sources.rows import Source


def make_plan(source: Source, given: Given, folder: Path) -> Plan:
    """Make the jobs. Paths in options are relative to the current folder, those in rows to *folder*.

    Raises:
        UsageError: an ``--input`` is wrong in itself.
        SourceError: something else is wrong; it lists everything that is.
    """
    constants = {
        name: Constant(label=option, value=text, is_text=True) for name, (option, text) in given.merged().items()
    }
    defaults = Defaults(
        model=given.model,
        model_label="--model",
        constants=constants,
        count=given.count,
        count_label="--count",
    )
    return make_any_plan(source, defaults, folder)
