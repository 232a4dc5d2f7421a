"""What is wrong with a table, a sweep or a file of prompts: found before anything is sent, and told all at once."""

from collections.abc import Iterable

import attrs

from cometflux.errors import CometfluxError


@attrs.frozen
class Fault:
    """One thing that is wrong, and what to do about it."""

    text: str
    line: int | None = None
    """Where it is: the line of a file, from 1, or the row of a table, from 0; None where it is in no single one."""


class SourceError(CometfluxError):
    """Prompts and what goes with them are wrong, so nothing was sent.

    Args:
        faults: all that is wrong; a single text stands for a single fault.
        name: what holds the prompts; empty where it has no name.
        unit: what the faults' lines count.
    """

    tells_money = False

    def __init__(self, faults: Iterable[Fault] | str, name: str = "", unit: str = "line") -> None:
        self.faults = (Fault(faults),) if isinstance(faults, str) else tuple(faults)
        self.name = name
        self.lines = tell(self.faults, name, unit)
        super().__init__("\n".join(self.lines))


def tell(faults: Iterable[Fault], name: str, unit: str = "line") -> list[str]:
    """Write every fault on one line, with the place where it is."""
    return [_line(fault, name, unit) for fault in faults]


def _line(fault: Fault, name: str, unit: str) -> str:
    number = None if fault.line is None else f"{unit} {fault.line}"
    place = ", ".join(filter(None, [name, number]))
    return f"{place}: {fault.text}" if place else fault.text
