"""Print the progress of a batch from its journal, even while the batch runs."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.table import Table

from cometflux.basics.plain_text import plain
from cometflux.cli.batch.journal_status import summary
from cometflux.cli.batch.part_folders import journal_folders
from cometflux.cli.options.arguments import Folder, JsonObject
from cometflux.cli.terminal.console import make_console
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import ConfigError
from cometflux.journal.overview import JournalOverview
from cometflux.storage.paths import PICKS


def _count_marks(folders: Iterable[Path]) -> tuple[dict[str, int], list[str]]:
    """Count the marks of the pictures, and return what is wrong with files of marks: no reason to print nothing."""
    marked = [folder for folder in folders if os.path.lexists(folder / PICKS)]
    if not marked:
        return {}, []
    # Imported here, because most folders have no marks.
    from cometflux.storage.picks import Mark, read_marks

    counts: Counter[Mark] = Counter()
    faults = []
    for folder in marked:
        try:
            counts.update(read_marks(folder, None).values())
        except ConfigError as error:
            faults.append(plain(error.message))
    return {"starred": counts[Mark.STAR], "rejected": counts[Mark.REJECT]} if counts else {}, faults


_ALWAYS = ("planned", "saved")


def status(folder: Folder, /, *, json: JsonObject = False) -> None:
    """Print the progress of a batch, even while it is running."""
    folders = journal_folders(folder)
    has_parts = folders != [folder]
    counts: Counter[str] = Counter()
    by_file: dict[str, Mapping[str, int]] = {}
    by_part: dict[str, Mapping[str, int]] = {}
    is_running = False
    for each in folders:
        with JournalOverview(each) as journal:
            states, sources = journal.status(), journal.sources()
            is_running = is_running or journal.is_running
        counts.update(states)
        if has_parts:
            by_part["" if each == folder else each.name] = states
        elif len(sources) > 1:
            by_file = {**sources}
    marks, faults = _count_marks(folders)
    if json:
        more = {"files": by_file, "parts": by_part, "picks": marks}
        shown = {**counts, **{name: value for name, value in more.items() if value}}
        screen = Screen()
        for fault in faults:
            screen.say(f"note: {fault}")
        screen.data_json(shown)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for name, count in counts.items():
        if count or name in _ALWAYS:
            table.add_row(name.replace("_", " "), str(count))
    console = make_console()
    console.print(table)
    nameless = "without parts" if has_parts else "without a file"
    for name, its_counts in {**by_file, **by_part}.items():
        console.print(f"{name or nameless}: {summary(its_counts)}")
    told = [f"{marks['starred']} starred, {marks['rejected']} rejected in {PICKS}"] if marks else []
    for line in (*told, *faults):
        console.print(line, markup=False, soft_wrap=True)
    console.print("a batch is running in this folder" if is_running else "no batch is running in this folder")
