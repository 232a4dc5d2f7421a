"""Look at the saved pictures of a run in a thread of its own, and tell which of them a person should look at."""

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cometflux.basics.plain_text import by_number, count_of
from cometflux.basics.regular_files import read_regular
from cometflux.errors import CometfluxError
from cometflux.events import Event, Saved
from cometflux.images.formats import LARGEST_OUTPUT
from cometflux.images.looks import FLAW_WORDS, Flaw, check_extra, find_near, look_at
from cometflux.journal.looks_file import read_looks, write_looks
from cometflux.journal.reader import Journal


class PictureLooks:
    """Looks at each picture once, even over several runs into one folder.

    Args:
        folder: the folder of the pictures and their journal.

    Raises:
        MissingExtraError: Pillow is missing.
    """

    def __init__(self, folder: Path) -> None:
        check_extra("--look")
        self._folder = folder
        self._looks = read_looks(folder)
        self._before = list(self._looks)
        self._names: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._is_over = False
        self._thread = threading.Thread(target=self._work, name="looks", daemon=True)
        self._thread.start()

    def watch(self, event: Event) -> None:
        """Look at the pictures that are saved."""
        if isinstance(event, Saved):
            for path in event.files:
                if isinstance(path, Path):
                    self._names.put(path.relative_to(self._folder).as_posix())

    def finish(self, *, is_stopping: bool) -> None:
        """Look at all pictures of the folder's journal that are not looked at yet, and keep the looks.

        If the run *is_stopping*, the rest is left for the next run.

        Raises:
            OSError: the looks cannot be written.
        """
        names = [] if is_stopping else self._saved_names()
        for name in names:
            self._names.put(name)
        self._is_over = is_stopping
        self._names.put(None)
        self._thread.join()
        # In the batch's order, so that the first of several equal pictures is the batch's first.
        in_order = [name for name in names if name in self._looks]
        self._looks = {name: self._looks[name] for name in (*in_order, *self._looks)}
        if list(self._looks) != self._before:
            write_looks(self._folder, self._looks)

    def _saved_names(self) -> list[str]:
        """Return the names of all saved pictures; none if the journal cannot be read, as the end of the run says."""
        with contextlib.suppress(CometfluxError), Journal(self._folder) as journal:
            return [file.name for record in journal.records("saved") for file in record.files]
        return []

    def _work(self) -> None:
        while (name := self._names.get()) is not None:
            if self._is_over or name in self._looks:
                continue
            try:
                data = read_regular(self._folder / name, LARGEST_OUTPUT)
            except (OSError, ValueError):
                # It has been removed, and there is nothing to look at.
                continue
            self._looks[name] = look_at(data)

    def facts(self) -> dict[str, Any]:
        """Return the pictures to look at, for the report."""
        # A copy, because after Ctrl-C the thread may still be at work.
        looks = dict(self._looks)
        return {
            "flawed": {name: look.flaw for name, look in looks.items() if look.flaw is not None},
            "near": find_near(looks.items()),
        }

    def lines(self) -> Iterator[str]:
        """Yield a line for people: how many pictures a person should look at, or how many have no flaw."""
        facts = self.facts()
        flaws = Counter(facts["flawed"].values())
        words = [f"{flaws[flaw]} {FLAW_WORDS[flaw]}" for flaw in Flaw if flaws[flaw]]
        if near := len(facts["near"]):
            words.append(f"{near} nearly equal to another one")
        if words:
            count = sum(flaws.values()) + near
            named = by_number(count, "it", "them")
            yield f"note: {count_of(count, 'picture')} to look at: {', '.join(words)}; report.json names {named}"
        elif self._looks:
            yield f"{count_of(len(self._looks), 'picture')} looked at, none with a flaw"
        else:
            yield "no picture was looked at"
