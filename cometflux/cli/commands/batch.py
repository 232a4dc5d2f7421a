"""The images of a prompt file."""

from functools import partial
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter

from cometflux.cli.batch.interruption import nothing_sent
from cometflux.cli.errors import UsageError
from cometflux.cli.exit_codes import ExitCode
from cometflux.cli.options import converters
from cometflux.cli.options.declare import switch, valued
from cometflux.cli.options.earlier_pictures import EarlierPictures
from cometflux.cli.options.groups import FURTHER, OPTIONS
from cometflux.cli.options.image_options import ImageOptions, with_model_parameters
from cometflux.cli.options.machines import PartOption, SaverOptions
from cometflux.cli.options.shared import (
    CheckEach,
    ConsentOptions,
    JournalFolder,
    KeepGallery,
    LookAt,
    NewKey,
    RunOptions,
    Schemas,
    TemplateOptions,
    check_exclusive,
)
from cometflux.cli.options.tables import TableOptions
from cometflux.cli.options.wildcards import WildcardOptions
from cometflux.sources.rows import Format, Most


@with_model_parameters
def batch(
    file: Annotated[
        # A path among what may stand there lets shells complete the names of files.
        str | Path | None,
        valued(
            "FILE",
            "A .csv, .tsv, .jsonl, .txt, .yaml or .parquet file; - is stdin.",
            converters.as_written,
            allow_leading_hyphen=True,
            show_default=False,
        ),
    ] = None,
    /,
    *,
    out: Annotated[
        Path | str | None,
        valued(
            "PLACE",
            "The folder for the pictures, or s3://bucket/prefix, gs://, az://. [default: <name of FILE>-images]",
            converters.place,
            group=OPTIONS,
        ),
    ] = None,
    journal: JournalFolder = None,
    format: Annotated[  # noqa: A002 - the option's name
        Format | None,
        Parameter(
            metavar="FORMAT",
            group=FURTHER,
            show_choices=False,
            help="csv, tsv, jsonl, yaml, parquet or text; stdin is text.",
        ),
    ] = None,
    comments: Annotated[bool, switch("In a text file, skip lines that begin with #.", group=FURTHER)] = False,
    making: ImageOptions = ImageOptions(),  # noqa: B008 - frozen
    schema: Schemas = (),
    templates: TemplateOptions = TemplateOptions(),  # noqa: B008 - frozen
    settings: RunOptions = RunOptions(),  # noqa: B008 - frozen
    consent: ConsentOptions = ConsentOptions(),  # noqa: B008 - frozen
    earlier: EarlierPictures = EarlierPictures(),  # noqa: B008 - frozen
    table: TableOptions = TableOptions(),  # noqa: B008 - frozen
    wild: WildcardOptions = WildcardOptions(),  # noqa: B008 - frozen
    name: Annotated[
        str | None,
        valued(
            "TEXT", 'A template for file names, as in "{model}/{seed}". [default: "{index:05d}-{slug}"]', group=FURTHER
        ),
    ] = None,
    sample: Annotated[
        int | None,
        valued(
            "N", "Make N jobs spread over FILE first, then ask before the rest.", converters.whole(1), group=FURTHER
        ),
    ] = None,
    replace: Annotated[
        bool, switch("Drop the folder's jobs that are not in FILE and were not submitted.", group=FURTHER)
    ] = False,
    machines: SaverOptions = SaverOptions(),  # noqa: B008 - frozen
    part: PartOption = None,
    new_key: NewKey = False,
    gallery: KeepGallery = False,
    look: LookAt = False,
    check: CheckEach = False,
    **given: str | list[str] | None,
) -> int:
    """Make the pictures of a prompt file, one job per row.

    The whole file is checked first. A journal in the folder records every step: run
    the same command again, or `resume`, to continue without paying twice.

    For example:
      cometflux batch prompts.csv --model 2-pro --aspect-ratio 3:2 --out tour
      cometflux batch sweep.yaml --dry-run
      cometflux batch animals.csv --template "a {animal} in {place}"
      cometflux batch --from drafts --picks --model kontext-pro
    """
    settings = attrs.evolve(settings, gallery=gallery, look=look, check=check, savers=machines.savers)
    check_exclusive(settings, out)
    file = None if file is None else str(file)
    own = earlier.folder_for(file)
    if journal is not None and not isinstance(out, str):
        raise UsageError("--journal goes with --out s3://…; a batch into a folder keeps its journal there")
    folder = (journal or own) if isinstance(out, str) else (out or own)
    if part is not None:
        folder /= part.folder
    settings = settings.naming_schemas(schema, making.model)
    with nothing_sent(settings, folder):
        from cometflux.cli.batch.check_seeds import check_seeds
        from cometflux.cli.batch.division import check_batch
        from cometflux.cli.batch.draft_plan import draft_batch
        from cometflux.cli.batch.dry_run import offer_batch
        from cometflux.cli.batch.find_prices import check_prices, with_prices
        from cometflux.cli.batch.run import run_batch
        from cometflux.cli.batch.sample import goes_on
        from cometflux.cli.prompts.expanded_rows import print_rows
        from cometflux.cli.prompts.prompt_plan import planner_from_options
        from cometflux.cli.prompts.read_file import read_file

        settings = settings.reading_schemas()
        wildcards = wild.chosen()
        prompting = attrs.evolve(templates.prompting(), has_wildcards=wildcards is not None)
        most = Most(jobs=templates.max_jobs, copies=making.count, label="--max-jobs")
        pictures = earlier.read(folder)
        read = read_file(
            file,
            format,
            needs_prompt=not prompting.is_given and pictures is None,
            most=most,
            comments=comments,
            delimiter=table.delimiter,
            has_wildcards=wildcards is not None,
        )
        source = table.columns().apply(read)
        source = source if pictures is None else pictures.apply(source)
        source = prompting.apply(source)
        source = source if wildcards is None else wildcards.apply(source)
        base = Path() if file in (None, "-") else Path(file).parent
        planner = planner_from_options(source, base, making, given, settings.schemas, table.reference_column)
        plan = draft_batch(planner, settings, part, name)
        if wild.expand:
            print_rows(plan, settings.voice)
            return ExitCode.OK
        check_seeds((row.to_job().job for row in plan.draft), settings)
        settings = with_prices(settings, folder, is_dry=consent.dry_run)
        check_prices(settings, plan.models, folder)
        place = out if isinstance(out, str) else None
        consent = attrs.evolve(consent, sample=sample)
        if not consent.dry_run:
            check_batch(folder, place, part, own)
        if (code := offer_batch(plan, settings, consent, folder, place)) is not None:
            return code
        run = partial(run_batch, plan, settings, folder, place=place, new_key=new_key, replaces=replace, part=part)
        code = run(sample=sample)
    # Something was sent by now.
    if sample is None or code != ExitCode.OK or not goes_on(plan, settings, consent, folder):
        return code
    return run()
