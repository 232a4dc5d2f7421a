"""Say that nothing was sent when a signal comes before the work begins."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.screen import Screen


@contextmanager
def nothing_sent(settings: RunOptions, folder: Path | None = None) -> Iterator[None]:
    """Say so where a signal comes before the first step of the work; from then on the work itself takes it.

    An earlier run may have bought what the journal in *folder* still waits for.
    """
    try:
        yield
    except KeyboardInterrupt:
        screen = Screen(settings.voice)
        is_first = folder is None or not os.path.lexists(folder)
        screen.warn("interrupted; nothing was sent" if is_first else "interrupted; nothing was sent by this run")
        if folder is not None and not is_first:
            from cometflux.cli.batch.next_command import tell_claims

            tell_claims(screen, folder, settings)
        raise
