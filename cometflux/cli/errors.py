"""The errors of wrong arguments and settings. They are raised before anything is sent, and list all faults at once."""

from collections.abc import Iterable

from cometflux.sources.errors import Fault, write_lines


class UsageError(Exception):
    """The arguments are wrong, so nothing was sent.

    Args:
        faults: all faults, or the text of a single one.
        name: the file with the faults; empty if they are not in a file.
    """

    def __init__(self, faults: Iterable[Fault] | str, name: str = "") -> None:
        self.faults = (Fault(faults),) if isinstance(faults, str) else tuple(faults)
        self.lines = write_lines(self.faults, name)
        super().__init__("\n".join(self.lines))


class ConfigurationError(UsageError):
    """A file or a variable of the configuration is wrong, so nothing was sent."""
