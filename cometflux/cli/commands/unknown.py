"""The command for unknown jobs."""

from typing import Annotated

from cometflux.cli.options.parameters import repeatable
from cometflux.cli.options.shared import Folder, JsonLines
from cometflux.cli.terminal.screen import Screen


def unknown(
    folder: Folder,
    /,
    *,
    adopt: Annotated[
        tuple[str, ...],
        repeatable("KEY=ID", "It was accepted as prediction ID; poll it. Repeatable."),
    ] = (),
    abandon: Annotated[
        tuple[str, ...],
        repeatable("KEY", "Neither look for it nor buy it again; it counts as canceled."),
    ] = (),
    resend: Annotated[
        tuple[str, ...],
        repeatable("KEY", "Buy it again; if it was accepted, it is paid for twice."),
    ] = (),
    json: JsonLines = False,
) -> None:
    """List the unknown jobs, or settle them.

    An unknown job was sent, and no response proves whether it was accepted. It may
    be billed, so it is not sent again automatically. Your decisions are written to
    the journal, all or none; `resume` then carries them out.
    """
    from cometflux.cli.batch.settle import Resolutions, settle
    from cometflux.cli.batch.unknown_jobs import show_unknown

    wishes = Resolutions(adopt=adopt, abandon=abandon, resend=resend)
    if wishes:
        settle(Screen(), folder, wishes, as_json=json)
    else:
        show_unknown(Screen(), folder, as_json=json)
