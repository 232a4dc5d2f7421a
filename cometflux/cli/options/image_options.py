"""The options that say which images to make: the model, and one option for each parameter of any model."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import attrs
from cyclopts import Parameter

from cometflux.cli.options import converters
from cometflux.cli.options.declare import NEVER, repeatable, switch, valued
from cometflux.cli.options.groups import FURTHER, MODEL_PARAMETERS, OPTIONS
from cometflux.cli.options.shared import MODEL
from cometflux.models import docs

_Command = TypeVar("_Command", bound=Callable[..., Any])

# The key says whether the parameter is an image, and whether it is a list. A path lets shells complete file names.
_WRITTEN: dict[tuple[bool, bool], Any] = {
    (False, False): str | None,
    (False, True): list[str] | None,
    (True, False): str | Path | None,
    (True, True): list[str | Path] | None,
}


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class ImageOptions:
    """The options for the images that ``generate`` and ``batch`` share."""

    model: Annotated[
        str,
        valued("MODEL", "A name from `cometflux models`.", completer=docs.complete_model),
    ] = MODEL
    count: Annotated[
        int,
        valued("N", "Submit each prompt N times; a fixed seed goes up by 1.", converters.whole(1), show_default=False),
    ] = 1
    input: Annotated[
        tuple[str, ...],
        repeatable("KEY=VALUE", "Any parameter, by the service's name for it; repeatable.", group=FURTHER),
    ] = ()
    strict: Annotated[
        bool, switch("Make unknown parameters in --input and request bodies an error.", group=FURTHER)
    ] = False
    no_validate: Annotated[bool, switch("Do not check the inputs of known models.", group=FURTHER)] = False


def with_model_parameters(command: _Command) -> _Command:
    """Give *command*, which takes ``**given``, an option for each parameter of any model."""
    signature = inspect.signature(command)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    command.__signature__ = signature.replace(parameters=[*own, *_model_options()])  # type: ignore[attr-defined]
    return command


def _model_options() -> Iterator[inspect.Parameter]:
    for name, takers in docs.all_parameters().items():
        kind = docs.kind_of(name, takers[0])
        # All are texts, because types and ranges differ by model; they are parsed once the model is known.
        written: Any = _WRITTEN[bool(kind.most_images), kind.is_list]
        option = Parameter(
            group=MODEL_PARAMETERS,
            help=docs.short_text(name, takers),
            metavar=kind.metavar,
            completer=partial(docs.complete_choice, name) if kind.suggestions else None,
            negative=NEVER,
            consume_multiple=False,
            allow_leading_hyphen=kind.is_number,
        )
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[written, option]
        )
