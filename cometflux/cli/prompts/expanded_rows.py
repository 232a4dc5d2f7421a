"""Print the rows of a batch as a prompt file of JSON lines, as they are after templates and wildcards."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cometflux.basics.plain_text import escape_json
from cometflux.basics.quoting import join
from cometflux.cli.batch.draft_plan import BatchPlan
from cometflux.cli.terminal.screen import Screen, Verbosity
from cometflux.jobs import Job
from cometflux.models.output_of import OutputOf, map_parts
from cometflux.protocol import encoding
from cometflux.sources.templates.wildcard_lists import SEED_TAG


def print_rows(plan: BatchPlan, voice: Verbosity) -> None:
    """Print a line for each job of *plan*; read as a prompt file, they are the same jobs."""
    screen = Screen(voice)
    kept: dict[str, None] = {}
    for row in plan.draft:
        job = row.to_job().job
        tags = {name: text for name, text in job.tags.items() if name != SEED_TAG}
        kept |= dict.fromkeys(tags)
        screen.data(escape_json(encoding.dump_line(_row(job, tags))))
    for note in plan.notes:
        screen.say(f"note: {note}")
    if kept:
        screen.say(f"note: these rows are read with {join(('--keep', ','.join(kept)))}")


def _row(job: Job, tags: Mapping[str, str]) -> dict[str, Any]:
    named = {"model": job.model} | ({} if job.key is None else {"key": job.key})
    given = map_parts(job.input, _plain)
    if not tags:
        # A body may have parameters that the model does not have, and no tags.
        return {**named, "input": given}
    # A kept column may be a parameter, too; a tag is text, whatever the type of the parameter.
    return {**tags, **named, **given}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path | OutputOf) else value
