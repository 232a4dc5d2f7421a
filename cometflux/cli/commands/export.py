"""Hand the pictures of a folder on, in another form."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from cometflux.basics.plain_text import by_number, count_of
from cometflux.cli.errors import UsageError
from cometflux.cli.options import converters
from cometflux.cli.options.arguments import Folder
from cometflux.cli.options.declare import switch, valued
from cometflux.cli.options.groups import OPTIONS
from cometflux.cli.terminal.screen import Screen

_MEGABYTE = 1_000_000


def export(
    folder: Folder,
    /,
    *,
    form: Annotated[
        Literal["imagefolder", "captions", "webdataset", "parquet"],
        Parameter(name="--as", metavar="FORM", group=OPTIONS, help="imagefolder, captions, webdataset or parquet."),
    ] = "imagefolder",
    to: Annotated[
        Path,
        valued("DIR", "The new folder.", converters.plain_folder, name="--to", group=OPTIONS),
    ],
    picks: Annotated[bool, switch("Take only the pictures with a star in picks.jsonl.", group=OPTIONS)] = False,
    caption: Annotated[
        str | None,
        valued(
            "TEXT", 'The captions, as in "a photo, {prompt}", from any column. [default: the prompt]', group=OPTIONS
        ),
    ] = None,
    link: Annotated[bool, switch("Link the pictures; do not copy them.", group=OPTIONS)] = False,
    shard_mb: Annotated[
        int,
        valued("N", "With webdataset: maximum megabytes per shard.", converters.whole(1), group=OPTIONS),
    ] = 500,
    paths: Annotated[bool, switch("With parquet: paths of the pictures, not their bytes.", group=OPTIONS)] = False,
) -> None:
    """Export a folder's pictures as a dataset.

    imagefolder is for load_dataset("imagefolder", data_dir=DIR); captions is for
    trainers that read a text file next to each picture. Nothing is fetched, and
    nothing is replaced. The path of the new folder is printed.
    """
    from cometflux.export import export_folder

    for name, is_given, forms in (
        ("--link", link, ("imagefolder", "captions")),
        ("--paths", paths, ("parquet",)),
        ("--shard-mb", shard_mb != 500, ("webdataset",)),
    ):
        if is_given and form not in forms:
            raise UsageError(f"{name} goes with --as {' or '.join(forms)}, not with {form}")
    done = export_folder(
        folder,
        to,
        form=form,
        only_picks=picks,
        caption=None if caption is None else _filled(caption),
        links=link,
        shard_bytes=shard_mb * _MEGABYTE,
        paths_only=paths,
    )
    screen = Screen()
    if done.missing:
        gone = f"{count_of(len(done.missing), 'picture')} of {folder} {by_number(len(done.missing), 'is', 'are')}"
        screen.warn(f"{gone} no longer there, and left out: {_first(done.missing)}")
    if done.changed:
        changed = "was changed since it was saved", "were changed since they were saved"
        words = f"{count_of(len(done.changed), 'picture')} {by_number(len(done.changed), *changed)}"
        screen.warn(f"{words}; exported as found: {_first(done.changed)}")
    screen.say(f"{count_of(done.count, 'picture')} as {form}")
    screen.data(str(done.folder))


def _first(names: Sequence[str]) -> str:
    return f"{names[0]}{' …' if len(names) > 1 else ''}"


def _filled(text: str) -> Any:
    from cometflux.sources.templates.braces import Template, TemplateError

    try:
        template = Template.parse(text)
    except TemplateError as error:
        raise UsageError(f"--caption: {error}") from error

    def fill(fields: Mapping[str, Any]) -> str:
        try:
            return template.fill({name: "" if value is None else value for name, value in fields.items()})
        except TemplateError as error:
            raise UsageError(f"--caption: {error}") from error

    return fill
