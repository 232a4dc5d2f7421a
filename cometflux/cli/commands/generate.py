"""Images from the prompts on the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter

from cometflux.cli.batch.interruption import nothing_sent
from cometflux.cli.errors import UsageError
from cometflux.cli.options.image_options import ImageOptions, with_model_parameters
from cometflux.cli.options.shared import (
    ConsentOptions,
    Out,
    RunOptions,
    Schemas,
    check_exclusive,
)
from cometflux.cli.terminal.messages import NO_PROMPT
from cometflux.sources.rows import SUFFIXES, Row, Source


@with_model_parameters
def generate(
    *prompts: Annotated[str, Parameter(metavar="PROMPT", required=True, help="What a picture should show; in quotes.")],
    out: Out = Path("images"),
    making: ImageOptions = ImageOptions(),  # noqa: B008 - frozen
    schema: Schemas = (),
    settings: RunOptions = RunOptions(),  # noqa: B008 - frozen
    consent: ConsentOptions = ConsentOptions(),  # noqa: B008 - frozen
    **given: str | list[str] | None,
) -> int:
    """Make pictures from prompts, and print their paths.

    For example:
      cometflux generate "a lighthouse in the rain" --aspect-ratio 16:9 --count 4
      cometflux generate "paint it red" --model kontext-pro --input-image boat.png
    """
    _check_prompts(prompts)
    check_exclusive(settings)
    source = Source(rows=tuple(Row(values={"prompt": prompt}) for prompt in prompts))
    with nothing_sent(settings):
        from cometflux.cli.batch.check_seeds import check_seeds
        from cometflux.cli.batch.dry_run import offer_prompts
        from cometflux.cli.batch.find_prices import check_prices, with_prices
        from cometflux.cli.batch.run import run_prompts
        from cometflux.cli.prompts.prompt_plan import planner_from_options
        from cometflux.sources.schema_files import read_schemas

        settings = attrs.evolve(settings, schemas=read_schemas(schema, making.model))
        plan = planner_from_options(source, Path(), making, given, settings.schemas).plan()
        check_seeds(plan.jobs, settings)
        settings = with_prices(settings, is_dry=consent.dry_run)
        check_prices(settings, {job.model for job in plan})
        if (code := offer_prompts(plan, settings, consent)) is not None:
            return code
        return run_prompts(plan, settings, out)


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
            raise UsageError(f"{each} is a file; for the prompts in it: cometflux batch {each}")
