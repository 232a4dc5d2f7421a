"""The errors of the local service's own arguments. Each carries its data, so that no program reads a message."""

from cometflux.models.words import closest, question


class ArgumentError(ValueError):
    """An argument of the local service has a value that is not allowed.

    Args:
        name: the argument, in Python.
        given: the value that was given.
        allowed: the allowed values, as a phrase.
        also: what only Python can give as well, as a phrase; empty if there is nothing.
    """

    def __init__(self, name: str, given: object, allowed: str, also: str = "") -> None:
        super().__init__(f"{name}={given!r}: {allowed}{also}")
        self.name = name
        self.given = given
        self.allowed = allowed


class UnknownFaultError(ValueError):
    """No fault has this name.

    Args:
        name: the name that was given.
        known: the names of all faults.
    """

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.name = name
        self.hint = question(closest(name, known), str)
        hint = f"{self.hint} " if self.hint else ""
        super().__init__(f"there is no fault {name!r}; {hint}the faults are {', '.join(known)}")


def check_text(name: str, value: object) -> None:
    """Refuse a value that is not a text, or is empty.

    Raises:
        ArgumentError: *value* is not such a text.
    """
    if not isinstance(value, str) or not value:
        raise ArgumentError(name, value, "must be a text that is not empty")
