"""Make a plan from prompts and the command line's options."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cometflux.basics.quoting import join
from cometflux.cli.errors import UsageError
from cometflux.cli.options.image_options import ImageOptions
from cometflux.cli.options.names import option_of
from cometflux.models.schemas import ModelSchema
from cometflux.sources.defaults import Constant, Defaults
from cometflux.sources.planner import Planner
from cometflux.sources.rows import RESERVED, Source


def planner_from_options(
    source: Source,
    folder: Path,
    making: ImageOptions,
    given: Mapping[str, Any],
    schemas: Mapping[str, ModelSchema],
    reference: str = "reference",
) -> Planner:
    """Prepare to make the jobs of *source* as the options of the command say.

    *given* has the options of the models, None if not given. Paths in options are relative to the current folder, those
    in rows to *folder*.

    Raises:
        UsageError: an ``--input`` is wrong in itself.
    """
    if making.strict and making.no_validate:
        raise UsageError("--strict and --no-validate exclude each other; leave one out")
    defaults = Defaults(
        model=making.model,
        model_label="--model",
        constants=_constants({name: text for name, text in given.items() if text is not None}, making.input),
        count=making.count,
        count_label="--count",
        strict=making.strict,
        validate=not making.no_validate,
        schemas=schemas,
        reference=reference,
        keep_label=lambda name: join(["--keep", name]),
    )
    return Planner(source, defaults, folder)


def _constants(options: Mapping[str, str | list[str]], inputs: Iterable[str]) -> dict[str, Constant]:
    """Return each parameter that has an option of its own, or an ``--input`` of the form ``key=value``."""
    found = {name: Constant(label=option_of(name), value=text, is_text=True) for name, text in options.items()}
    for item in inputs:
        name, equals, text = item.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UsageError(f"--input {item}: write it as key=value")
        if name in RESERVED:
            raise UsageError(f"--input {item}: {_INSTEAD[name]}")
        if name in found:
            raise UsageError(f"--input {item}: {name} is already given with {found[name].label}")
        found[name] = Constant(label=f"--input {name}", value=text, is_text=True, is_body=True)
    return found


_INSTEAD = {
    "prompt": "give the prompt as an argument, or in the prompt file",
    "model": "give the model with --model",
    "key": "give keys in a column of the prompt file",
    "why": "it is a column for notes, and no parameter",
}
