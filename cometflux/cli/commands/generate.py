"""Images from the prompts on the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cometflux.basics.quoting import join
from cometflux.cli.batch.interruption import nothing_sent
from cometflux.cli.errors import UsageError
from cometflux.cli.options import converters
from cometflux.cli.options.declare import switch, valued
from cometflux.cli.options.groups import FURTHER, OPTIONS
from cometflux.cli.options.image_options import ImageOptions, with_model_parameters
from cometflux.cli.options.shared import (
    ConsentOptions,
    JournalFolder,
    RunOptions,
    Schemas,
    check_exclusive,
)
from cometflux.cli.terminal.messages import NO_PROMPT
from cometflux.sources.rows import SUFFIXES, Row, Source
from cometflux.storage.file_names import slug_of


@with_model_parameters
def generate(
    *prompts: Annotated[str, Parameter(metavar="PROMPT", required=True, help="The prompts, each in quotes.")],
    out: Annotated[
        Path | str | None,
        valued(
            "PLACE",
            "The folder for the pictures, or s3://bucket/prefix, gs://, az://. "
            "[default: images; with --local, images-local]",
            converters.place,
            group=OPTIONS,
        ),
    ] = None,
    journal: JournalFolder = None,
    making: ImageOptions = ImageOptions(),  # noqa: B008 - frozen
    schema: Schemas = (),
    settings: RunOptions = RunOptions(),  # noqa: B008 - frozen
    consent: ConsentOptions = ConsentOptions(),  # noqa: B008 - frozen
    replace: Annotated[bool, switch("Drop the folder's jobs that were not submitted.", group=FURTHER)] = False,
    **given: str | list[str] | None,
) -> int:
    """Make pictures from prompts, and print their paths.

    Each run makes new pictures. A journal in the folder records every step, so that
    --limit counts all runs, and `resume` continues after an interruption.

    For example:
      cometflux generate "a lighthouse in the rain" --aspect-ratio 16:9 --count 4
      cometflux generate "paint it red" --model kontext-pro --input-image boat.png
    """
    _check_prompts(prompts)
    check_exclusive(settings)
    source = Source(rows=tuple(Row(values={"prompt": prompt}) for prompt in prompts))
    place = out if isinstance(out, str) else None
    folder = _folder_of(out, journal, settings)
    settings = settings.naming_schemas(schema, making.model)
    with nothing_sent(settings, folder):
        from cometflux.cli.batch.check_seeds import check_seeds
        from cometflux.cli.batch.division import check_undivided
        from cometflux.cli.batch.dry_run import offer_prompts
        from cometflux.cli.batch.find_prices import check_prices, with_prices
        from cometflux.cli.batch.run import run_prompts
        from cometflux.cli.prompts.prompt_plan import planner_from_options

        settings = settings.reading_schemas()
        plan = planner_from_options(source, Path(), making, given, settings.schemas).plan()
        check_seeds(plan.jobs, settings)
        settings = with_prices(settings, folder, is_dry=consent.dry_run)
        check_prices(settings, {job.model for job in plan.jobs}, folder)
        if not consent.dry_run:
            check_undivided(place or folder)
        if (code := offer_prompts(plan, settings, consent, folder)) is not None:
            return code
        return run_prompts(plan, settings, folder, place, replaces=replace)


def _folder_of(out: Path | str | None, journal: Path | None, settings: RunOptions) -> Path:
    """Return the folder of the journal.

    Nothing is paid for the pictures of --local, so they are not counted together with others. The journal of an object
    store's place is in a folder that is named after it.
    """
    if journal is not None and not isinstance(out, str):
        raise UsageError("--journal goes with --out s3://…; pictures in a folder have their journal there")
    own = "images-local" if settings.local else "images"
    if isinstance(out, str):
        return journal or Path(f"{own}-{slug_of(out.partition('://')[2])}")
    return out or Path(own)


_SMALL_WORDS = {"a", "an", "the", "of", "in", "on", "at", "with", "and", "by", "under", "over", "for"}


def _check_prompts(prompts: Sequence[str]) -> None:
    if not prompts:
        raise UsageError(NO_PROMPT)
    if len(prompts) > 1 and not any(" " in each for each in prompts) and _SMALL_WORDS & set(prompts):
        raise UsageError(
            f'these are {len(prompts)} prompts of one word each; put a prompt in quotes: "{" ".join(prompts)}"'
        )
    for each in prompts:
        if each.endswith(tuple(SUFFIXES)) and " " not in each and Path(each).is_file():
            raise UsageError(f"{each} is a file; for the prompts in it: {join(('cometflux', 'batch', each))}")
