"""Resume a batch from its folder."""

from functools import partial
from pathlib import Path
from typing import Annotated

import attrs

from cometflux.cli.batch.interruption import nothing_sent
from cometflux.cli.options import converters
from cometflux.cli.options.arguments import Folder
from cometflux.cli.options.declare import repeatable, valued
from cometflux.cli.options.groups import OPTIONS
from cometflux.cli.options.machines import SaverOptions
from cometflux.cli.options.shared import (
    CheckEach,
    ConsentOptions,
    KeepGallery,
    LookAt,
    NewKey,
    RunOptions,
    Schemas,
    check_exclusive,
)


def resume(
    folder: Folder,
    /,
    *,
    settings: RunOptions = RunOptions(),  # noqa: B008 - frozen
    consent: ConsentOptions = ConsentOptions(),  # noqa: B008 - frozen
    redo: Annotated[
        tuple[str, ...],
        repeatable("WHAT", "Redo these jobs: failed, canceled, expired, rejected, or a KEY.", group=OPTIONS),
    ] = (),
    redo_from: Annotated[
        Path | None,
        valued(
            "FILE",
            "Redo the jobs of the rows in FILE, by key; you may edit the rows.",
            converters.file,
            group=OPTIONS,
            show_default=False,
        ),
    ] = None,
    schema: Schemas = (),
    machines: SaverOptions = SaverOptions(),  # noqa: B008 - frozen
    new_key: NewKey = False,
    gallery: KeepGallery = False,
    look: LookAt = False,
    check: CheckEach = False,
) -> int:
    """Resume a batch from its folder, without its prompt file.

    Save the pictures that are paid for, and submit the remaining jobs. No job is
    paid for twice, unless you redo it; earlier attempts count towards --limit.
    The journal has the address of the API; --base-url overrides it.

    For example:
      cometflux resume prompts-images
      cometflux resume prompts-images --redo failed,canceled --redo boat
      cometflux resume prompts-images --limit 100 --retry-failed 1
    """
    settings = attrs.evolve(settings, gallery=gallery, look=look, check=check, savers=machines.savers)
    check_exclusive(settings)
    settings = settings.naming_schemas(schema)
    with nothing_sent(settings, folder):
        from cometflux.cli.batch.dry_run import offer_rest
        from cometflux.cli.batch.find_prices import check_prices, with_prices
        from cometflux.cli.batch.open_journal import own_base_url
        from cometflux.cli.batch.redo import read_wish
        from cometflux.cli.batch.run import run_resume

        settings = settings.reading_schemas()
        wish = read_wish(redo, redo_from, settings.schemas)
        own_url = partial(own_base_url, folder, settings, new_key=new_key)
        settings = with_prices(settings, folder, own_url=own_url, is_dry=consent.dry_run)
        check_prices(settings, None, folder)
        if (code := offer_rest(settings, consent, folder, wish, own_url)) is not None:
            return code
        return run_resume(folder, settings, wish, new_key=new_key)
