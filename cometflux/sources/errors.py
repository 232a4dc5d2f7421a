"""Errors in a table, a sweep or a prompt file: all are found and reported together, before anything is sent."""

from collections.abc import Iterable

import attrs

from cometflux.basics.plain_text import by_number, count_of
from cometflux.errors import CometfluxError

MOST_FAULTS = 1000
"""How many mistakes are listed. The others are counted: a large file may have one in each row."""


@attrs.frozen
class Fault:
    """One mistake in a source of prompts, and how to correct it."""

    text: str
    line: int | None = None
    """The line of a file, from 1, or the row of a table, from 0; None if the mistake is not in a single line or row."""


class SourceError(CometfluxError):
    """A source of prompts has mistakes, so nothing was sent.

    Args:
        faults: the mistakes, at most the first ``MOST_FAULTS``; a string is one fault without a line.
        name: the name of the source; empty if it has none.
        unit: the unit of the faults' lines, ``line`` or ``row``.
        more: how many further mistakes there are.
    """

    tells_money = False

    def __init__(self, faults: Iterable[Fault] | str, name: str = "", unit: str = "line", more: int = 0) -> None:
        self.faults = (Fault(faults),) if isinstance(faults, str) else tuple(faults)
        self.name = name
        self.more = more
        self.lines = write_lines(self.faults, name, unit)
        if more:
            rest = f"{count_of(more, 'further mistake')} {by_number(more, 'is', 'are')} not listed"
            self.lines.append(_line(Fault(rest), name, unit))
        super().__init__("\n".join(self.lines))


class FaultList:
    """The mistakes of a source: the first `MOST_FAULTS`, each once, and the number of the others."""

    def __init__(self) -> None:
        self._first: dict[Fault, None] = {}
        self.count = 0
        """How many mistakes were found."""

    def add(self, fault: Fault) -> None:
        """Note a mistake."""
        if fault in self._first:
            return
        self.count += 1
        if self.count <= MOST_FAULTS:
            self._first[fault] = None

    def join(self, others: "FaultList") -> None:
        """Note the mistakes of another list."""
        for fault in others._first:
            self.add(fault)
        self.count += others.count - len(others._first)

    def error(self, name: str, unit: str = "line") -> SourceError:
        """Return the error that lists the mistakes in the order of their lines."""
        first = sorted(self._first, key=lambda fault: fault.line or 0)
        return SourceError(first, name, unit, self.count - len(first))


def write_lines(faults: Iterable[Fault], name: str, unit: str = "line") -> list[str]:
    """Write each fault as one line that begins with its source and position."""
    return [_line(fault, name, unit) for fault in faults]


def _line(fault: Fault, name: str, unit: str) -> str:
    number = None if fault.line is None else f"{unit} {fault.line}"
    place = ", ".join(filter(None, [name, number]))
    return f"{place}: {fault.text}" if place else fault.text
