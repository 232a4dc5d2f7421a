"""What is wrong with what was given: found before anything is sent, and told all at once."""

from collections.abc import Iterable

from cometflux.sources.errors import Fault, write_lines


class UsageError(Exception):
    """The arguments are wrong, so nothing was sent.

    Args:
        faults: all that is wrong; a single text stands for a single fault.
        name: the prompt file; empty where there is none.
    """

    def __init__(self, faults: Iterable[Fault] | str, name: str = "") -> None:
        self.faults = (Fault(faults),) if isinstance(faults, str) else tuple(faults)
        self.lines = write_lines(self.faults, name)
        super().__init__("\n".join(self.lines))


class ConfigurationError(UsageError):
    """A file or a variable of the configuration is wrong, so nothing was sent."""
