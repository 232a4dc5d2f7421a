"""Write the gallery of a folder once, or keep it up to date while a batch runs."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from cometflux.cli.terminal import signals
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import CometfluxError
from cometflux.gallery import Gallery

_EVERY = 2.0
"""Seconds between two versions of the page, at least."""
_SHARE = 25.0
"""The pause before the next version is at least this many times the CPU time of the last one."""


def show_gallery(screen: Screen, folder: Path, public_url: str | None = None) -> None:
    """Write the page of *folder*, and print its path.

    Raises:
        ConfigError: *public_url* is wrong, nothing is there to show, the page cannot be written, or an extra is
            missing.
        JournalError: the journal cannot be read, and there is nothing else to show.
    """
    written = Gallery(folder, public_url).write()
    for note in written.notes:
        screen.say(f"note: {note}")
    screen.data(str(written.path))


@contextlib.contextmanager
def kept_gallery(screen: Screen, folder: Path) -> Iterator[None]:
    """Keep the page of *folder* up to date while a batch runs there, and write it once more at the end.

    A later error with the page is printed at the end and does not stop the batch.

    Raises:
        ConfigError: a page cannot be written there; nothing was sent.
    """
    gallery = Gallery(folder)
    gallery.check()
    keeper = _Keeper(gallery)
    try:
        yield
    finally:
        with signals.ignored():
            keeper.stop()
    with signals.ignored():
        _finish(screen, gallery)


def _finish(screen: Screen, gallery: Gallery) -> None:
    try:
        written = gallery.write()
    except (CometfluxError, OSError) as error:
        screen.error(f"the gallery: {error}")
        return
    for note in written.notes:
        screen.say(f"note: {note}")
    screen.say(f"the gallery is {written.path}")


class _Keeper:
    """Rewrites the page in a thread of its own. The longer a version takes, the longer is the pause."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="gallery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the thread to finish."""
        self._is_over.set()
        self._thread.join()

    def _work(self) -> None:
        pause = _EVERY / 4
        while not self._is_over.wait(pause):
            began = time.thread_time()
            # There may be nothing to show yet. An error that lasts is printed at the end.
            with contextlib.suppress(CometfluxError, OSError):
                self._gallery.write()
            pause = max(_EVERY, _SHARE * (time.thread_time() - began))
            self._gallery.refresh = round(pause, 1)
