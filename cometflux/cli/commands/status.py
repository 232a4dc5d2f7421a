"""Print the progress of a batch from its journal, even while the batch runs."""

import json
import sys
from pathlib import Path

from rich.table import Table

from cometflux.cli.batch.journal_status import summary
from cometflux.cli.options.shared import Folder, JsonObject
from cometflux.cli.terminal.console import make_console
from cometflux.journal.reader import Journal


def status(folder: Folder, /, *, json: JsonObject = False) -> None:
    """Print how far a batch is, also while it runs."""
    show_status(folder, as_json=json)


_ALWAYS = ("planned", "saved")


def show_status(folder: Path, *, as_json: bool) -> None:
    """Print how many jobs of a batch are in each state.

    Raises:
        ConfigError: *folder* has no journal.
        JournalError: the journal cannot be read.
    """
    with Journal(folder) as journal:
        counts, is_running, sources = journal.status(), journal.is_running, journal.sources()
    by_file = sources if len(sources) > 1 else {}
    if as_json:
        shown = {**counts, "files": by_file} if by_file else counts
        sys.stdout.write(f"{json.dumps(shown, allow_nan=False)}\n")
        return
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for name, count in counts.items():
        if count or name in _ALWAYS:
            table.add_row(name.replace("_", " "), str(count))
    console = make_console()
    console.print(table)
    for source, each in by_file.items():
        console.print(f"{source or 'without a file'}: {summary(each)}")
    console.print("a batch is running on it" if is_running else "no batch is running on it")
