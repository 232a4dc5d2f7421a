"""Make consoles to print tables on."""

import sys
from typing import Any

from rich.console import Console

_WIDE = 240


def make_console(**options: Any) -> Console:
    """Return a console that prints texts as they are, without markup, highlighting or emoji codes."""
    return Console(highlight=False, markup=False, emoji=False, **options)


def make_wide_console() -> Console:
    """Return a console that does not fold tables to 80 columns in a file or a pipe."""
    return make_console(width=None if sys.stdout.isatty() else _WIDE)
