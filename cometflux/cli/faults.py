"""What is wrong with what was given: found before anything is sent, and told all at once."""

from collections.abc import Iterable

import attrs


@attrs.frozen
class Fault:
    """One thing that is wrong, and what to do about it."""

    text: str
    line: int | None = None
    """The line of the prompt file, from 1; None where the fault lies with the file, or with an option."""


class UsageError(Exception):
    """The arguments or the prompt file are wrong, so nothing was sent.

    Args:
        faults: all that is wrong; a single text stands for a single fault.
        name: the prompt file; empty where there is none.
    """

    def __init__(self, faults: Iterable[Fault] | str, name: str = "") -> None:
        self.faults = (Fault(faults),) if isinstance(faults, str) else tuple(faults)
        self.name = name
        super().__init__("\n".join(self.lines))

    @property
    def lines(self) -> list[str]:
        """Every fault on one line, with the place where it is."""
        return [self._line(fault) for fault in self.faults]

    def _line(self, fault: Fault) -> str:
        line = None if fault.line is None else f"line {fault.line}"
        place = ", ".join(filter(None, [self.name, line]))
        return f"{place}: {fault.text}" if place else fault.text


class ConfigurationError(UsageError):
    """A file or a variable of the configuration is wrong, so nothing was sent."""


class SourceError(UsageError):
    """A prompt file cannot be read as what it is said to be."""


class MissingExtraError(Exception):
    """An optional package is not installed.

    Args:
        what: what needs it.
        extras: the extras that bring it, as in ``cli,local``.
    """

    def __init__(self, what: str, extras: str) -> None:
        super().__init__(f'{what} needs an extra: pip install "cometflux[{extras}]"')
