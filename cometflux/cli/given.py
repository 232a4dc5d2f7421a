"""What stands on the command line for every row."""

from collections.abc import Mapping, Sequence

import attrs

from cometflux.cli.faults import UsageError
from cometflux.sources.rows import RESERVED


@attrs.frozen(kw_only=True)
class Given:
    """What stands on the command line for all rows."""

    model: str
    options: Mapping[str, str | list[str]]
    """The model parameters that have an option of their own, as they were written."""
    inputs: Sequence[str] = ()
    """What was given with ``--input``, as ``key=value``."""
    count: int = 1

    def merged(self) -> dict[str, tuple[str, str | list[str]]]:
        """Return each parameter with the option that gave it and its text.

        Raises:
            UsageError: an ``--input`` is no ``key=value``, or a parameter is given twice.
        """
        given = {name: (_option(name), text) for name, text in self.options.items()}
        for item in self.inputs:
            name, equals, text = item.partition("=")
            name = name.strip()
            if not equals or not name:
                raise UsageError(f"--input {item}: write it as key=value")
            if name in RESERVED:
                raise UsageError(f"--input {item}: {_INSTEAD[name]}")
            if name in given:
                raise UsageError(f"--input {item}: {name} is already given with {given[name][0]}")
            given[name] = (f"--input {name}", text)
        return given


_INSTEAD = {
    "prompt": "give the prompt as an argument, or in the prompt file",
    "model": "give the model with --model",
    "key": "give keys in a column of the prompt file",
}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
