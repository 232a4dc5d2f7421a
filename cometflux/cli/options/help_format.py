"""Format the help so that it fits on a screen; `--help-all` shows all of it.

For a group with many options, the short help prints only their names.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

ALL = "--help-all"
FLAGS = ("--help", "-h", ALL)
MORE = f"`{ALL}` explains every option."
_is_all = ContextVar("is_all", default=False)


@contextmanager
def in_full() -> Iterator[None]:
    """Print the help of every option while the block runs."""
    token = _is_all.set(True)
    try:
        yield
    finally:
        _is_all.reset(token)


@attrs.frozen
class Briefly:
    """Prints only the option names of a group, or their full help inside `in_full`."""

    about: str

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        """Print the group."""
        from cyclopts.help.formatters import DefaultFormatter
        from rich.panel import Panel
        from rich.text import Text

        if _is_all.get() or not panel.entries:
            DefaultFormatter()(console, options, panel)
            return
        names = " ".join(entry.all_options[0] for entry in panel.entries)
        console.print(Panel(Text(f"{self.about}\n{names}".strip()), title=str(panel.title), title_align="left"))
