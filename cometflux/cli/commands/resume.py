"""Resume a batch from its folder."""

import attrs

from cometflux.cli.batch.interruption import nothing_sent
from cometflux.cli.options.machines import SaverOptions
from cometflux.cli.options.shared import (
    ConsentOptions,
    Folder,
    KeepGallery,
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
    schema: Schemas = (),
    machines: SaverOptions = SaverOptions(),  # noqa: B008 - frozen
    new_key: NewKey = False,
    gallery: KeepGallery = False,
) -> int:
    """Resume a batch from its folder, without its prompt file.

    Saves the predictions that are paid for, submits the other jobs, and pays for
    no job twice. The journal has the address of the API; --base-url overrides it.

    For example:
      cometflux resume prompts-images
      cometflux resume prompts-images --limit 100 --retry-failed 1
    """
    settings = attrs.evolve(settings, gallery=gallery, savers=machines.savers)
    check_exclusive(settings)
    with nothing_sent(settings, folder):
        from cometflux.cli.batch.dry_run import offer_rest
        from cometflux.cli.batch.run import run_resume
        from cometflux.sources.schema_files import read_schemas

        settings = attrs.evolve(settings, schemas=read_schemas(schema))
        if (code := offer_rest(settings, consent, folder)) is not None:
            return code
        return run_resume(folder, settings, new_key=new_key)
