"""Write a prompt file of the jobs that did not succeed."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cometflux.cli.errors import UsageError
from cometflux.cli.options import converters
from cometflux.cli.options.arguments import Folder
from cometflux.cli.options.declare import valued
from cometflux.cli.options.groups import OPTIONS
from cometflux.cli.terminal.screen import Screen


def failures(
    folder: Folder,
    /,
    *,
    form: Annotated[
        Literal["csv", "jsonl"] | None,
        Parameter(name="--as", metavar="FORM", group=OPTIONS, show_choices=False, help="csv or jsonl. [default: csv]"),
    ] = None,
    out: Annotated[
        Path | None,
        valued("FILE", "A new file. [default: stdout]", converters.file, group=OPTIONS, show_default=False),
    ] = None,
) -> None:
    """Write a prompt file of the jobs that did not succeed.

    One row for each job that failed, expired, or was canceled, rejected or not
    sent, with its key and the reason. Edit the file, and redo its jobs with
    `cometflux resume --redo-from`. Unknown jobs may be billed, and are left out:
    see `cometflux unknown`.
    """
    from cometflux.cli.batch.failed_jobs import write_failures
    from cometflux.sources.rows import SUFFIXES, Format

    named = None if out is None else SUFFIXES.get(out.suffix.lower())
    chosen = named if form is None and named is Format.JSONL else Format(form or "csv")
    if out is not None and named is not chosen:
        why = "`resume --redo-from` reads the format from it"
        raise UsageError(f"--out {out}: the name must end with .{chosen}, because {why}")
    write_failures(Screen(), folder, chosen, out)
