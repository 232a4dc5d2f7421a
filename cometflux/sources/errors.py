"""Errors in a table, a sweep or a prompt file: all are found and reported together, before anything is sent."""

from collections.abc import Iterable

import attrs

from cometflux.errors import CometfluxError


@attrs.frozen
class Fault:
    """One mistake in a source of prompts, and how to correct it."""

    text: str
    line: int | None = None
    """The line of a file, from 1, or the row of a table, from 0; None if the mistake is not in a single line or row."""


class SourceError(CometfluxError):
    """A source of prompts has mistakes, so nothing was sent.

    Args:
        faults: all mistakes; a string is one fault without a line.
        name: the name of the source; empty if it has none.
        unit: the unit of the faults' lines, ``line`` or ``row``.
    """

    tells_money = False

    def __init__(self, faults: Iterable[Fault] | str, name: str = "", unit: str = "line") -> None:
        self.faults = (Fault(faults),) if isinstance(faults, str) else tuple(faults)
        self.name = name
        self.lines = write_lines(self.faults, name, unit)
        super().__init__("\n".join(self.lines))


def write_lines(faults: Iterable[Fault], name: str, unit: str = "line") -> list[str]:
    """Write each fault as one line that begins with its source and position."""
    return [_line(fault, name, unit) for fault in faults]


def _line(fault: Fault, name: str, unit: str) -> str:
    number = None if fault.line is None else f"{unit} {fault.line}"
    place = ", ".join(filter(None, [name, number]))
    return f"{place}: {fault.text}" if place else fault.text
