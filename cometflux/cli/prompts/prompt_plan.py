"""Make a plan from prompts and the command line's options."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from cometflux.basics.quoting import join
from cometflux.cli.errors import UsageError
from cometflux.cli.options.image_options import ImageOptions
from cometflux.cli.options.names import option_of
from cometflux.models.schemas import ModelSchema
from cometflux.sources.defaults import Constant, Defaults
from cometflux.sources.planner import Planner
from cometflux.sources.rows import RESERVED, Source


@attrs.frozen(kw_only=True)
class CommandLineInput:
    """The command line's input for all rows."""

    model: str
    options: Mapping[str, str | list[str]]
    """The text of each model parameter that was given by its own option."""
    inputs: Sequence[str] = ()
    """The ``key=value`` texts that were given with ``--input``."""
    count: int = 1
    strict: bool = False
    validate: bool = True
    schemas: Mapping[str, ModelSchema] = {}
    reference: str = "reference"

    def merged(self) -> dict[str, tuple[str, str | list[str]]]:
        """Return the option and the text of each parameter.

        Raises:
            UsageError: an ``--input`` is not ``key=value``, or a parameter is given twice.
        """
        given = {name: (option_of(name), text) for name, text in self.options.items()}
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
    "why": "it is a column for notes, and no parameter",
}


def make_planner(source: Source, given: CommandLineInput, folder: Path) -> Planner:
    """Prepare to make the jobs. Paths in options are relative to the current folder, those in rows to *folder*.

    Raises:
        UsageError: an ``--input`` is wrong.
    """
    constants = {
        name: Constant(label=option, value=text, is_text=True, is_body=name not in given.options)
        for name, (option, text) in given.merged().items()
    }
    defaults = Defaults(
        model=given.model,
        model_label="--model",
        constants=constants,
        count=given.count,
        count_label="--count",
        strict=given.strict,
        validate=given.validate,
        schemas=given.schemas,
        reference=given.reference,
        keep_label=lambda name: join(["--keep", name]),
    )
    return Planner(source, defaults, folder)


def planner_from_options(
    source: Source,
    folder: Path,
    making: ImageOptions,
    given: Mapping[str, Any],
    schemas: Mapping[str, ModelSchema],
    reference: str = "reference",
) -> Planner:
    """Prepare to make the jobs of *source* as the options of the command say.

    *given* has the options of the models, None if not given.

    Raises:
        UsageError: an ``--input`` is wrong in itself.
    """
    if making.strict and making.no_validate:
        raise UsageError("--strict and --no-validate exclude each other; leave one out")
    options = {name: text for name, text in given.items() if text is not None}
    written = CommandLineInput(
        model=making.model,
        options=options,
        inputs=making.input,
        count=making.count,
        strict=making.strict,
        validate=not making.no_validate,
        schemas=schemas,
        reference=reference,
    )
    return make_planner(source, written, folder)
