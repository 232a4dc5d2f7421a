"""Report an interruption before the work begins: nothing was sent."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cometflux.cli.options.shared import RunOptions
from cometflux.cli.terminal.screen import Screen

WORK = threading.Event()
"""Set when the work begins. From then on something may be sent, and the run itself reports how it ended."""


@contextmanager
def nothing_sent(settings: RunOptions, folder: Path | None = None) -> Iterator[None]:
    """Report that nothing was sent if a signal comes before the `WORK` begins. The work handles later signals.

    An earlier run may have paid for predictions that the journal in *folder* still has as pending.
    """
    WORK.clear()
    try:
        yield
    except KeyboardInterrupt:
        if WORK.is_set():
            raise
        screen = Screen(settings.voice)
        is_first = folder is None or not os.path.lexists(folder)
        screen.warn("interrupted; nothing was sent" if is_first else "interrupted; nothing was sent by this run")
        if folder is not None and not is_first:
            from cometflux.cli.batch.next_command import tell_claims

            tell_claims(screen, folder, settings)
        raise
