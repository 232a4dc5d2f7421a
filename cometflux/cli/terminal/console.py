"""Make consoles to print tables on."""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from cometflux.basics.plain_text import plain_lines

_WIDE = 240


class _PlainConsole(Console):
    """Prints only texts that are fit for a terminal, whatever a table or a text holds."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else plain_lines(text), style, control)


def make_console(**options: Any) -> Console:
    """Return a console that prints texts as they are, without markup, highlighting, emoji codes or control codes."""
    return _PlainConsole(highlight=False, markup=False, emoji=False, **options)


def make_wide_console() -> Console:
    """Return a console that does not fold tables to 80 columns in a file or a pipe."""
    return make_console(width=None if sys.stdout.isatty() else _WIDE)
