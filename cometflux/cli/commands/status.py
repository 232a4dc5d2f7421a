"""Print the progress of a batch from its journal, even while the batch runs."""

import json
import sys
from pathlib import Path

from rich.table import Table

from cometflux.cli.options.shared import Folder, JsonObject
from cometflux.cli.terminal.console import make_console
from cometflux.journal.reader import Journal


def status(folder: Folder, /, *, json: JsonObject = False) -> None:
    """Tell how far a batch is, also while it runs."""
    show_status(folder, as_json=json)


_ALWAYS = ("planned", "saved")


def show_status(folder: Path, *, as_json: bool) -> None:
    """Print how many jobs of a batch are in each state.

    Raises:
        ConfigError: *folder* has no journal.
        JournalError: the journal cannot be read.
    """
    with Journal(folder) as journal:
        counts, is_running = journal.status(), journal.is_running
    if as_json:
        sys.stdout.write(f"{json.dumps(counts, allow_nan=False)}\n")
        return
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for name, count in counts.items():
        if count or name in _ALWAYS:
            table.add_row(name.replace("_", " "), str(count))
    console = make_console()
    console.print(table)
    console.print("a batch is running on it" if is_running else "no batch is running on it")
