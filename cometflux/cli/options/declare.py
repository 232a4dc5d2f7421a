"""The two forms of options that most commands have: a switch, and an option that may be given several times."""

from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import Parameter, Token

from cometflux.cli.options import converters

NEVER: tuple[str, ...] = ()
"""The negative names of an option that has none."""


def switch(help_text: str, **more: Any) -> Parameter:
    """Describe an option without a value, which is off by default; *more* is what else `Parameter` takes."""
    return Parameter(negative=NEVER, show_default=False, help=help_text, **more)


def repeatable(metavar: str, help_text: str, **more: Any) -> Parameter:
    """Describe an option that takes one value each time it is given; *more* is what else `Parameter` takes."""
    return Parameter(
        metavar=metavar, negative=NEVER, consume_multiple=False, show_default=False, help=help_text, **more
    )


def valued(
    metavar: str, help_text: str, converter: Callable[[Any, Sequence[Token]], Any] = converters.text, **more: Any
) -> Parameter:
    """Describe an option with one value, which *converter* reads; *more* is what else `Parameter` takes."""
    return Parameter(metavar=metavar, converter=converter, help=help_text, **more)
