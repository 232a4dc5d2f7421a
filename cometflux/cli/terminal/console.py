"""The console that tables are printed on."""

import sys
from typing import Any

from rich.console import Console

_WIDE = 240


def make_console(**options: Any) -> Console:
    """Return a console that prints texts as they are: nothing in a text is taken for markup, a number or an emoji."""
    return Console(highlight=False, markup=False, emoji=False, **options)


def make_wide_console() -> Console:
    """Return a console whose tables are not folded to 80 columns in a file or a pipe, which has no width."""
    return make_console(width=None if sys.stdout.isatty() else _WIDE)
